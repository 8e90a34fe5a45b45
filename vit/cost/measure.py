"""Measure the speed of training steps on this machine, before a run has told it. This module imports torch."""

import time

import torch
import torch.nn.functional as F

from vit.config import RunConfig
from vit.cost.estimate import Speed, count_flops
from vit.networks import build_model

BATCH = 8
STEPS = 4
"""Steps of the measurement; the first, in which kernels are chosen and memory is allocated, does not count."""


def measure_briefly() -> Speed:
    """Return the speed of forward and backward passes of the default network on the CPU, in a fraction of a second.

    It leaves out augmentation, the optimiser and validation, so it is only a first answer.
    """
    config = RunConfig().model
    model = build_model(config, seed=0)
    images = torch.zeros(BATCH, config.in_channels, config.image_size, config.image_size)
    labels = torch.zeros(BATCH, dtype=torch.long)
    seconds = []
    for _ in range(STEPS):
        begun = time.perf_counter()
        F.cross_entropy(model(images), labels).backward()
        seconds.append(time.perf_counter() - begun)
        model.zero_grad(set_to_none=True)
    work = 3.0 * count_flops(config) * BATCH  # the backward pass costs as much as two forward passes
    return Speed("", work, work / min(seconds[1:]))
