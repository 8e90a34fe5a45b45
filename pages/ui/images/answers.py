"""Predictions of a run's network for its validation images, computed in the background for the gallery and Evaluate."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from pages.ui.background import Progress, tasks
from pages.ui.cached_models import labelled_for, load_model, measured_on
from vit.classes import class_names_of
from vit.cost.counts import count
from vit.data import Split
from vit.errors import UserError
from vit.runs import Run
from vit.support.untrusted_text import shown

if TYPE_CHECKING:
    from vit.evaluation import Evaluation
    from vit.networks import Network
    from vit.runs.weights import CheckpointInfo

AUTO_FLOPS = 5e12
"""A few seconds of work; with fewer operations an evaluation starts automatically."""


@dataclass(frozen=True)
class Answers:
    """The answers, or the progress of computing them.

    Attributes:
        evaluation: the answers; None until they exist.
        state: ``ready``, ``running``, ``asks`` (it starts on request) or ``none`` (not possible).
        words: the progress, or why there are none.
    """

    evaluation: "Evaluation | None"
    state: str
    words: str = ""


def task_key(run: Run) -> tuple[Hashable, ...]:
    """Return the key of the background work that evaluates a run on its validation images."""
    return ("evaluation", "val", *measured_on(run))


@st.cache_data(max_entries=8, show_spinner=False)
def validation_answers(
    on: tuple[str, int, str],
    _model: "Network",
    _info: "CheckpointInfo",
    _images: Split,
    _progress: Progress | None = None,
) -> "Evaluation":
    """Return the predictions of a network for the validation images of its run; the gallery and Evaluate share them.

    It may be called in a thread, which cannot ask for the run.

    Args:
        on: the key of the cache, from :func:`pages.ui.cached_models.measured_on`.
        _model: the network.
        _info: its checkpoint information.
        _images: the images with the labels of the model, from :func:`pages.ui.cached_models.labelled_for`.
        _progress: called with (done, total).
    """
    from vit.evaluation import evaluate

    return evaluate(_model, _info, _images, progress=_progress)


def answers(run: Run, *, start: bool) -> Answers:
    """Return the answers to the validation images, and start computing them if that takes a few seconds only.

    Args:
        run: the run.
        start: whether to compute them however long it takes, or after a stop.
    """
    if not class_names_of(run.config):
        return Answers(None, "none", "The network has no classes, so there is no right or wrong.")
    task = tasks().find(task_key(run))
    if task is None or (task.failed and start):
        try:
            (model, info), images = load_model(run), labelled_for(run)
        except UserError as error:
            return Answers(None, "none", shown(error))
        if not start and count(run.config.model).flops * len(images) > AUTO_FLOPS:
            return Answers(None, "asks", f"Run the model on {len(images):,} images")
        on = measured_on(run)

        def work(progress: Progress) -> "Evaluation":
            return validation_answers(on, model, info, images, progress)

        task = tasks().start(task_key(run), work)
        task.wait(0.05)  # they may be cached
    if task.failed:
        return Answers(None, "asks", "Run the model on the images again")
    if task.finished:
        return Answers(task.result, "ready")
    return Answers(None, "running", f"Running the model on the images: {task.words}")
