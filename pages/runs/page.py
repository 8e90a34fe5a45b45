"""Runs: a table of all runs, a comparison of the chosen ones, and their accuracy against their cost."""

from typing import Literal

import streamlit as st

from pages import access
from pages.runs.compare import show_comparison
from pages.runs.manage import show_broken, show_manager, show_uploader
from pages.ui import polling
from pages.ui.dependence import PART as DEPENDENCE
from pages.ui.downloads import plotly_config
from pages.ui.link_state import settle
from pages.ui.run_words import state_words
from pages.ui.text import plain
from pages.ui.wording import size
from vit import plots
from vit.config import DEPARTURES, RECIPES, DataConfig, ReferenceConfig, StartConfig, ViTConfig, words
from vit.jobs import queue
from vit.paths import checkpoints_dir
from vit.runs import Run
from vit.runs.comparison import KINDS, Summary, summary
from vit.runs.dependence import MEANING
from vit.support.files import free_bytes
from vit.support.untrusted_text import in_cell

BOARD, BOARD_EVERY = "board", 1.0  # the fragment of table and comparison; seconds between two updates
FIRST = 3  # number of newest runs that are compared by default

HEADS, DEPTH = words.title(ViTConfig, "num_heads"), words.title(ViTConfig, "depth")
MENDED = words.title(ReferenceConfig, "mended")
NEIGHBOURS = words.accuracy(RECIPES["dino"])
START, DATA = words.title(StartConfig, "run"), words.title(DataConfig, "source")

COSTS: dict[Literal["parameters", "seconds"], str] = {"parameters": "parameters", "seconds": "seconds of training"}

COLUMNS = {
    "Run": st.column_config.TextColumn(pinned=True),
    HEADS: st.column_config.NumberColumn(format="%d"),
    DEPTH: st.column_config.NumberColumn(format="%d"),
    MENDED: st.column_config.NumberColumn(
        format=f"%d of {len(DEPARTURES)}",
        help="Number of the course network's departures from the textbook that are mended: its rung.",
    ),
    START: st.column_config.TextColumn(help="Run that it was fine-tuned from."),
    "Parameters": st.column_config.NumberColumn(format="localized", help="Number of weights that are trained."),
    "Accuracy": st.column_config.NumberColumn(
        format="%.1f%%", help="Validation accuracy of the weights that the run keeps."
    ),
    DEPENDENCE: st.column_config.NumberColumn(
        format="%.0f%%", help=f"{MEANING} A dash: not measured; the Heads page measures it."
    ),
    "Training accuracy": st.column_config.NumberColumn(
        format="%.1f%%",
        help="Mean accuracy on the training images, augmented if the recipe says so, during the same epoch.",
    ),
    NEIGHBOURS: st.column_config.NumberColumn(
        format="%.1f%%",
        help="Of runs that were trained without labels: accuracy of a k-nearest-neighbour classifier of their features "
        "on the validation images.",
    ),
    "Time": st.column_config.NumberColumn(format="%d s", help="Training time so far in seconds, validation included."),
    "Size": st.column_config.NumberColumn(format="bytes", help="Size of all its files."),
    "Created": st.column_config.DatetimeColumn(format="D MMM YYYY, HH:mm"),
}


def row(run: Summary, place: int | None) -> dict:
    """Return a run as a row of the table; ``place`` is its place in the queue if it waits."""
    state = state_words(run.state, run.verdict)
    return {
        "Run": run.name,
        "State": state if place is None else f"{state}, number {place}",
        DATA: in_cell(run.data),
        "Model": run.kind,
        HEADS: run.heads,
        DEPTH: run.depth,
        MENDED: run.mended,
        START: run.start,
        "Parameters": run.parameters,
        "Accuracy": percent(run.val_accuracy),
        DEPENDENCE: percent(run.dependence),
        "Training accuracy": percent(run.train_accuracy),
        NEIGHBOURS: percent(run.neighbour_accuracy),
        "Time": run.seconds,
        "Size": run.size_bytes,
        "Created": run.created,
    }


def percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def show_runs_table(found: list[Summary]) -> None:
    """Show all runs in a table whose selected rows are the compared runs."""
    names = [run.name for run in found]
    chosen = [names.index(name) for name in st.session_state["runs"]]
    # Set at every rerun, even if unchanged: otherwise a table in a fragment loses its selection.
    st.session_state["runs_table"] = {"selection": {"rows": sorted(chosen), "columns": [], "cells": []}}
    places = queue.positions()
    rows = [row(run, places.get(run.name)) for run in found]
    optional = (HEADS, DEPTH, MENDED, START, NEIGHBOURS)
    absent = [name for name in optional if all(line[name] is None for line in rows)]
    if HEADS in absent:
        absent.append(DEPENDENCE)
    st.dataframe(
        [{name: value for name, value in line.items() if name not in absent} for line in rows],
        key="runs_table",
        hide_index=True,
        placeholder="–",
        column_config=COLUMNS,
        selection_mode="multi-row",
        on_select=lambda: take_rows(names),
        alt="All runs",
    )


def take_rows(names: list[str]) -> None:
    """Compare the selected rows, in the order in which they were selected."""
    picked = [names[index] for index in st.session_state["runs_table"]["selection"]["rows"] if index < len(names)]
    before = [name for name in st.session_state["runs"] if name in picked]
    chosen = before + [name for name in picked if name not in before]
    if len(chosen) > plots.COMPARED_MAX:
        st.toast(f"At most {plots.COMPARED_MAX} runs can be compared.", icon=":material/info:")
    st.session_state["runs"] = chosen[: plots.COMPARED_MAX]


def choose(names: list[str]) -> list[str]:
    """Return the runs to compare: those of the link or the table, else the newest few."""
    if "runs" not in st.session_state and "runs" not in st.query_params:
        st.query_params["runs"] = st.session_state["runs"] = names[:FIRST]  # so that the link shows the same runs
    asked = st.session_state.get("runs", st.query_params.get_all("runs"))
    settle("runs", [name for name in dict.fromkeys(asked) if name in names][: plots.COMPARED_MAX])
    return st.session_state["runs"]


def board_news() -> tuple:
    """Return a value that changes with everything that the table and the comparison show."""
    states = [(run.name, run.state, run.written, run.stamp) for run in access.my_runs()]
    return *states, *queue.positions().items()


def show_board(active: list[str]) -> None:
    """Show the table and the comparison; rerun the page once a run starts or ends."""
    polling.shows(BOARD, board_news())
    found = access.my_runs()
    if [run.name for run in found if run.active] != active:
        st.rerun()
    choose([run.name for run in found])
    summaries = [summary(run) for run in found]
    show_runs_table(summaries)
    show_disk(summaries)
    show_comparison(found)


def show_disk(found: list[Summary]) -> None:
    """Show the disk space of the runs, and the free space."""
    total = sum(run.size_bytes for run in found)
    all_ = f"All {len(found)} runs take" if len(found) > 1 else "The run takes"
    free = "" if access.bounds() else f"; {size(free_bytes(checkpoints_dir()))} of disk space are free"
    st.caption(f":material/hard_drive: {all_} {size(total)}{free}.")


def show_costs(found: list[Summary]) -> None:
    """Show accuracy against parameters and against time, for the runs on one data set."""
    scored = [run for run in found if run.val_accuracy is not None]
    if not scored:
        return
    st.subheader("Accuracy against cost", anchor=False)
    titles = list(dict.fromkeys(run.data for run in scored))
    shown = titles[0]
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
    scored = [run for run in scored if run.data == shown]
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
    + "Select some in the table to compare their curves and their settings."
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
    st.fragment(show_board, key=BOARD)(active)
    if active:
        polling.watch(BOARD, board_news, BOARD_EVERY)
    show_costs([summary(run) for run in found])
else:
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown("#### No runs yet", text_alignment="center")
        st.caption("Your first training will appear here.", text_alignment="center")
        st.page_link("train/page.py", label="Train a model", icon=":material/model_training:")
    show_uploader()
show_broken(access.broken_runs())
