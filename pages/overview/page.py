"""The Overview page: an animation of attention, three ways to begin, the newest runs and the hardware."""

import streamlit as st

from pages import access
from pages.overview import doors, recent_runs
from pages.overview.hero import fits, show_hero
from pages.overview.tour import tour
from pages.overview.tour.scene import tour_run, vit_config
from pages.ui.demo_notice import show_notice
from pages.ui.dependence import note_low_dependence
from pages.ui.run_doubts import show_run_doubts
from pages.ui.text import plain
from pages.ui.wording import size
from vit.runs import SHIPPED_RUN, Run
from vit.support import hardware

RESTORE = f", or restore the included one: in a clone, run `git checkout checkpoints/{SHIPPED_RUN}`"


def show_overview(guide: Run | None) -> None:
    """Show the page as it is outside the tour.

    Args:
        guide: the included model if it is a ViT on scenes, which the tour and the picture need.
    """
    own_machine = access.bounds() is None
    living = guide is not None and fits(vit_config(guide))
    st.markdown(
        (
            "Point at a patch to see what each head attends to from there; a click pins it. "
            if living
            else "Train a Vision Transformer, and see what every head of every layer attends to. "
        )
        + ("Everything runs on this machine; no data leaves it." if own_machine else "")
    )
    show_notice()
    shipped = next((run for run in access.my_runs() if run.name == SHIPPED_RUN), None)
    if guide is not None and living:
        show_hero(guide)
    elif shipped is not None:
        show_maps(shipped)
    else:
        st.info(
            "The included model is missing, so the tour is not available. Train a model of your own, below or on the "
            f"Train page{RESTORE if own_machine else ''}.",
            icon=":material/info:",
        )
    doors.show_doors(shipped, with_tour=guide is not None)
    recent_runs.show_recent_runs()
    show_machine()


def show_maps(run: Run) -> None:
    """Show the stored maps of an included model that has no animation."""
    if run.picture:
        st.image(
            str(run.picture),
            width=460,
            caption="What each head attends to in one image. Rows are layers, columns are heads.",
            alt="Attention maps of every head of the included model over one image",
        )
        show_run_doubts(run)
        note_low_dependence(run)


def show_machine() -> None:
    """Show the devices of this machine and their memory."""
    st.subheader("This machine", anchor=False)
    for device in hardware.devices():
        memory, free = size(device.memory_bytes), size(device.free_bytes)
        st.caption(f":material/memory: {plain(device.title)}: {memory} of memory, {free} free")


guide, step = tour_run(), tour.current_step()
if guide is not None and step is not None:
    st.title("From an image to a prediction", anchor=False)
    tour.show_tour(guide, step)
else:
    st.title("Attention explorer", anchor=False)
    show_overview(guide)
