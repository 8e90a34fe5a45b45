"""Estimate the cost of a run before it starts: tokens, parameters, memory, disk and time. Imports no torch."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from vit.config import VALIDATION_BATCH, ModelConfig, RunConfig, TrainingConfig, TransformerConfig
from vit.cost.counts import AUGMENTED, count, count_head
from vit.cost.unlabelled import added
from vit.support import hardware
from vit.support.hardware import Device

FLOAT = 4
RUNTIME_BYTES = {"cpu": 620e6, "cuda": 900e6, "mps": 900e6}
"""Memory of Python, torch and its libraries before the first tensor."""

HOLES = 0.5
"""Memory that the C library's heap loses to holes between tensors, as a share of the tensors. A hole is too small for
the next tensor. Measured on glibc after some steps: 0.4 to 0.7, depending on network and batch."""

HOLES_TENSOR_MAX = 2**26
"""Tensors of at least this size leave no holes: each is allocated from the system and returned to it. glibc's own limit
is half of that, but tensors between the two limits left holes in the measurements."""

WORKSPACE_BYTES = 2**25
"""cuBLAS workspace on the stream of the first training steps."""

SIMILAR = 10
"""A run whose step has at most this many times more or fewer operations tells the speed of another well."""


@dataclass(frozen=True)
class Estimate:
    """The cost of a run.

    Attributes:
        tokens: patches and prefix tokens; None for a network without tokens.
        parameters: parameters of the network.
        trained: parameters that are trained.
        memory_bytes: peak memory on the device, runtime included.
        training_bytes: the part of it that the network, its optimiser and the images take.
        disk_bytes: size of the run's files: the kept weights, the resume checkpoint and the fp16 snapshots.
        seconds: duration of the whole training, validation included; None if no speed is known.
        measured: whether ``seconds`` is based on a similar run on this machine; otherwise it is rough.
    """

    tokens: int | None
    parameters: int
    trained: int
    memory_bytes: float
    training_bytes: float
    disk_bytes: float
    seconds: float | None
    measured: bool


class Speed(NamedTuple):
    """A measured training speed.

    Attributes:
        network: the kind of network (``--model``); empty for a brief measurement without a run.
        step_flops: operations of a step.
        flops_per_second: operations of training steps per second, validation included in the time.
        processes: number of processes that trained together.
    """

    network: str
    step_flops: float
    flops_per_second: float
    processes: int = 1


def count_parameters(model: ModelConfig) -> int:
    return count(model).parameters


def count_trained(config: RunConfig) -> int:
    """Return the number of parameters that are trained.

    With a frozen backbone these are only those of the head; without labels a projection head or a decoder is added.
    """
    if not config.training.labelled:
        return count_parameters(config.model) + added(config).trained
    return count_head(config.model).parameters if _is_frozen(config) else count_parameters(config.model)


def count_flops(model: ModelConfig) -> int:
    """Return the operations of the matrix products in one image's forward pass; a multiply-add counts as two."""
    return count(model).flops


def activation_bytes(model: ModelConfig) -> int:
    """Return the peak memory of one image in a forward and backward pass in float32, in bytes."""
    return count(model).peak


def training_bytes(config: RunConfig, device: str, images: int = 0, teacher: ModelConfig | None = None) -> float:
    """Return the peak memory of one training process on the device, without Python and torch, in bytes.

    The peak is that of a training step, of validation or, in main memory, of writing the resume checkpoint.

    Args:
        config: the run.
        device: ``cpu``, ``cuda`` or ``mps``.
        images: number of images in both splits together, which a GPU keeps in its memory.
        teacher: the network that the training learns from, if it has one.
    """
    return max(_heights(config, device, images, teacher))


def memory_bytes(config: RunConfig, device: str, images: int = 0, teacher: ModelConfig | None = None) -> float:
    """Return the memory that training takes on the device: :func:`training_bytes`, Python and torch in each process.

    With several GPUs it is the memory of one.
    """
    processes = 1 if device == "cuda" else config.training.processes
    launcher = RUNTIME_BYTES[device] if processes > 1 else 0  # the job's process imports torch to start the ranks
    return launcher + processes * (RUNTIME_BYTES[device] + training_bytes(config, device, images, teacher))


def _heights(config: RunConfig, device: str, images: int, teacher: ModelConfig | None) -> tuple[float, ...]:
    """Return the peak bytes of a training step, of validation, and of writing files."""
    recipe, counts = config.training, count(config.model, device)
    batch = -(-recipe.batch_size // recipe.processes)
    validated = batch if recipe.drop_last else VALIDATION_BATCH[device]
    validated = min(validated, config.data.val_images or validated)
    weights = FLOAT * counts.parameters
    trained = FLOAT * count_trained(config)
    averaged = weights if recipe.average else 0
    lasting = weights + 3 * trained + averaged  # the weights, the gradients, AdamW's two moments
    step: float = batch * counts.peak
    validation: float = validated * sum(counts.flow)
    heap = counts.tensors + counts.passing
    if not recipe.labelled:
        more = added(config, device)
        weights += FLOAT * more.copied
        lasting += FLOAT * (more.copied + more.trained)
        step = batch * more.peak
    if _is_frozen(config):  # nothing is kept for a backward pass, but images are augmented
        flow = sum(counts.flow) + count_head(config.model, device).peak
        step, heap = batch * max(flow, AUGMENTED * _pixels(config.model)), counts.flow
    if teacher:  # it answers while the tensors of the network are kept
        theirs, kept = count(teacher, device), 0 if _is_frozen(config) else counts.kept
        lasting += FLOAT * theirs.parameters
        step = max(step, batch * (kept + sum(theirs.flow)))
    if device == "cuda":
        lasting += WORKSPACE_BYTES + images * _pixels(config.model)
        return lasting + step + weights / 2, lasting + validation  # in a step products read a copy in bf16
    step += HOLES * batch * _in_heap(heap, batch)
    validation += HOLES * validated * _in_heap(counts.flow, validated)
    if recipe.keep == "training_loss":
        lasting += weights
    # The weights and the moments as bytes, and those as a file.
    return lasting + step, lasting + validation, lasting + 2 * (weights + 2 * trained + averaged)


def _in_heap(tensors: tuple[int, ...], images: int) -> int:
    """Return the bytes per image of those tensors that are in the C library's heap."""
    return sum(size for size in tensors if size * images < HOLES_TENSOR_MAX)


def disk_bytes(config: RunConfig) -> int:
    """Return the size of a run's files: the kept weights, what a resume needs, and fp16 snapshots.

    A resume needs the weights, two moments and, if there is one, the average of the weights.
    """
    snapshots, averaged = min(config.training.snapshots, config.training.epochs), bool(config.training.average)
    own = count_parameters(config.model)
    more = 0 if config.training.labelled else FLOAT * (added(config).copied + added(config).trained)
    return own * (2 * snapshots + (2 + averaged) * FLOAT) + count_trained(config) * 2 * FLOAT + more


def fits(config: RunConfig, device: Device, teacher: ModelConfig | None = None) -> bool:
    """Return whether training on ``device`` needs at most nine tenths of its memory."""
    need = memory_bytes(config, device.name, teacher=teacher)
    if device.name == "cuda":  # a CUDA graph keeps the memory of its step, so validation takes its own beside it
        need = RUNTIME_BYTES["cuda"] + sum(_heights(config, "cuda", 0, teacher))
    return need <= 0.9 * device.memory_bytes


def step_flops(config: RunConfig, teacher: ModelConfig | None = None) -> float:
    """Return the operations of a training step; ``teacher`` is the network that it learns from, if there is one."""
    return float(_image_flops(config, teacher) * config.training.batch_size)


def _image_flops(config: RunConfig, teacher: ModelConfig | None) -> float:
    """Return the operations of a training step for one image."""
    if not config.training.labelled:
        return added(config).flops
    return _passes(config) * count_flops(config.model) + (count_flops(teacher) if teacher else 0)


def _passes(config: RunConfig) -> int:
    """Return the cost of a step in forward passes: backward costs two, and a frozen backbone has no backward pass."""
    return 1 if _is_frozen(config) else 3


def _is_frozen(config: RunConfig) -> bool:
    return config.start is not None and config.start.frozen


def _pixels(model: ModelConfig) -> int:
    return model.in_channels * model.image_size**2


def estimate(
    config: RunConfig,
    *,
    train_count: int,
    val_count: int = 0,
    speeds: tuple[Speed, ...] = (),
    teacher: ModelConfig | None = None,
) -> Estimate:
    """Return the cost of training ``config`` on this many images.

    Args:
        config: the run.
        train_count: number of training images.
        val_count: number of validation images.
        speeds: from :func:`vit.runs.speeds.measured_speeds`, newest first.
        teacher: the network that the training learns from (:func:`vit.runs.teachers.teacher_model`); None if there is
            none.
    """
    device = hardware.resolve(config.training.device)
    speed, measured = _best_speed(config, speeds, teacher)
    work = _image_flops(config, teacher) * _images_used(train_count, config.training)
    if not measured or _is_frozen(config):  # the time of a similar run already includes validation
        work += count_flops(config.model) * _images_used(val_count, config.training)
    return Estimate(
        tokens=config.model.num_tokens if isinstance(config.model, TransformerConfig) else None,
        parameters=count_parameters(config.model),
        trained=count_trained(config),
        memory_bytes=memory_bytes(config, device, train_count + val_count, teacher),
        training_bytes=training_bytes(config, device, train_count + val_count, teacher),
        disk_bytes=disk_bytes(config),
        seconds=config.training.epochs * work / speed.flops_per_second if speed else None,
        measured=measured,
    )


def _best_speed(config: RunConfig, speeds: tuple[Speed, ...], teacher: ModelConfig | None) -> tuple[Speed | None, bool]:
    """Return the speed that tells most about a run, and whether that is the speed of a similar run.

    Small steps use only a small part of a device, so it is the run with the most similar step; of runs that are about
    as similar, the newest, because the load of a machine changes. Others say nothing: a toy network would be wrong by a
    factor of fifty. Then a brief measurement gives a first answer.
    """
    size, usable = step_flops(config, teacher), [one for one in speeds if one.processes == config.training.processes]

    def distance(one: Speed) -> float:
        return abs(math.log(size / one.step_flops))

    similar = [one for one in usable if one.network == config.model.name and distance(one) < math.log(SIMILAR)]
    if similar:
        return min(similar, key=lambda one: round(distance(one), 1)), True
    return next((one for one in usable if not one.network), None), False


def total_seconds(seconds: Iterable[float | None]) -> float | None:
    """Return the sum of expected times; None if one of them is unknown."""
    found = list(seconds)
    return None if None in found else math.fsum(each or 0.0 for each in found)


def _images_used(images: int, training: TrainingConfig) -> int:
    """Return how many images an epoch uses, divided as in :func:`vit.data.batches.steps_per_epoch`."""
    batch = training.batch_size
    return images - images % batch if training.drop_last and images >= batch else images
