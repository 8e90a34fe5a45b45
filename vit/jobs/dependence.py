"""Measure the attention dependence of a run at the end of its training."""

from collections.abc import Callable
from contextlib import suppress

from vit.config import TransformerConfig
from vit.jobs.journal import Journal
from vit.runs import Run
from vit.runs.dependence import write_dependence

BUDGET = 0.03
"""The part of the training's forward and backward passes that the measurement may take.

A measured pass takes up to 1.5 times as long, because it computes the softmax explicitly, so that this stays under 5 %
of the training's time.
"""
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
    """Measure the kept weights and store the result in the run's folder; a failure is only logged.

    Nothing is measured without validated weights, if the job was asked to stop, because it is killed soon after that,
    and if the training was so short that fewer than :data:`IMAGES_MIN` images would be affordable.
    """
    config, status = run.config, journal.status
    if stopped() or not status.validated or not isinstance(config.model, TransformerConfig):
        return
    try:
        count = affordable_images(config.model, status.step * config.training.batch_size)
        if count < IMAGES_MIN:
            journal.log("The attention dependence was not measured, because the training was too short.")
            return
        from vit.explain.heads.dependence import measure_run

        def check(_done: int, _total: int) -> None:
            if stopped():
                raise _Stopped("the job was asked to stop")

        journal.say("Measuring the attention dependence.")
        found = measure_run(run, count=count, device=status.device, progress=check)
        write_dependence(run.path, found)
        journal.log(f"measured the attention dependence on {found.images} images in {found.seconds:.1f} s")
    except Exception as error:  # whatever it is, the training itself has succeeded
        with suppress(OSError):
            journal.log(f"The attention dependence was not measured: {str(error) or type(error).__name__}")
