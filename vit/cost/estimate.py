"""What a run will cost before it is started: tokens, parameters, memory and time, by counting. Imports no torch."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from vit.config import VALIDATION_BATCH, ModelConfig, RunConfig, TrainingConfig, TransformerConfig
from vit.cost.counts import AUGMENTED, count, count_head
from vit.support import hardware
from vit.support.hardware import Device

FLOAT = 4
RUNTIME_BYTES = {"cpu": 620e6, "cuda": 900e6, "mps": 900e6}
"""What Python, torch and its libraries take before the first tensor."""

HOLES = 0.5
"""How much higher the heap of the C library stands than what was put into it: holes between tensors, too small for the
next one. Measured on glibc: 0.4 to 0.7 over networks and batches, once some steps are done."""

HOLES_TENSOR_MAX = 2**26
"""Tensors from this size on leave no holes: they are taken from the system and given back, each by itself. glibc's own
limit is half of that; between the two, holes were measured all the same."""

WORKSPACE_BYTES = 2**25
"""What cuBLAS works in on the stream of a training's first steps."""

DEFAULT_FLOPS = {"cpu": 12e9, "cuda": 8e12, "mps": 1e12}
"""Multiplications and additions a second of a training step (on the CPU: a core), until a run on this machine tells."""


@dataclass(frozen=True)
class Estimate:
    """What a run costs.

    Attributes:
        tokens: patches and the class token; None where the network has no tokens.
        parameters: numbers of the network. trained: those that the training moves.
        memory_bytes: on the device at its height, runtime included.
        training_bytes: the part of it that the network, its optimiser and the images take.
        disk_bytes: of the run's files: the kept weights, what a resume needs, and the fp16 snapshots.
        seconds: of the whole run, validation included.
        measured: whether ``seconds`` rests on a run of this machine, or on a guess.
    """

    tokens: int | None
    parameters: int
    trained: int
    memory_bytes: float
    training_bytes: float
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


def count_trained(config: RunConfig) -> int:
    """Numbers that a training moves: with a frozen backbone the head's."""
    return count_head(config.model).parameters if _is_frozen(config) else count_parameters(config.model)


def count_flops(model: ModelConfig) -> int:
    """Operations of the matrix products of one image's forward pass, two a multiply-add."""
    return count(model).flops


def activation_bytes(model: ModelConfig) -> int:
    """Bytes of one image at the height of a forward and backward pass in float32."""
    return count(model).peak


def training_bytes(config: RunConfig, device: str, images: int = 0) -> float:
    """What a process that trains puts into the device's memory, at its height: that of a step, of validation or, in
    main memory, of the writing of what a resume needs. As measured, less what Python and torch had taken before.

    Args:
        images: of both splits together; a GPU holds them where it can.
    """
    return max(_heights(config, device, images))


def memory_bytes(config: RunConfig, device: str, images: int = 0) -> float:
    """All that a training takes of the device's memory: :func:`training_bytes`, Python and torch, in each process.

    Of several GPUs, the memory of one.
    """
    processes = 1 if device == "cuda" else config.training.processes
    return processes * (RUNTIME_BYTES[device] + training_bytes(config, device, images))


def _heights(config: RunConfig, device: str, images: int) -> tuple[float, ...]:
    """Bytes at the height of a step, of validation, and of the writing of files."""
    recipe, counts = config.training, count(config.model, device)
    batch = -(-recipe.batch_size // recipe.processes)
    validated = batch if recipe.drop_last else VALIDATION_BATCH[device]
    validated = min(validated, config.data.val_images or validated)
    weights = FLOAT * counts.parameters
    trained = FLOAT * count_trained(config)
    lasting = weights + 3 * trained  # the weights, the gradients, AdamW's two moments
    step: float = batch * counts.peak
    validation: float = validated * sum(counts.flow)
    heap = counts.tensors + counts.passing
    if _is_frozen(config):  # nothing is kept for a backward pass, but images are augmented
        flow = sum(counts.flow) + count_head(config.model, device).peak
        step, heap = batch * max(flow, AUGMENTED * _pixels(config.model)), counts.flow
    if device == "cuda":
        lasting += WORKSPACE_BYTES + images * _pixels(config.model)
        return lasting + step + weights / 2, lasting + validation  # in a step products read a copy in bf16
    step += HOLES * batch * _in_heap(heap, batch)
    validation += HOLES * validated * _in_heap(counts.flow, validated)
    if recipe.keep == "training_loss":
        lasting += weights
    # The weights and the moments as bytes, and those as a file.
    return lasting + step, lasting + validation, lasting + 2 * (weights + 2 * trained)


def _in_heap(tensors: tuple[int, ...], images: int) -> int:
    """Bytes an image of those tensors that lie in the C library's heap."""
    return sum(size for size in tensors if size * images < HOLES_TENSOR_MAX)


def disk_bytes(config: RunConfig) -> int:
    """Bytes of a run's files: the kept weights, for a resume weights and two moments, and the fp16 snapshots."""
    snapshots = min(config.training.snapshots, config.training.epochs)
    return count_parameters(config.model) * 2 * (FLOAT + snapshots) + count_trained(config) * 2 * FLOAT


def fits(config: RunConfig, device: Device) -> bool:
    """Whether training on ``device`` stays within nine tenths of its memory."""
    need = memory_bytes(config, device.name)
    if device.name == "cuda":  # a CUDA graph keeps the memory of its step, so validation takes its own beside it
        need = RUNTIME_BYTES["cuda"] + sum(_heights(config, "cuda", 0))
    return need <= 0.9 * device.memory_bytes


def step_flops(config: RunConfig) -> float:
    """Operations of one training step."""
    return float(_passes(config) * count_flops(config.model) * config.training.batch_size)


def _passes(config: RunConfig) -> int:
    """A step in forward passes: backward is twice forward, and there is none through what is frozen."""
    return 1 if _is_frozen(config) else 3


def _is_frozen(config: RunConfig) -> bool:
    return config.start is not None and config.start.frozen


def _pixels(model: ModelConfig) -> int:
    """Numbers of an image."""
    return model.in_channels * model.image_size**2


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
    work = _passes(config) * _images_used(train_count, config.training)
    if not measured or _is_frozen(config):  # measured seconds have their share of validation in them, a small one
        work += _images_used(val_count, config.training)
    if not measured:
        rate = DEFAULT_FLOPS[device] * (hardware.cpu_cores() if device == "cpu" else 1)
    return Estimate(
        tokens=config.model.num_tokens if isinstance(config.model, TransformerConfig) else None,
        parameters=count_parameters(config.model),
        trained=count_trained(config),
        memory_bytes=memory_bytes(config, device, train_count + val_count),
        training_bytes=training_bytes(config, device, train_count + val_count),
        disk_bytes=disk_bytes(config),
        seconds=config.training.epochs * count_flops(config.model) * work / rate,
        measured=measured,
    )


def _images_used(images: int, training: TrainingConfig) -> int:
    """How many of the images an epoch uses, as :func:`vit.data.batches.steps_per_epoch` divides them."""
    batch = training.batch_size
    return images - images % batch if training.drop_last and images >= batch else images
