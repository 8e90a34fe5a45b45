"""The Runs page's comparison: curves, the gap between training and validation, and settings that differ."""

import streamlit as st

from pages.ui.text import plain
from pages.ui.widgets.record_table import Cell, Column, Record, record_table
from pages.ui.wording import term
from vit import plots
from vit.pictures.colours import THEMES
from vit.runs import Run
from vit.runs.comparison import SEED, differences, gap_sentence, summary
from vit.support.untrusted_text import shown

AGAINST = {"Epochs": "epoch", "Training time": "seconds"}


def show_comparison(found: list[Run]) -> None:
    """Let the user choose runs, and compare them."""
    by_name = {run.name: run for run in found}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        names = st.multiselect(
            "Compare",
            list(by_name),
            key="runs",
            max_selections=plots.COMPARED_MAX,
            bind="query-params",
            persist_state="session",
            placeholder="Choose runs",
            wrap=True,
            help=f"Choose up to {plots.COMPARED_MAX} runs, here or in the table. The link to this page includes them.",
        )
        against = st.segmented_control(
            "Horizontal axis",
            list(AGAINST),
            default="Epochs",
            required=True,
            key="against",
            bind="query-params",
            persist_state="session",
        )
    chosen = [by_name[name] for name in names]
    if not chosen:
        st.caption("No run is chosen: mark some in the table.")
        return
    epochs = histories(chosen)
    if any(epochs.values()):
        unlabelled = [run.name for run in chosen if not run.config.training.labelled]
        show_curves(epochs, AGAINST[against], unlabelled)
        show_gaps(chosen, epochs, AGAINST[against])
    else:
        st.caption("The curves appear at the end of the first epoch.")
    show_differences(chosen)


def histories(chosen: list[Run]) -> dict[str, list[dict]]:
    """Return the epochs of each run; only new lines are read."""
    kept = st.session_state.get("histories", {})
    now = st.session_state["histories"] = {}
    for run in chosen:
        offset, lines = kept.get(run.path, (0, {}))
        new, end = run.metrics(offset)
        if end < offset:  # a resume has shortened the file
            lines = {}
        lines |= {line["epoch"]: line for line in new if line["event"] == "epoch"}
        now[run.path] = end, lines
    return {run.name: list(now[run.path][1].values()) for run in chosen}


def show_curves(epochs: dict[str, list[dict]], x: str, unlabelled: list[str]) -> None:
    """Show loss and accuracy of all runs, each in its colour; ``unlabelled`` were trained without labels."""
    with st.grid(2, min_column_width=330, gap="large") as grid:
        for what in ("loss", "accuracy"):
            with grid.cell():
                st.markdown(f"**{what.capitalize()}**")
                st.vega_lite_chart(
                    spec=plots.compared_curves(epochs, what, x=x, ink=ink()),
                    key=f"compare_{what}",
                    alt=f"Training and validation {what} of {', '.join(epochs)}",
                )
    st.caption(
        "Solid: validation images, measured at the end of each epoch. Dashed: training images, averaged over the "
        "epoch, with augmentation and label smoothing if the recipe uses them."
    )
    if unlabelled:
        st.caption(
            f"{', '.join(map(plain, unlabelled))}: trained without labels. The loss is another quantity, and the "
            "accuracy is that of a k-nearest-neighbour classifier of the features.",
            help=term("k-NN accuracy"),
        )


def ink() -> str:
    """Return the colour of text in the visitor's theme."""
    return THEMES[st.context.theme.type or "light"]["text"]


def show_gaps(chosen: list[Run], epochs: dict[str, list[dict]], x: str) -> None:
    """Show how much better each run does on its training images, and what that means."""
    with st.grid(2, min_column_width=330, gap="large") as grid:
        with grid.cell():
            st.markdown("**Gap between training and validation**")
            st.vega_lite_chart(
                spec=plots.gap_curves(epochs, x=x, ink=ink()),
                key="compare_gap",
                alt=f"Training accuracy minus validation accuracy of {', '.join(epochs)}",
            )
        with grid.cell():
            st.markdown("**What the gap means**")
            st.caption(
                "A curve that rises above zero while validation accuracy stays flat shows overfitting: the network "
                "memorises its training images. Below zero, training images are harder, if they are augmented, and "
                "their accuracy is measured during the epoch, not at its end."
            )
            for run in chosen:
                st.markdown(f"- **{plain(run.name)}**: {gap_sentence(summary(run))}")


def show_differences(chosen: list[Run]) -> None:
    """Show the settings in which the runs differ."""
    st.markdown("**Settings that differ**")
    if len(chosen) == 1:
        st.caption("Choose a second run to see which settings differ.")
        return
    found = differences([run.config for run in chosen])
    if not found:
        st.caption("None. On the same machine, runs with the same settings and seed give the same weights.")
        return
    names = [run.name for run in chosen]
    record_table(
        [Column("setting", "Setting"), *(Column(name, shown(name)) for name in names)],
        [
            Record(setting, {name: Cell(value) for name, value in zip(names, values, strict=True)})
            for setting, values in found.items()
        ],
        key="differences",
        label=f"Settings in which {', '.join(names)} differ",
    )
    if list(found) == [SEED]:
        st.caption("Only the seed differs, so the difference between their scores is due to chance.")
