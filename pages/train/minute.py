"""A button that starts the preset ``minute`` and opens it on the Train page."""

import streamlit as st

from pages import access
from pages.train.cost import cost_of
from pages.ui import navigation
from pages.ui.text import show_error
from pages.ui.wording import about
from vit import runs
from vit.data import SCENES, DataInfo, describe, is_prepared
from vit.errors import UserError
from vit.jobs import waits
from vit.support import hardware

PRESET = "minute"


def offer_minute() -> None:
    """Show the button, and say what it does."""
    reason = access.why_no_room()
    with st.container(horizontal=True, vertical_alignment="center"):
        pressed = st.button(
            "Train your own",
            icon=":material/bolt:",
            key="train_minute",
            disabled=bool(reason),
            help=reason or None,
        )
        st.caption(
            f"Watch a small network learn to classify drawn scenes from scratch.{time_words()}",
            width="stretch",
        )
    if pressed:
        start()


def start() -> None:
    """Start the run, and open it on the Train page."""
    from vit.flags import configure

    try:
        run = access.start(configure(preset=PRESET), runs.free_name(PRESET))
    except UserError as error:
        show_error(error)
        return
    navigation.switch("train/page.py", follow=run.name)


def time_words() -> str:
    """Say how long it takes on this machine, as far as that was measured, and what comes first; begins with a space."""
    from vit.flags import configure

    config, info = configure(preset=PRESET), _scenes()
    words = ""
    if (seconds := cost_of(config, info).seconds) is not None:
        words += f" The training takes {about(seconds)} on this machine."
    if not is_prepared(config.data):
        count = (config.data.train_images or info.train_count) + (config.data.val_images or info.val_count)
        words += f" The {count:,} scenes are drawn first, only once."
    wait = waits.wait_of_new_run(hardware.resolve(config.training.device))
    if wait.ahead is not None:
        time = "" if wait.seconds is None else f", in {about(wait.seconds)}"
        words += f" It starts when the runs before it have ended{time}."
    return words


@st.cache_data(max_entries=1, show_spinner=False)
def _scenes() -> DataInfo:
    return describe(SCENES)
