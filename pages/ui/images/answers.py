"""Predictions of a run's network for its validation images, computed in the background for the gallery and Evaluate."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pages.ui.background import Progress, tasks
from pages.ui.cached_models import labelled_for, load_model, measured_on, place_of
from vit.classes import class_names_of
from vit.cost.counts import count
from vit.errors import UserError
from vit.runs import Run
from vit.support.untrusted_text import shown

if TYPE_CHECKING:
    from vit.evaluation import Evaluation
    from vit.results.stored import StoredResult

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


def evaluation_key(run: Run, split: str) -> tuple[Hashable, ...]:
    """Return the key of the background work that evaluates a run on a split of its images."""
    return ("evaluation", split, *measured_on(run))


def place_of_answers(run: Run) -> "StoredResult[Evaluation]":
    """Return where a run's answers to its validation images are stored.

    Raises:
        UserError: the images cannot be loaded.
    """
    from vit.results.answers import ANSWERS

    return place_of(run, ANSWERS, labelled_for(run))


def answers(run: Run, *, start: bool) -> Answers:
    """Return the answers to the validation images, and start computing them if that takes a few seconds only.

    Args:
        run: the run.
        start: whether to compute them however long it takes, or after a stop.
    """
    if not class_names_of(run.config):
        return Answers(None, "none", "The network has no classes, so there is no right or wrong.")
    key = evaluation_key(run, "val")
    task = tasks().find(key)
    if task is None or task.failed:
        try:
            (model, info), images, place = load_model(run), labelled_for(run), place_of_answers(run)
        except UserError as error:
            return Answers(None, "none", shown(error))
        if (found := place.read()) is not None:
            return Answers(found, "ready")
        if task is not None and not start:
            return Answers(None, "asks", "Run the model on the images again")
        if not start and count(run.config.model).flops * len(images) > AUTO_FLOPS:
            return Answers(None, "asks", f"Run the model on {len(images):,} images")

        def work(progress: Progress) -> "Evaluation":
            from vit.evaluation import evaluate

            found = evaluate(model, info, images, progress=progress)
            place.keep(found)
            return found

        task = tasks().start(key, work)
        task.wait(0.05)  # a small set takes no longer
    if task.failed:
        return Answers(None, "asks", "Run the model on the images again")
    if task.finished:
        return Answers(task.result, "ready")
    return Answers(None, "running", f"Running the model on the images: {task.words}")
