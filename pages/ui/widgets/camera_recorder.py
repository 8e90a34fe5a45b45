"""A recorder of frames from the camera: classes with names, a button to hold, bursts, and a button that sends them."""

from collections.abc import Mapping, Sequence

from pages.ui.widgets.component import register_widget
from vit.data.files import recordings

RATE = 10
"""Frames recorded in a second: faster ones would hardly differ."""
GOAL = 100
"""The number of frames of a class that the counter names."""
PATIENCE = 30_000
"""Milliseconds that the browser waits for the server to answer."""
ONE_BURST = (
    "A single burst: the validation images come from the same burst as the training images, so the accuracy says "
    "little about new images. Record a second one in another place or light."
)

_component = register_widget("camera_recorder", parts=["camera"])


def camera_recorder(
    uploaders: Mapping[str, str],
    *,
    key: str,
    names: Sequence[str],
    answers: int,
    problem: str = "",
    train_problem: str = "",
) -> None:
    """Draw the recorder, which sends a zip of frames (:func:`vit.data.store_recording`) to an uploader of the page.

    Args:
        uploaders: the keys of the containers with the uploaders that get the zip: ``train`` if a training should start,
            ``store`` if not.
        key: the key of the widget.
        names: names of the classes to begin with.
        answers: how often the page has answered; the recorder waits for a new number after it has sent a zip.
        problem: why the last zip was not accepted; empty if it was.
        train_problem: why no training can start now; empty if one can.
    """
    _component(
        key=key,
        data={
            "uploaders": {then: f"st-key-{container}" for then, container in uploaders.items()},
            "names": list(names),
            "round": answers,
            "problem": problem,
            "trainProblem": train_problem,
            "rate": RATE,
            "goal": GOAL,
            "patience": PATIENCE,
            "oneBurst": ONE_BURST,
            "side": recordings.FRAME_SIDE,
            "classes": list(recordings.CLASSES),
            "bursts": recordings.BURSTS_MAX,
            "frames": list(recordings.FRAMES),
            "namePattern": recordings.CLASS_NAME.pattern,
            "nameRule": recordings.NAME_RULE,
            "nameLength": recordings.NAME_LENGTH,
        },
    )
