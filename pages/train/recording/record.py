"""The Train page's view that records classes with the camera, and fine-tunes an included run on them."""

import streamlit as st

from pages import access
from pages.access.images import offered
from pages.ui.demo_notice import upload_words
from pages.ui.run_words import SET_UP
from pages.ui.text import shown
from pages.ui.widgets.camera_recorder import camera_recorder
from pages.ui.wording import term
from vit import runs
from vit.config.presets import RECORDED
from vit.data import title
from vit.errors import UserError

FIRST_NAMES = ("Class 1", "Class 2")
HOW = (
    "Name each class. Hold an object in front of the camera, and hold the button of its class while you move and turn "
    "the object. Then record a second burst in another place or light. Record all classes in the same places: "
    "otherwise the network learns to tell the backgrounds apart. Whole bursts are kept for validation, so that the "
    "accuracy is measured on frames that are unlike those of the training."
)
UPLOADERS = {"train": "recording_train", "store": "recording_store"}
_ANSWERS, _PROBLEM = "recording_answers", "recording_problem"


def record_classes() -> None:
    """Show the recorder, and what becomes of the frames."""
    answers = st.session_state.setdefault(_ANSWERS, 0)
    with st.container(border=True):
        st.subheader("Record classes", anchor=False, help=term("burst"))
        st.caption(HOW)
        st.caption(f":material/lock: {where_words()}")
        camera_recorder(
            UPLOADERS,
            key="camera_recorder",
            names=FIRST_NAMES,
            answers=answers,
            problem=st.session_state.get(_PROBLEM, ""),
            train_problem=access.why_no_room(),
        )
        st.caption("Without a camera, choose **New run** and upload a zip with one folder of images for each class.")
    for then, container in UPLOADERS.items():  # hidden by theme.css until one has a file
        key = f"{container}_{answers}"
        with st.container(key=container):
            st.file_uploader(
                "Recorded frames",
                key=key,
                type="zip",
                on_change=take,
                args=(key, then),
                max_upload_size=access.upload_mb(),
            )


def where_words() -> str:
    """Say where the frames go."""
    return (
        "The frames stay in this browser until you press one of the buttons below. Then they go to the server that "
        f"runs this app and nowhere else. {upload_words()}"
    )


def take(key: str, then: str) -> None:
    """Store what the recorder has sent, and start the training if that was asked for."""
    file = st.session_state[key]
    if not access.is_there(file):
        return
    st.session_state[_ANSWERS] += 1
    st.session_state[_PROBLEM] = ""
    try:
        source = access.store_upload(file, recorded=True)
        offered.clear()
        st.session_state["data"] = source
        if then == "train":
            st.session_state["started"] = start(source).name
        else:
            st.session_state["show"] = SET_UP
    except UserError as error:
        access.release(file)
        st.session_state[_PROBLEM] = shown(access.without_paths(str(error)))


def start(source: str) -> runs.Run:
    """Start a training on a recording, from the weights of an included run.

    Raises:
        UserError: it cannot be started.
    """
    from vit.flags import configure

    config = configure(dataset=source, **RECORDED)
    return access.start(config, runs.free_name(title(source)))
