"""What a run will cost before it is started: tokens, parameters, memory and time, by counting. Imports no torch.

The counts follow ``vit/model.py`` line by line; tests hold them against the model itself.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

from vit import hardware, runs
from vit.config import RunConfig, ViTConfig
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
        tokens: patches and the class token.
        parameters: trained numbers.
        memory_bytes: on the device at the height of a training step, runtime included.
        seconds: of the whole run, validation included.
        measured: whether ``seconds`` rests on a run of this machine, or on a guess.
    """

    tokens: int
    parameters: int
    memory_bytes: float
    seconds: float
    measured: bool


def count_parameters(model: ViTConfig) -> int:
    """Trained numbers of a :class:`vit.model.ViT`."""
    e, hidden = model.embed_dim, round(model.embed_dim * model.mlp_ratio)
    if model.stem == "patch":
        stem = model.in_channels * model.patch_size**2 * e + e
    else:
        stem = sum(9 * a * b + 2 * b for a, b in pairwise((model.in_channels, *model.stem_widths)))
    block = (4 * e * e + 4 * e) + (2 * e * hidden + hidden + e) + 4 * e
    return stem + e + model.num_tokens * e + model.depth * block + 2 * e + e * model.num_classes + model.num_classes


def count_flops(model: ViTConfig) -> float:
    """Floating point operations of the matrix products of one image's forward pass, two a multiply-add."""
    e, n, hidden = model.embed_dim, model.num_tokens, round(model.embed_dim * model.mlp_ratio)
    if model.stem == "patch":
        stem = (n - 1) * model.in_channels * model.patch_size**2 * e
    else:
        stem, width, pixels = 0, model.in_channels, model.image_size**2
        for out in model.stem_widths:
            stem += 9 * width * out * pixels
            width, pixels = out, pixels // 4
    block = n * (4 * e * e + 2 * e * hidden) + 2 * n * n * e
    return 2.0 * (stem + model.depth * block + e * model.num_classes)


def activation_bytes(model: ViTConfig) -> float:
    """What one image leaves in memory for the backward pass, and the widest gradient beside it."""
    e, n, hidden = model.embed_dim, model.num_tokens, round(model.embed_dim * model.mlp_ratio)
    pixels, image = model.image_size**2, model.in_channels * model.image_size**2
    floats = 6.0 * image  # the augmented image and the augmentation's own copies
    widest = 0.0
    if model.stem == "conv":
        for out in model.stem_widths:
            floats += out * pixels + out * pixels / 4 * 5  # convolution; pooling with its int64 places, norm, ReLU
            widest = max(widest, out * pixels * 1.5)
            pixels //= 4
    block = n * (10 * e + 2 * hidden) + (2 * n * model.num_heads * e if model.dropout else 0)
    return FLOAT * (floats + model.depth * block + max(widest, n * (3 * e + hidden)))


def memory_bytes(config: RunConfig, device: str) -> float:
    """The device's memory at the height of a training step: weights, gradients, AdamW's two moments, activations."""
    return (
        RUNTIME_BYTES[device]
        + 5 * FLOAT * count_parameters(config.model)  # the fifth is a temporary of the optimiser
        + config.training.batch_size * activation_bytes(config.model)
    )


def fits(config: RunConfig, device: Device) -> bool:
    """Whether training on ``device`` stays within nine tenths of its memory."""
    return memory_bytes(config, device.name) <= 0.9 * device.memory_bytes


def step_flops(config: RunConfig) -> float:
    """Floating point operations of one training step; backward is twice forward."""
    return 3 * count_flops(config.model) * config.training.batch_size


def measured_speeds(device: str) -> tuple[tuple[float, float], ...]:
    """What runs of this machine reached on ``device``: pairs of operations a step and operations a second."""
    here, speeds = hardware.processor(), []
    for run in runs.list_runs():
        config, status = run.config, run.status
        if not isinstance(config.model, ViTConfig) or status.device != device or not status.best:
            continue
        if config.environment and config.environment.processor == here and status.best["seconds"] > 0:
            size = step_flops(config)
            speeds.append((size, size * status.best["step"] / status.best["seconds"]))
    return tuple(speeds)


def estimate(
    config: RunConfig, *, train_count: int, val_count: int = 0, speeds: tuple[tuple[float, float], ...] = ()
) -> Estimate:
    """What training ``config`` on so many images costs.

    Args:
        speeds: what :func:`measured_speeds` found. Small steps waste most of a device, so the measured step nearest in
            size counts, and none that is ten times larger or smaller.
    """
    device = hardware.resolve(config.training.device)
    size = step_flops(config)
    near = [(abs(math.log(size / other)), speed) for other, speed in speeds]
    distance, rate = min(near, default=(math.inf, 0.0))
    measured = distance < math.log(10)
    if measured:
        work = 3 * train_count  # the measured seconds have their share of validation in them
    else:
        rate = DEFAULT_FLOPS[device] * (hardware.cpu_cores() if device == "cpu" else 1)
        work = 3 * train_count + val_count
    return Estimate(
        tokens=config.model.num_tokens,
        parameters=count_parameters(config.model),
        memory_bytes=memory_bytes(config, device),
        seconds=config.training.epochs * count_flops(config.model) * work / rate,
        measured=measured,
    )
