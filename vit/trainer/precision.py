"""Measure in which precision a training's steps are faster on a CPU."""

import time

from vit.config import RunConfig
from vit.data import ImageData
from vit.support import hardware
from vit.trainer.loop import _Loop

MARGIN = 1.15
"""How much faster bfloat16 must be to be chosen, so that chance rarely decides and equal runs choose the same."""
ROUNDS = 4
"""Steps in each precision; the first, in which kernels are chosen and memory is allocated, does not count."""
SECONDS_MAX = 10.0
"""No further round begins after this time."""
STEPS_MIN = 300
"""A shorter training is not measured, because the measurement would take a large part of its time."""


def should_measure(config: RunConfig, device: str, steps: int) -> bool:
    """Return whether a measurement decides about the precision of a new training with this number of steps."""
    auto = config.training.precision == "auto" and device == "cpu"
    return auto and steps >= STEPS_MIN and hardware.has_bfloat16()


def bfloat16_speedup(config: RunConfig, data: ImageData, processes: int = 1) -> float:
    """Return how many times as fast a training step is in bfloat16 as in float32, on the CPU.

    The steps are those of the training, with its network and its images, but with weights and random state of their
    own, so the training's numbers do not change. Both precisions take turns. The time of a step is the processor time
    of its fastest run, which other programs on the machine affect less than the time on the clock.

    Args:
        config: settings of the run.
        data: its images.
        processes: number of processes that share a batch.
    """
    batch_size = max(1, config.training.batch_size // processes)
    recipe = config.training.model_copy(update={"device": "cpu", "batch_size": batch_size, "teacher": ""})
    loop = _Loop(config.model_copy(update={"training": recipe}), data)
    loop.model.train(not loop.frozen)
    order = loop.train.order(1)
    seconds: dict[str, list[float]] = {"float32": [], "bfloat16": []}
    begun = time.monotonic()
    for _ in range(ROUNDS):
        for precision, measured in seconds.items():
            loop.objective.precision = precision
            before = time.process_time()
            loop.stepper.take(loop.train.rows(order, 0), epoch=1, step=0, position=0, lr=recipe.lr)
            loop.stepper.results()
            measured.append(time.process_time() - before)
        if time.monotonic() - begun > SECONDS_MAX:
            break
    fastest = {precision: min(measured[1:] or measured) for precision, measured in seconds.items()}
    return fastest["float32"] / max(fastest["bfloat16"], 1e-9)
