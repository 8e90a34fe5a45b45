"""Runs: a table of all runs, a comparison of the chosen ones, groups, and accuracy against settings and cost."""

from collections.abc import Sequence
from typing import Literal

import streamlit as st

from pages import access
from pages.runs.compare import show_comparison
from pages.runs.groups import show_groups
from pages.runs.manage import show_broken, show_manager, show_uploader
from pages.runs.table import DATA, known_tags, show_filters, show_table
from pages.runs.thumbnails import thumbnail_of
from pages.ui import polling
from pages.ui.downloads import plotly_config
from pages.ui.link_state import settle
from pages.ui.text import plain
from pages.ui.wording import size
from vit import plots
from vit.jobs import queue
from vit.paths import checkpoints_dir
from vit.runs import Run
from vit.runs.comparison import KINDS, Summary, best_finished, summary
from vit.runs.notes import read_notes
from vit.support.files import free_bytes

BOARD, BOARD_EVERY = "board", 1.0  # the fragment of table and comparison; seconds between two updates
FIRST = 3  # number of runs that are compared by default

COSTS: dict[Literal["parameters", "seconds"], str] = {"parameters": "parameters", "seconds": "training time"}


def take_choice(names: list[str]) -> None:
    """Compare the runs that are marked in the table."""
    st.session_state["runs"] = names


def choose(found: Sequence[Summary]) -> list[str]:
    """Return the runs to compare: those of the link or the table, else the best finished ones, else the newest."""
    names = [run.name for run in found]
    if "runs" not in st.session_state and "runs" not in st.query_params:
        first = best_finished(found, FIRST) or names[:FIRST]
        st.query_params["runs"] = st.session_state["runs"] = first  # so that the link shows the same runs
    asked = st.session_state.get("runs", st.query_params.get_all("runs"))
    settle("runs", [name for name in dict.fromkeys(asked) if name in names][: plots.COMPARED_MAX])
    return st.session_state["runs"]


def board_news() -> tuple:
    """Return a value that changes with everything that the table and the comparison show."""
    found = access.my_runs()
    states = [(run.name, run.state, run.written, run.stamp) for run in found]
    return *states, *queue.positions().items(), sum(thumbnail_of(run).pending for run in found)


def show_board(active: list[str], drawing: bool) -> None:
    """Show the table and the comparison; rerun the page once a run starts or ends, or all pictures are drawn.

    Args:
        active: the active runs when the page was drawn.
        drawing: whether pictures were still to be drawn then.
    """
    polling.shows(BOARD, board_news())
    found = access.my_runs()
    if [run.name for run in found if run.active] != active or (drawing and not is_drawing(found)):
        st.rerun()
    summaries = {run.name: summary(run) for run in found}
    choose(list(summaries.values()))
    listed = show_filters(found, summaries)
    pictures = {run.name: thumbnail_of(run) for run in listed}
    show_table(listed, summaries, queue.positions(), pictures, known_tags(map(read_notes, found)), take_choice)
    show_disk(list(summaries.values()))
    show_comparison(found)
    show_analysis(listed, [summaries[run.name] for run in listed])


def is_drawing(found: Sequence[Run]) -> bool:
    """Return whether pictures of runs are being drawn."""
    return any(thumbnail_of(run).pending for run in found)


def show_disk(found: list[Summary]) -> None:
    """Show the disk space of the runs, and the free space."""
    total = sum(run.size_bytes for run in found)
    all_ = f"All {len(found)} runs take" if len(found) > 1 else "The run takes"
    free = "" if access.bounds() else f"; {size(free_bytes(checkpoints_dir()))} of disk space are free"
    st.caption(f":material/hard_drive: {all_} {size(total)}{free}.")


def show_analysis(listed: Sequence[Run], summaries: Sequence[Summary]) -> None:
    """Show accuracy against settings and against cost, for the listed runs on one data set."""
    scored = [(run, one) for run, one in zip(listed, summaries, strict=True) if one.val_accuracy is not None]
    if not scored:
        return
    titles = list(dict.fromkeys(one.data for _, one in scored))
    shown = titles[0]
    st.subheader("Accuracy against settings and cost", anchor=False)
    if len(titles) > 1:
        if st.session_state.get("runs_data", titles[0]) not in titles:
            del st.session_state["runs_data"]
        shown = st.selectbox(
            DATA,
            titles,
            key="runs_data",
            bind="query-params",
            help="Accuracies on different data sets cannot be compared.",
            width=320,
        )
    scored = [(run, one) for run, one in scored if one.data == shown]
    show_groups([run for run, _ in scored], [one for _, one in scored], take_choice)
    show_costs([one for _, one in scored])


def show_costs(scored: Sequence[Summary]) -> None:
    """Show accuracy against parameters and against time."""
    st.markdown("**Against cost**")
    with st.grid(2, min_column_width=330, gap="large"):
        for cost, alt in COSTS.items():
            st.plotly_chart(
                plots.cost_scatter(scored, cost, list(KINDS.values())),
                key=f"cost_{cost}",
                config=plotly_config(f"accuracy-and-{cost}"),
                alt=f"Validation accuracy of the runs against their {alt}",
            )
    st.caption(
        "Each mark is a validated run. Higher is better, further left is cheaper; the horizontal scale is logarithmic. "
        "Hover over a mark to see its run and the device it was trained on."
    )


st.title("Runs", anchor=False)
st.caption(
    ("Every run on this machine. " if access.bounds() is None else "Your runs, and the runs that came with this demo. ")
    + "Mark some in the table to compare their curves and their settings."
)
if said := st.session_state.pop("runs_said", None):
    st.toast(plain(said), icon=":material/check:")
found: list[Run] = access.my_runs()
if found:
    with st.container(horizontal=True):
        show_manager(found)
        with st.popover("Add a run from a zip", icon=":material/upload:"):
            show_uploader()
    active = [run.name for run in found if run.active]
    drawing = is_drawing(found)
    st.fragment(show_board, key=BOARD)(active, drawing)
    if active or drawing:
        polling.watch(BOARD, board_news, BOARD_EVERY)
else:
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown("#### No runs yet", text_alignment="center")
        st.caption("Your first training will appear here.", text_alignment="center")
        st.page_link("train/page.py", label="Train a model", icon=":material/model_training:")
    show_uploader()
show_broken(access.broken_runs())
