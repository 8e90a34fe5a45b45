"""The Runs page's groups: mean and range of the accuracy by one setting, and all settings at once."""

from collections.abc import Callable, Sequence

import streamlit as st

from pages.ui.link_state import complete, stored
from pages.ui.widgets.parallel_coordinates import parallel_coordinates
from pages.ui.widgets.record_table import Cell, Column, Record, record_table
from vit.config import ViTConfig, words
from vit.runs import Run
from vit.runs.comparison import Summary
from vit.runs.groups import Group, Result, group_by, varied_settings

FIRST = (words.title(ViTConfig, "depth"), words.title(ViTConfig, "num_heads"))
"""Settings by which runs are grouped at first, if they differ in them."""

NOTHING_VARIES = "These runs differ in no setting but the seed, so there is nothing to group by."


def show_groups(found: Sequence[Run], summaries: Sequence[Summary], on_choose: Callable[[list[str]], None]) -> None:
    """Show the accuracy of runs on one data set by a setting, and over all settings in which they differ.

    Args:
        found: the runs.
        summaries: what they are; each has an accuracy.
        on_choose: called with the names of runs that are picked in the figure.
    """
    results = [
        Result(run.name, run.config, one.val_accuracy)
        for run, one in zip(found, summaries, strict=True)
        if one.val_accuracy is not None
    ]
    if len(results) < 2:
        return
    settings = varied_settings([one.config for one in results])
    if not settings:
        st.caption(NOTHING_VARIES)
        return
    asked = stored("group")
    complete("group", asked if asked in settings else next((one for one in FIRST if one in settings), settings[0]))
    setting = st.selectbox(
        "Group by",
        settings,
        index=None,
        key="group",
        bind="query-params",
        required=True,
        help="Only settings in which the listed runs differ.",
        width=320,
    )
    show_table(setting or settings[0], group_by(setting or settings[0], results))
    parallel_coordinates(results, key="parallel", chosen=st.session_state.get("runs", []), on_choose=on_choose)


def show_table(setting: str, groups: Sequence[Group]) -> None:
    """Show one row for each value of a setting."""
    ends = [accuracy for group in groups for accuracy in group.accuracies]
    low, high = min(ends), max(ends)
    mixed = [group for group in groups if group.varied]
    columns = [
        Column("value", setting),
        Column("mean", "Mean accuracy", numeric=True),
        Column("range", "Range", "Smallest and largest accuracy.", numeric=True),
        Column("strip", f"{low:.1%} to {high:.1%}", "A dot for each run, a bar at the mean.", numeric=True),
        Column("runs", "Runs (n)", numeric=True),
        Column("seeds", "Seeds", "Number of different seeds.", numeric=True),
    ]
    if mixed:
        columns.append(Column("varied", "Also different", "Other settings in which the runs of a row differ."))
    record_table(
        columns,
        [_record(group, low, high) for group in groups],
        key="groups_table",
        label=f"Validation accuracy by {setting}",
    )
    said = "Mean and range of the validation accuracy over the runs with the same value."
    if mixed:
        said += (
            " Runs of a row differ in more than the seed where the last column names settings: a difference between "
            "such rows may come from those settings."
        )
    st.caption(said)


def _record(group: Group, low: float, high: float) -> Record:
    values = group.accuracies
    spread = f"{min(values):.1%} to {max(values):.1%}" if len(values) > 1 else "one run"
    names = ", ".join(group.varied)
    strip = {"low": low, "high": high, "values": values, "mean": group.mean}
    return Record(
        group.title,
        {
            "mean": Cell(f"{group.mean:.1%}", group.mean),
            "range": Cell(spread),
            "strip": Cell(f"Mean {group.mean:.1%}, range {spread}", strip=strip),
            "runs": Cell(f"{len(values)}", len(values)),
            "seeds": Cell(f"{group.seeds}", group.seeds),
            "varied": Cell(names, names) if names else Cell(),
        },
    )
