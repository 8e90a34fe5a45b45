"""A button that starts the preset ``minute`` and opens it on the Train page."""

import streamlit as st

from pages import access
from pages.ui.text import show_error
from pages.ui.wording import duration
from vit import runs
from vit.errors import UserError
from vit.support import hardware

PRESET = "minute"
DRAWN_PER_SECOND = 280
"""Approximate number of scenes that one core draws per second."""


def offer_minute() -> None:
    """Show the button, and say what it does."""
    reason = access.why_no_room()
    with st.container(horizontal=True, vertical_alignment="center"):
        pressed = st.button(
            "Train your own in a minute",
            icon=":material/bolt:",
            key="train_minute",
            disabled=bool(reason),
            help=reason or None,
        )
        st.caption(
            f"Watch a small network learn to classify drawn scenes from scratch.{drawing_words()}",
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
    st.session_state["started"] = run.name
    st.switch_page("train/page.py")


def drawing_words() -> str:
    """Say how much longer it takes if the scenes are not drawn yet; empty if they are."""
    from vit import data
    from vit.flags import configure

    config = configure(preset=PRESET).data
    if data.is_prepared(config):
        return ""
    info = data.describe(config.source)
    count = (config.train_images or info.train_count) + (config.val_images or info.val_count)
    seconds = count / (DRAWN_PER_SECOND * hardware.cpu_cores())
    return f" The {count:,} scenes are drawn first, which takes about {duration(seconds)}, only once."
