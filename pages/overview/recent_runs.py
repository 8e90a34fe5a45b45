"""The newest runs on Overview."""

from datetime import UTC, datetime

import streamlit as st

from pages import access
from pages.runs.thumbnails import Thumbnail, thumbnail_of
from pages.ui import polling
from pages.ui.run_words import FOLLOW, badge
from pages.ui.text import plain
from pages.ui.wording import age, duration, term
from vit.config import words
from vit.runs import Run

ROWS = 5
THUMBNAIL = 56
"""Side of the picture beside a run, in pixels."""

LIST, LIST_EVERY = "recent_runs", 2.0
"""The fragment of the list, and the seconds between two updates of it."""


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
    else:
        st.fragment(show_list, key=LIST)()
        if any(run.active or thumbnail_of(run).pending for run in found[:ROWS]):
            polling.watch(LIST, news, LIST_EVERY)
    for name, reason in access.broken_runs():
        st.caption(f":material/warning: The folder {plain(name)} looks like a run but cannot be read: {plain(reason)}")


def news() -> tuple:
    """Return a value that changes with what the list shows: once an epoch, not at every step."""
    found = access.my_runs()[:ROWS]
    return tuple((run.name, run.state, run.status.epoch, run.stamp, thumbnail_of(run).pending) for run in found)


def show_list() -> None:
    """Show the newest runs, one in a row."""
    polling.shows(LIST, news())
    with st.container(gap="small"):
        for run in access.my_runs()[:ROWS]:
            show_run(run, thumbnail_of(run))


def show_run(run: Run, picture: Thumbnail) -> None:
    """Show one run in a row.

    Args:
        run: the run.
        picture: a picture of its maps.
    """
    status = run.status
    label, icon, colour = badge(status)
    best, query = run.best, {"run": run.name}
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        with st.container(width=THUMBNAIL, height=THUMBNAIL, border=False):
            if picture.url:
                st.image(picture.url, width=THUMBNAIL, alt=picture.alt)
        with st.container(width=230, gap=None):
            st.markdown(f"**{plain(run.name)}**")
            st.caption(", ".join(facts(run)))
        with st.container(width=105):
            st.badge(label, icon=icon, color=colour)
        with st.container(width=110, gap=None):
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


def facts(run: Run) -> list[str]:
    """Return the network, the epochs, the training time and the age of a run in words."""
    epochs, done = run.config.training.epochs, run.status.epoch
    seconds = (run.latest or run.best or {}).get("seconds")
    return [
        run.config.model.title,
        f"{epochs} epochs" if done in (0, epochs) else f"{done} of {epochs} epochs",
        *([] if seconds is None else [f"trained for {duration(seconds)}"]),
        *filter(None, [age(run.config.created, datetime.now(UTC))]),
    ]
