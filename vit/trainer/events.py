"""The events that a training yields."""

from dataclasses import dataclass, field

from torch import Tensor

from vit.runs.live_maps import LiveMaps
from vit.trainer.checkpoint import Checkpoint


@dataclass(frozen=True)
class Step:
    """One optimiser step.

    Attributes:
        step, epoch: numbers from 1.
        loss: mean loss of the batch.
        seconds: training time so far.
        accuracy: share of the batch that the network classified correctly, on augmented images; None without labels.
            The answer to a mixed image counts as correct if no class has a larger share of it.
    """

    step: int
    epoch: int
    loss: float
    lr: float
    images_per_second: float
    seconds: float
    accuracy: float | None = None


@dataclass(frozen=True)
class Epoch:
    """One pass over the training images, and the validation after it.

    Attributes:
        train_loss, train_accuracy: means over the pass, on augmented images and while the weights changed; there is no
            ``train_accuracy`` without labels.
        val_loss, val_accuracy: on the validation images; without labels ``val_accuracy`` is the k-nearest-neighbour
            accuracy of :mod:`vit.trainer.objectives.neighbours`.
        measures: further figures of the validation by name, such as DINO's ``teacher_entropy``.
        kept: whether there are new weights to keep.
        weights: the weights to keep, valid until the next event: those at the end of the epoch, or, with
            ``keep="training_loss"``, those of a step within it.
        best: metrics of these weights.
    """

    epoch: int
    step: int
    train_loss: float
    train_accuracy: float | None
    val_loss: float
    val_accuracy: float
    lr: float
    seconds: float
    kept: bool
    measures: dict[str, float] = field(repr=False)
    best: dict[str, float] = field(repr=False, compare=False)
    weights: dict[str, Tensor] = field(repr=False, compare=False)
    checkpoint: Checkpoint = field(repr=False, compare=False)


@dataclass(frozen=True)
class Snapshot:
    """Weights during training: float16 after an epoch, or, if ``final``, as they were when training was stopped."""

    epoch: int
    step: int
    weights: dict[str, Tensor] = field(repr=False, compare=False)
    final: bool = False


@dataclass(frozen=True)
class Note:
    """A sentence for the log about how the training runs."""

    text: str


@dataclass(frozen=True)
class Maps:
    """The attention of the images that are watched, between two steps."""

    maps: LiveMaps = field(repr=False, compare=False)


Event = Step | Epoch | Snapshot | Checkpoint | Note | Maps
