"""The curves of a run that is followed, with those of other runs beside them."""

from collections.abc import Iterable
from pathlib import Path

import streamlit as st

from pages import access
from pages.ui.text import plain
from pages.ui.widgets.curves import curves
from pages.ui.wording import term
from vit import runs
from vit.config import TrainingConfig
from vit.plots.curves import OTHERS_MAX, SMOOTHING, plots_of_training
from vit.runs import Run

BEST = 2
"""Number of runs that are compared with at first."""


def show_curves(run: Run, status: runs.Status, lines: Iterable[dict]) -> None:
    """Show the curves of loss, accuracy and learning rate over the planned steps."""
    lines = list(lines)
    training = run.config.training
    with st.container(horizontal=True, vertical_alignment="bottom"):
        smoothing = st.slider(
            "Smoothing",
            0.0,
            0.99,
            SMOOTHING,
            0.01,
            key="smoothing",
            bind="query-params",
            persist_state="session",
            width=190,
            help="Weight of the past in the exponential moving average of the values of each step, as in TensorBoard. "
            "Above 0, the values themselves are a faint line.",
        )
        others = choose_others(run)
    found = plots_of_training(
        training, lines, smoothing, others={one.name: epochs_of(one.path, one.written) for one in others}
    )
    with st.container(key=f"curves_{len(found)}"):  # its height is reserved in theme.css
        if not lines:
            st.caption("The curves appear after the first step.")
            return
        curves(
            found,
            steps=status.steps_total or max((line["step"] for line in lines), default=1),
            per_epoch=status.steps_total / training.epochs,
            label=f"Curves of the run {run.name}",
            key="run_curves",
        )
    said = [loss_words(training), *beside_words(training, lines, others)]
    st.caption(" ".join(said), help=terms_of(training))


def terms_of(training: TrainingConfig) -> str | None:
    """Explain the terms of the plots; None if there are none."""
    match training.learn_from:
        case "dino":
            return term("k-NN accuracy", "teacher entropy", "divergence")
        case "mae":
            return term("k-NN accuracy")
    return None


def choose_others(run: Run) -> list[Run]:
    """Choose the runs whose curves are drawn beside; at first the best finished ones on the same images."""
    offered = {other.name: other for other in access.my_runs() if is_comparable(run, other)}
    if not offered:
        return []
    if st.session_state.get("beside_for") != run.path:
        st.session_state["beside_for"] = run.path
        if "beside" not in st.query_params:
            st.session_state["beside"] = best(offered.values())
    kept = [name for name in st.session_state.get("beside", []) if name in offered]
    if "beside" in st.session_state:
        st.session_state["beside"] = kept[:OTHERS_MAX]
    chosen = st.multiselect(
        "Compare with",
        list(offered),
        key="beside",
        max_selections=OTHERS_MAX,
        bind="query-params",
        placeholder="Choose runs",
        help="Runs on the same images. Their validation curves are drawn as thin lines, by their own steps.",
    )
    return [offered[name] for name in chosen]


def is_comparable(run: Run, other: Run) -> bool:
    """Return whether the curves of two runs have the same meaning: the same images, and the same kind of loss."""
    mine, theirs = run.config, other.config
    same_images = (mine.data.source, mine.data.class_names) == (theirs.data.source, theirs.data.class_names)
    return other.name != run.name and same_images and mine.training.learn_from == theirs.training.learn_from


def best(found: Iterable[Run]) -> list[str]:
    """Return the names of the finished runs with the best accuracy and curves, the best first."""
    scored = [
        (run.best["val_accuracy"], run.name)
        for run in found
        if run.best and "val_accuracy" in run.best and run.state == "finished" and run.latest
    ]
    return [name for _, name in sorted(scored, reverse=True)[:BEST]]


@st.cache_data(max_entries=16, show_spinner=False)
def epochs_of(path: Path, written: tuple) -> list[dict]:
    """Return the epochs of a run; ``written`` is :attr:`vit.runs.Run.written`, which changes with them."""
    del written
    return [line for line in Run(path).metrics()[0] if line.get("event") == "epoch"]


def beside_words(training: TrainingConfig, lines: list[dict], others: list[Run]) -> list[str]:
    """Explain steps without an accuracy, and the lines of other runs."""
    said = []
    if training.labelled and any(line["event"] == "step" and "accuracy" not in line for line in lines):
        said.append("Steps without a training accuracy were trained by an earlier version.")
    if others:
        said.append(f"Thin lines: the validation curves of {', '.join(plain(run.name) for run in others)}.")
    return said


def loss_words(training: TrainingConfig) -> str:
    """Explain why training loss and validation loss differ."""
    if training.learn_from == "dino":
        return (
            "The loss says how badly the student predicts the teacher's output for another crop of the same image. The "
            "teacher changes too, so the loss may rise while the network still learns. The validation loss is between "
            "two large crops; the training loss also counts small crops."
        )
    if training.learn_from == "mae":
        return (
            "The loss is the mean squared error of the reconstructed pixels of hidden patches, each normalised to mean "
            "0 and variance 1: a constant grey patch has the error 1."
        )
    parts = [
        "on augmented images" if training.augments else "",
        "on mixed images" if training.mixes else "",
        "with softened labels" if training.label_smoothing else "",
        "with the answers of the teacher as part of it" if training.teacher else "",
        "while the weights still change",
    ]
    taken = ", ".join(part for part in parts if part)
    return f"The training loss is measured {taken}, so it can be higher than the validation loss."
