"""The Runs page's comparison: curves, the gap between training and validation, and settings that differ."""

import streamlit as st

from pages.ui.cached_models import epochs_of
from pages.ui.text import plain
from pages.ui.widgets.curves import curves
from pages.ui.widgets.record_table import Cell, Column, Record, record_table
from pages.ui.wording import term
from vit import plots
from vit.plots.runs import Axis
from vit.runs import Run
from vit.runs.comparison import SEED, differences, gap_sentence, summary
from vit.support.untrusted_text import shown

AGAINST: dict[str, Axis] = {"Epochs": "epoch", "Training time": "seconds"}


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
        smoothing = st.slider(
            "Smoothing",
            0.0,
            0.99,
            0.0,
            0.01,
            key="compare_smoothing",
            bind="query-params",
            persist_state="session",
            width=190,
            help="Weight of the past in the exponential moving average over the epochs, as in TensorBoard.",
        )
    chosen = [by_name[name] for name in names]
    if not chosen:
        st.caption("No run is chosen: mark some in the table.")
        return
    epochs = {run.name: epochs_of(run) for run in chosen}
    if any(epochs.values()):
        unlabelled = [run.name for run in chosen if not run.config.training.labelled]
        show_curves(epochs, AGAINST[against], smoothing, unlabelled)
        explain_gaps(chosen)
    else:
        st.caption("The curves appear at the end of the first epoch.")
    show_differences(chosen)


def show_curves(epochs: dict[str, list[dict]], x: Axis, smoothing: float, unlabelled: list[str]) -> None:
    """Show loss, accuracy and their gap, each run in its colour; ``unlabelled`` were trained without labels."""
    found = plots.compared_curves(epochs, x=x, smoothing=smoothing)
    with st.container(key=f"curves_{len(found.plots)}"):  # its height is reserved in theme.css
        curves(
            found.plots,
            end=found.end,
            axis=found.axis,
            label=f"Loss and accuracy of {', '.join(epochs)}",
            key="compared_curves",
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


def explain_gaps(chosen: list[Run]) -> None:
    """Say how much better each run does on its training images, and what that means."""
    st.markdown("**What the gap means**")
    st.caption(
        "A gap that rises above zero while validation accuracy stays flat shows overfitting: the network memorises its "
        "training images. Below zero, training images are harder, if they are augmented, and their accuracy is "
        "measured during the epoch, not at its end."
    )
    st.markdown("\n".join(f"- **{plain(run.name)}**: {gap_sentence(summary(run))}" for run in chosen))


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
