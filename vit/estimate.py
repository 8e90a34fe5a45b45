"""What a run will cost before it is started: tokens, parameters, memory and time, by counting. Imports no torch."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from vit import hardware, runs
from vit.config import ModelConfig, RunConfig, TrainingConfig, TransformerConfig
from vit.counts import count
from vit.hardware import Device

FLOAT = 4
RUNTIME_BYTES = {"cpu": 700e6, "cuda": 900e6, "mps": 900e6}
"""What Python, torch and its libraries take before the first tensor."""

DEFAULT_FLOPS = {"cpu": 12e9, "cuda": 8e12, "mps": 1e12}
"""Multiplications and additions a second of a training step (on the CPU: a core), until a run on this machine tells."""


@dataclass(frozen=True)
class Estimate:
    """What a run costs.

    Attributes:
        tokens: patches and the class token; None where the network has no tokens.
        parameters: trained numbers.
        memory_bytes: on the device at its height, runtime included.
        disk_bytes: of the run's files: the kept weights, what a resume needs, and the fp16 snapshots.
        seconds: of the whole run, validation included.
        measured: whether ``seconds`` rests on a run of this machine, or on a guess.
    """

    tokens: int | None
    parameters: int
    memory_bytes: float
    disk_bytes: float
    seconds: float
    measured: bool


class Speed(NamedTuple):
    """What a run reached, in operations a second, with a network (``--model``) and so many operations a step."""

    network: str
    step_flops: float
    flops_per_second: float


def count_parameters(model: ModelConfig) -> int:
    """Trained numbers of a network."""
    return count(model).parameters


def count_flops(model: ModelConfig) -> int:
    """Operations of the matrix products of one image's forward pass, two a multiply-add."""
    return count(model).flops


def activation_bytes(model: ModelConfig) -> int:
    """What one image leaves in memory for the backward pass, and the widest gradients and copies beside it."""
    counts = count(model)
    return FLOAT * (counts.floats + 4 * counts.widest)


def memory_bytes(config: RunConfig, device: str) -> float:
    """The device's memory at its height, which is a training step or, in main memory, the writing of a resume file."""
    weights = FLOAT * count_parameters(config.model)
    training = 5 * weights  # the weights, their gradients, AdamW's two moments; the fifth for what comes and goes
    training += config.training.batch_size * activation_bytes(config.model)
    if device == "cuda":
        return RUNTIME_BYTES[device] + training
    writing = (4 + 6) * weights  # beside the first four: the weights and the moments as bytes, and those as a file
    held = weights if config.training.keep == "training_loss" else 0
    return RUNTIME_BYTES[device] + held + max(training, writing)


def disk_bytes(config: RunConfig) -> int:
    """Bytes of a run's files: the kept weights, for a resume weights and two moments, and the fp16 snapshots."""
    snapshots = min(config.training.snapshots, config.training.epochs)
    return count_parameters(config.model) * (4 * FLOAT + 2 * snapshots)


def fits(config: RunConfig, device: Device) -> bool:
    """Whether training on ``device`` stays within nine tenths of its memory."""
    return memory_bytes(config, device.name) <= 0.9 * device.memory_bytes


def step_flops(config: RunConfig) -> float:
    """Operations of one training step; backward is twice forward."""
    return 3.0 * count_flops(config.model) * config.training.batch_size


def measured_speeds(device: str) -> tuple[Speed, ...]:
    """What runs of this machine reached on ``device``."""
    here, speeds = hardware.processor(), []
    for run in runs.list_runs():
        config, status = run.config, run.status
        best = status.best
        if status.device != device or not best or not config.environment or config.environment.processor != here:
            continue
        # Seconds are those of the whole epoch, at whichever of its steps the kept weights were taken.
        steps = best["epoch"] * status.steps_total / config.training.epochs
        if best["seconds"] > 0 and steps:
            size = step_flops(config)
            speeds.append(Speed(config.model.name, size, size * steps / best["seconds"]))
    return tuple(speeds)


def estimate(config: RunConfig, *, train_count: int, val_count: int = 0, speeds: tuple[Speed, ...] = ()) -> Estimate:
    """What training ``config`` on so many images costs.

    Args:
        speeds: what :func:`measured_speeds` found. Small steps waste most of a device, so of the same network's the
            measured step nearest in size counts, and none that is ten times larger or smaller.
    """
    device = hardware.resolve(config.training.device)
    size = step_flops(config)
    near = [
        (abs(math.log(size / it.step_flops)), it.flops_per_second) for it in speeds if it.network == config.model.name
    ]
    distance, rate = min(near, default=(math.inf, 0.0))
    measured = distance < math.log(10)
    work = 3 * _images_used(train_count, config.training)
    if not measured:  # measured seconds have their share of validation in them
        rate = DEFAULT_FLOPS[device] * (hardware.cpu_cores() if device == "cpu" else 1)
        work += _images_used(val_count, config.training)
    return Estimate(
        tokens=config.model.num_tokens if isinstance(config.model, TransformerConfig) else None,
        parameters=count_parameters(config.model),
        memory_bytes=memory_bytes(config, device),
        disk_bytes=disk_bytes(config),
        seconds=config.training.epochs * count_flops(config.model) * work / rate,
        measured=measured,
    )


def _images_used(images: int, training: TrainingConfig) -> int:
    """How many of the images an epoch uses, as :func:`vit.data.batches.steps_per_epoch` divides them."""
    batch = training.batch_size
    return images - images % batch if training.drop_last and images >= batch else images
