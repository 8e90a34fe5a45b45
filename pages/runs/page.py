"""Runs: every run in one table, the chosen ones compared, and what each reaches for what it costs."""

import streamlit as st

from pages import access
from pages.runs.compare import show_comparison
from pages.runs.manage import show_broken, show_manager, show_uploader
from pages.ui import polling
from pages.ui.downloads import plotly_config
from pages.ui.link_state import settle
from pages.ui.run_words import BADGES
from pages.ui.text import plain
from pages.ui.wording import size
from vit import plots
from vit.config import DEPARTURES
from vit.jobs import queue
from vit.paths import checkpoints_dir
from vit.runs import Run
from vit.runs.comparison import KINDS, Summary, summary
from vit.support.files import free_bytes
from vit.support.untrusted_text import in_cell

BOARD, BOARD_EVERY = "board", 1.0  # the fragment; seconds between two looks for news of it
FIRST = 3  # so many of the newest runs are compared until somebody chooses

COLUMNS = {
    "Run": st.column_config.TextColumn(pinned=True),
    "Heads": st.column_config.NumberColumn(format="%d"),
    "Depth": st.column_config.NumberColumn(format="%d"),
    "Mended": st.column_config.NumberColumn(
        format=f"%d of {len(DEPARTURES)}", help="Of the course network's departures from the textbook: its rung."
    ),
    "Starts from": st.column_config.TextColumn(help="The run that it was fine-tuned from."),
    "Parameters": st.column_config.NumberColumn(format="localized", help="Numbers that the training adjusts."),
    "Accuracy": st.column_config.NumberColumn(
        format="%.1f%%", help="On the validation images, of the weights that the run keeps: its best, by its settings."
    ),
    "Training accuracy": st.column_config.NumberColumn(
        format="%.1f%%", help="Of the same epoch: the mean over the training images, augmented, as it went along."
    ),
    "Time": st.column_config.NumberColumn(format="%d s", help="Seconds of training so far, validation included."),
    "Size": st.column_config.NumberColumn(format="bytes", help="Of all its files."),
    "Created": st.column_config.DatetimeColumn(format="D MMM YYYY, HH:mm"),
}


def row(run: Summary, place: int | None) -> dict:
    """One run as a line of the table; ``place`` is its number in the queue, where it waits."""
    state = BADGES[run.state][0]
    return {
        "Run": run.name,
        "State": state if place is None else f"{state}, number {place}",
        "Data": in_cell(run.data),
        "Model": run.kind,
        "Heads": run.heads,
        "Depth": run.depth,
        "Mended": run.mended,
        "Starts from": run.start,
        "Parameters": run.parameters,
        "Accuracy": percent(run.val_accuracy),
        "Training accuracy": percent(run.train_accuracy),
        "Time": run.seconds,
        "Size": run.size_bytes,
        "Created": run.created,
    }


def percent(share: float | None) -> float | None:
    """A share of 1 as a share of 100."""
    return None if share is None else 100 * share


def show_table(found: list[Summary]) -> None:
    """All runs; the rows that are chosen are the runs that are compared, and the other way round."""
    names = [run.name for run in found]
    chosen = [names.index(name) for name in st.session_state["runs"]]
    # At every run, even where it is the same: a table that is drawn anew in a fragment forgets its ticks otherwise.
    st.session_state["runs_table"] = {"selection": {"rows": sorted(chosen), "columns": [], "cells": []}}
    places = queue.positions()
    rows = [row(run, places.get(run.name)) for run in found]
    absent = [name for name in ("Heads", "Depth", "Mended", "Starts from") if all(line[name] is None for line in rows)]
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
    """The rows that somebody chose become the runs to compare, in the order in which they were chosen."""
    picked = [names[index] for index in st.session_state["runs_table"]["selection"]["rows"] if index < len(names)]
    before = [name for name in st.session_state["runs"] if name in picked]
    chosen = before + [name for name in picked if name not in before]
    if len(chosen) > plots.COMPARED_MAX:
        st.toast(f"{plots.COMPARED_MAX} runs can be compared at a time.", icon=":material/info:")
    st.session_state["runs"] = chosen[: plots.COMPARED_MAX]


def choose(names: list[str]) -> list[str]:
    """The runs to compare: of the link or the table, or else the newest few."""
    if "runs" not in st.session_state and "runs" not in st.query_params:
        st.query_params["runs"] = st.session_state["runs"] = names[:FIRST]  # for a link to the page as it stands
    asked = st.session_state.get("runs", st.query_params.get_all("runs"))
    settle("runs", [name for name in dict.fromkeys(asked) if name in names][: plots.COMPARED_MAX])
    return st.session_state["runs"]


def board_news() -> tuple:
    """Changes with all that the table and the comparison say of the runs."""
    told = [(run.name, run.state, run.written, run.stamp) for run in access.my_runs()]
    return *told, *queue.positions().items()


def show_board(active: list[str]) -> None:
    """The table and the comparison; drawn anew with news while a run is active, and all once one has ended."""
    polling.shows(BOARD, board_news())
    found = access.my_runs()
    if [run.name for run in found if run.active] != active:
        st.rerun()
    choose([run.name for run in found])
    summaries = [summary(run) for run in found]
    show_table(summaries)
    show_disk(summaries)
    show_comparison(found)


def show_disk(found: list[Summary]) -> None:
    """What the runs take of the disk, and what is left of it."""
    total = sum(run.size_bytes for run in found)
    all_ = f"All {len(found)} runs take" if len(found) > 1 else "The run takes"
    free = "" if access.bounds() else f"; {size(free_bytes(checkpoints_dir()))} of the disk are free"
    st.caption(f":material/hard_drive: {all_} {size(total)}{free}.")


def show_costs(found: list[Summary]) -> None:
    """Accuracy against parameters and against time, of the runs on one data set."""
    scored = [run for run in found if run.val_accuracy is not None]
    if not scored:
        return
    st.subheader("Accuracy and what it costs", anchor=False)
    titles = list(dict.fromkeys(run.data for run in scored))
    shown = titles[0]
    if len(titles) > 1:
        if st.session_state.get("runs_data", titles[0]) not in titles:
            del st.session_state["runs_data"]
        shown = st.selectbox(
            "Data", titles, key="runs_data", bind="query-params", help="Scores on other images say nothing.", width=320
        )
    scored = [run for run in scored if run.data == shown]
    with st.grid(2, min_column_width=330, gap="large"):
        for cost, alt in (("parameters", "parameters"), ("seconds", "seconds of training")):
            st.plotly_chart(
                plots.cost_scatter(scored, cost, list(KINDS.values())),
                key=f"cost_{cost}",
                config=plotly_config(f"accuracy-and-{cost}"),
                alt=f"Validation accuracy of the runs against their {alt}",
            )
    st.caption(
        "Each mark is a run whose weights were validated; higher is better, and further left is cheaper, on a scale "
        "where each line is ten times the one before. Point at a mark to see its run, and the device it was trained on."
    )


st.title("Runs", anchor=False)
st.caption(
    ("Every run on this machine. " if access.bounds() is None else "Your runs, and those that came with this demo. ")
    + "Choose some in the table to lay their curves over each other and see which settings differ."
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
        st.caption("The first training appears here.", text_alignment="center")
        st.page_link("train/page.py", label="Train a model", icon=":material/model_training:")
    show_uploader()
show_broken(access.broken_runs())
