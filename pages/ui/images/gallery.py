"""The gallery of images: thumbnails with their classes and the answers of a run's network.

The browser draws, filters and sorts it, and requests data when it needs them: the lists once it is opened, the
thumbnails of the page that it shows, and the answers until they are complete. The requests rerun only a fragment; a
choice reruns the page.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import streamlit as st

from pages import access
from pages.ui.cached_models import IMAGE_ID, UPLOADED, PickedImage, validation, validation_split, version
from pages.ui.images import answers, thumbnails
from pages.ui.images.photographs import PHOTOGRAPHS
from pages.ui.widgets.image_gallery import PAGE, image_gallery
from vit.errors import DataError
from vit.runs import Run
from vit.support.untrusted_text import shown

NAME_COLUMNS = 28
"""Longest name below a thumbnail."""

Pick = Callable[[list[str]], None]


def show_gallery(
    run: Run,
    picked: PickedImage | None,
    *,
    key: str,
    label: str,
    on_pick: Pick,
    chosen: Sequence[str] = (),
    most: int = 1,
) -> None:
    """Show the button with the current image, which opens the gallery.

    Args:
        run: the run, whose validation images are shown.
        picked: the current image; None shows a button with the label.
        key: the key of the widget.
        label: what is chosen, such as "Image", for the button and for screen readers.
        on_pick: called with the ids of the chosen images, which may have been deleted in the meantime.
        chosen: the ids that are marked.
        most: how many images can be chosen at once. With one, a click chooses it.
    """
    _state(key)["picked"] = False  # the whole page runs, so it shows the choice already
    with st.container(width="content"):  # or the fragment would fill the row
        st.fragment(_gallery)(run, picked, key, label, on_pick, chosen, most)


def _state(key: str) -> dict[str, Any]:
    state: dict[str, Any] = st.session_state.setdefault(f"{key}_state", {"seq": 0, "wants": {}, "picked": False})
    return state


def _gallery(
    run: Run, picked: PickedImage | None, key: str, label: str, on_pick: Pick, chosen: Sequence[str], most: int
) -> None:
    state = _state(key)
    if state["picked"]:
        st.rerun()
    wants, state["wants"] = state["wants"], {}

    def take(event: dict[str, Any]) -> None:
        state["seq"] = event.get("seq", 0)
        picks, asked = event.get("picks"), event.get("wants")
        if isinstance(picks, list) and 0 < len(picks) <= most and all(is_id(one) for one in picks):
            on_pick(picks)
            state["picked"] = True
        if isinstance(asked, dict):
            state["wants"] = asked

    image_gallery(
        {
            "seq": state["seq"],
            "version": version(run),
            "label": label,
            "current": None if picked is None else current(run, picked),
            "chosen": list(chosen) if picked is None else [picked.id],
            "most": most,
            "count": count(run),
            **answer_to(wants, run),
        },
        key=key,
        on_ask=take,
    )


def is_id(value: Any) -> bool:
    """Return whether a value from the browser has the form of an image's id."""
    return isinstance(value, str) and IMAGE_ID.fullmatch(value) is not None


def count(run: Run) -> int:
    """Return the number of validation images of the run's data set; 0 if the data set is missing."""
    try:
        return len(validation_split(run))
    except DataError:
        return 0


def own_images() -> list[str]:
    """Return the ids of the visitor's uploaded images, newest first."""
    return [f"pic-{picture}" for picture in access.list_pictures()]


def current(run: Run, picked: PickedImage) -> dict[str, Any]:
    """Return what the button shows of an image."""
    kind = "photograph" if picked.id.startswith("sample-") else "your image"
    return {
        "id": picked.id,
        "name": shown(picked.id if picked.id.startswith("val-") else picked.title, NAME_COLUMNS),
        "about": shown(picked.label, NAME_COLUMNS) if picked.label is not None else kind,
        "image": thumbnails.sheet(run, [picked.id]),
    }


def answer_to(wants: dict[str, Any], run: Run) -> dict[str, Any]:
    """Return the parts of the data that the browser has asked for.

    Args:
        wants: ``lists``, ``answers`` and ``start`` (the answers, however long they take) as booleans, ``sheet`` as a
            list of ids; anything else is left out.
        run: the run.
    """
    found: dict[str, Any] = {}
    if wants.get("lists") is True:
        found["lists"] = lists(run)
    if wants.get("answers") is True:
        found["answers"] = answers_of(run, start=wants.get("start") is True)
    ids = wants.get("sheet")
    if isinstance(ids, list) and 0 < len(ids) <= PAGE and all(is_id(one) for one in ids):
        columns = min(thumbnails.COLUMNS, len(ids))
        found["sheet"] = {"ids": ids, "columns": columns, "image": thumbnails.sheet(run, ids)}
    return found


def lists(run: Run) -> dict[str, Any]:
    """Return the classes of all validation images, the photographs and the visitor's images."""
    try:
        images, split = validation(run), validation_split(run)
        names, labels = [shown(name, NAME_COLUMNS) for name in images.class_names], np.asarray(split.labels).tolist()
    except DataError:
        names, labels = [], []
    return {
        "classes": names,
        "labels": labels,
        "photographs": [
            {"id": one.id, "name": one.title, "about": f"{one.author}, {one.licence}"} for one in PHOTOGRAPHS.values()
        ],
        "own": [{"id": one, "name": own_name(one.removeprefix("pic-")), "about": ""} for one in own_images()],
    }


def own_name(picture: str) -> str:
    """Return the name of an uploaded image for the gallery."""
    return shown(access.picture_name(picture), NAME_COLUMNS) or UPLOADED


def answers_of(run: Run, *, start: bool) -> dict[str, Any]:
    """Return the answers to all validation images, or the progress of computing them.

    Args:
        run: the run.
        start: whether to compute them however long it takes.
    """
    found = answers.answers(run, start=start)
    told: dict[str, Any] = {"state": found.state, "words": found.words}
    if found.evaluation is not None:
        result = found.evaluation
        told |= {
            "names": [shown(name, NAME_COLUMNS) for name in result.class_names],
            "said": result.predictions.tolist(),
            "sure": np.round(result.confidence.astype(float), 4).tolist(),
            "right": (result.predictions == result.labels).astype(int).tolist(),
        }
    return told
