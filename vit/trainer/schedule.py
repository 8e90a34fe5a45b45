"""The learning rate of each step, and the epochs that get a snapshot."""

import math

from vit.config import TrainingConfig


def learning_rate(config: TrainingConfig, step: int, total: int) -> float:
    """Return the learning rate of ``step``, counted from 0 to ``total - 1``.

    It rises linearly to ``config.lr`` during the warm-up, then follows half a cosine to zero or stays constant.
    """
    warmup = round(config.warmup * total)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    if config.schedule == "constant":
        return config.lr
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def snapshot_epochs(epochs: int, count: int) -> set[int]:
    """Return at most ``count`` of the epochs ``1..epochs``, evenly spaced; the last epoch is always included."""
    count = min(count, epochs)
    return {epochs - round(index * epochs / count) for index in range(count)}
