"""Measure the kept weights of a run at the end of its training: its answers, and its attention dependence."""

from collections.abc import Callable
from contextlib import suppress

from vit.config import TransformerConfig
from vit.jobs.journal import Journal
from vit.runs import Run
from vit.runs.dependence import write_dependence

BUDGET = 0.03
"""The part of the training's forward and backward passes that the attention dependence may take.

A measured pass takes up to 1.5 times as long, because it computes the softmax explicitly, so that this stays under 5 %
of the training's time.
"""
ANSWERS_BUDGET = 0.02
"""The part that answering the validation images once more may take; most trainings do so after every epoch anyway."""
TRAINING_PASSES = 3
"""A training step in forward passes: the backward pass takes about twice as long as the forward pass."""
IMAGES_MIN = 50
"""With fewer images the measurement would be too rough to be of use."""


class _Stopped(Exception):
    """The job was asked to stop during the measurement."""


def affordable_images(config: TransformerConfig, trained: int) -> int:
    """Return on how many images a run can be measured within :data:`BUDGET`.

    Args:
        config: settings of the network.
        trained: number of images that the training took, counted once in each epoch.
    """
    from vit.explain.heads.dependence import IMAGES, passes

    return min(IMAGES, int(BUDGET * TRAINING_PASSES * trained / passes(config)))


def measure_after_training(run: Run, journal: Journal, stopped: Callable[[], bool]) -> None:
    """Measure the kept weights and store the results in the run's folder; a failure is only logged.

    Nothing is measured without validated weights, if the job was asked to stop, because it is killed soon after that,
    and if the training was so short that it would take a noticeable part of its time.
    """
    config, status = run.config, journal.status
    if stopped() or not status.validated:
        return
    trained = status.step * config.training.batch_size

    def check(_done: int, _total: int) -> None:
        if stopped():
            raise _Stopped("the job was asked to stop")

    for name, measure in (
        ("The answers to the validation images were", _answers),
        ("The attention dependence was", _dependence),
    ):
        try:
            measure(run, journal, trained, check)
        except Exception as error:  # whatever it is, the training itself has succeeded
            with suppress(OSError):
                journal.log(f"{name} not measured: {str(error) or type(error).__name__}")


def _answers(run: Run, journal: Journal, trained: int, check: Callable[[int, int], None]) -> None:
    """Store the answers to the validation images, which the Evaluate page and the gallery of images show."""
    from vit.classes import class_names_of  # it imports numpy, which a waiting job must not

    if not class_names_of(run.config):
        return
    from vit.data import load
    from vit.evaluation import evaluate
    from vit.results.answers import fits, stored_answers
    from vit.runs.weights import load_checkpoint

    split = load(run.config.data, splits=("val",)).val
    assert split is not None  # it was asked for
    if len(split) > ANSWERS_BUDGET * TRAINING_PASSES * trained or not fits(run, split):
        return
    journal.say("Evaluating the kept weights.")
    place = stored_answers(run, split)
    model, info = load_checkpoint(run.path, device=journal.status.device)
    place.write(evaluate(model, info, split, progress=check))


def _dependence(run: Run, journal: Journal, trained: int, check: Callable[[int, int], None]) -> None:
    """Store the attention dependence."""
    if not isinstance(run.config.model, TransformerConfig):
        return
    count = affordable_images(run.config.model, trained)
    if count < IMAGES_MIN:
        journal.log("The attention dependence was not measured, because the training was too short.")
        return
    from vit.explain.heads.dependence import measure_run

    journal.say("Measuring the attention dependence.")
    found = measure_run(run, count=count, device=journal.status.device, progress=check)
    write_dependence(run.path, found)
    journal.log(f"measured the attention dependence on {found.images} images in {found.seconds:.1f} s")
