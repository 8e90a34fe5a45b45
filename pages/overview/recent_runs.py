"""The newest runs on Overview."""

from datetime import UTC, datetime
from pathlib import Path

import streamlit as st
from PIL import Image

from pages import access
from pages.ui.run_words import FOLLOW, badge
from pages.ui.text import plain
from pages.ui.wording import age, term
from vit.config import words
from vit.pictures.thumbnail import thumbnail
from vit.runs import Run

ROWS = 5
THUMBNAIL = 56
"""Side of the picture beside a run, in pixels."""


def show_recent_runs() -> None:
    """Show the newest runs, and the folders that cannot be read as runs."""
    found = access.my_runs()
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.subheader("Recent runs", anchor=False, width="content")
        if found:
            label = f"All {len(found)} runs" if len(found) > ROWS else "All runs"
            st.page_link("runs/page.py", label=label, icon=":material/table_chart:")
    if not found:
        st.caption("No runs yet. The first one appears here.")
    pictures = [picture_of(run) for run in found[:ROWS]]
    with st.container(gap="small"):
        for run, picture in zip(found, pictures, strict=False):
            show_run(run, picture, with_pictures=any(pictures))
    for name, reason in access.broken_runs():
        st.caption(f":material/warning: The folder {plain(name)} looks like a run but cannot be read: {plain(reason)}")


def show_run(run: Run, picture: Image.Image | None, *, with_pictures: bool) -> None:
    """Show one run in a row.

    Args:
        run: the run.
        picture: its maps, if there is a picture of them.
        with_pictures: whether a run of the list has a picture, so that the others leave room for one.
    """
    label, icon, colour = badge(run.status)
    best, query = run.best, {"run": run.name}
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        if with_pictures:
            with st.container(width=THUMBNAIL):
                if picture:
                    st.image(picture, width=THUMBNAIL, alt=f"Attention maps of the run {plain(run.name)}")
        with st.container(width=290, gap=None):
            st.markdown(f"**{plain(run.name)}**")
            network = f"{run.config.model.title}, {run.config.training.epochs} epochs"
            st.caption(", ".join(filter(None, (network, age(run.config.created, datetime.now(UTC))))))
        with st.container(width=110):
            st.badge(label, icon=icon, color=colour)
        with st.container(width=130, gap=None):
            name = words.accuracy(run.config.training)
            st.metric(name, f"{best['val_accuracy']:.1%}" if best else None, label_visibility="collapsed")
            if best and not run.config.training.labelled:
                st.caption(name, help=term("k-NN accuracy"))
        st.page_link(
            "train/page.py",
            label="Curves",
            icon=":material/show_chart:",
            query_params={**query, "show": FOLLOW},
        )
        if run.has_weights:
            st.page_link("attention/page.py", label="Attention", icon=":material/visibility:", query_params=query)
            st.page_link("evaluate/page.py", label="Evaluate", icon=":material/grid_on:", query_params=query)


def picture_of(run: Run) -> Image.Image | None:
    """Return a small picture of a run's maps, if its folder has one."""
    path = run.picture
    return _small(str(path), path.stat().st_mtime_ns) if path else None


@st.cache_data(max_entries=64, show_spinner=False)
def _small(path: str, changed: int) -> Image.Image | None:
    return thumbnail(Path(path), 2 * THUMBNAIL)
