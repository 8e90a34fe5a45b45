"""The picture at the top of a lesson, drawn once for all visitors."""

import streamlit as st

from pages import access
from pages.lessons.lesson_list import Lesson
from vit.config import ViTConfig
from vit.lessons import EXPERIMENTS, pictures
from vit.lessons.pictures import Panel
from vit.runs import SHIPPED_RUN, Run
from vit.runs.example import read_example

WIDTH = 140
"""Width of a panel in pixels: six fit beside each other on a screen, and two on a phone."""


def show_picture(lesson: Lesson, caption: str) -> None:
    """Show the panels of a lesson's picture, and how to read them."""
    found = panels(lesson)
    if not found:
        st.caption("The picture needs the included model, which is missing.")
        return
    with st.container(horizontal=True, gap="small", key="lesson_picture"):
        for panel in found:
            with st.container(width=WIDTH):
                st.image(panel.image, caption=panel.title, width=WIDTH, alt=panel.alt)
    st.caption(caption)


def panels(lesson: Lesson) -> list[Panel]:
    """Return the panels of a lesson's picture; none if it needs the included model and that is missing."""
    if lesson.name in _FROM_SETTINGS:
        return _drawn(lesson.name)
    run = included_run()
    return [] if run is None else _of_run(lesson.name, str(run.path), run.stamp, run)


def included_run() -> Run | None:
    """Return the included model's run if it has a class token and stored attention."""
    run = next((run for run in access.my_runs() if run.name == SHIPPED_RUN and run.has_weights), None)
    if run is None or not isinstance(run.config.model, ViTConfig) or run.config.model.pool != "cls":
        return None
    return run if read_example(run) else None


_FROM_SETTINGS = {
    "depth": pictures.block_panels,
    "patches": pictures.patch_panels,
    "little": pictures.little_panels,
}
_OF_RUN = {"heads": pictures.head_panels, "evidence": pictures.cover_panels}


@st.cache_data(max_entries=8, show_spinner=False)
def _drawn(name: str) -> list[Panel]:
    return _FROM_SETTINGS[name](EXPERIMENTS[name])


@st.cache_data(max_entries=8, show_spinner=False)
def _of_run(name: str, path: str, stamp: int, _run: Run) -> list[Panel]:
    del path, stamp  # only the key of the cache
    example, model = read_example(_run), _run.config.model
    if example is None or not isinstance(model, ViTConfig):
        return []
    images = _run.config.data
    grid = (model.grid, model.grid)
    return _OF_RUN[name](example, images.image_size, images.seed, grid, len(model.prefix_names))
