"""The training loop, as a generator: ``for event in fit(config, data)`` yields what happened.

It knows nothing of files, pages or processes. The command line prints its events, a job appends them to a file, a test
collects them in a list.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vit.config import VALIDATION_BATCH, RunConfig, TrainingConfig
from vit.data import ImageData
from vit.data.batches import Batches
from vit.distributed import ALONE, World
from vit.errors import UserError
from vit.networks import build_model
from vit.support import hardware
from vit.trainer import checkpoint
from vit.trainer.checkpoint import Checkpoint
from vit.trainer.optimizer import AdamW
from vit.trainer.step import Stepper

REPORT_SECONDS = {"cpu": 0.0, "cuda": 1.0, "mps": 1.0}
"""How often a device is asked for its losses: a GPU idles while it is waited for, the processor tells each step."""
TOGETHER_SECONDS = 0.5
"""The same of a GPU that trains with others, who are stopped no sooner."""

WINDOW = 100
"""Steps of the running training loss."""


class TrainingFailed(UserError):
    """Training cannot go on; the message says why and what to change."""


@dataclass(frozen=True)
class Step:
    """One optimiser step: numbers from 1, the loss of its batch, seconds of training so far."""

    step: int
    epoch: int
    loss: float
    lr: float
    images_per_second: float
    seconds: float


@dataclass(frozen=True)
class Epoch:
    """One pass over the training images, then validation.

    ``train_loss`` and ``train_accuracy`` are means over the pass, on augmented images while the weights moved.
    ``kept`` says that there are new weights to keep: ``weights``, valid until the next event. They are those of the
    epoch's end, or, with ``keep="training_loss"``, of a step on the way; ``best`` is what was measured with them.
    """

    epoch: int
    step: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float
    seconds: float
    kept: bool
    best: dict[str, float] = field(repr=False, compare=False)
    weights: dict[str, Tensor] = field(repr=False, compare=False)
    checkpoint: Checkpoint = field(repr=False, compare=False)


@dataclass(frozen=True)
class Snapshot:
    """Weights along the way: fp16 after an epoch, or, ``final``, as they stood when training was asked to stop."""

    epoch: int
    step: int
    weights: dict[str, Tensor] = field(repr=False, compare=False)
    final: bool = False


@dataclass(frozen=True)
class Note:
    """A sentence for the log, on how the training is done."""

    text: str


def learning_rate(config: TrainingConfig, step: int, total: int) -> float:
    """Linear warm-up to ``config.lr``, then half a cosine to zero or none; ``step`` counts from 0 to ``total - 1``."""
    warmup = round(config.warmup * total)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    if config.schedule == "constant":
        return config.lr
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def snapshot_epochs(epochs: int, count: int) -> set[int]:
    """At most ``count`` epochs out of ``1..epochs``, evenly spaced, the last among them."""
    count = min(count, epochs)
    return {epochs - round(index * epochs / count) for index in range(count)}


def fit(
    config: RunConfig,
    data: ImageData,
    *,
    resume: Checkpoint | None = None,
    stop: Callable[[], bool] | None = None,
    world: World = ALONE,
    initial: Mapping[str, Tensor] | None = None,
) -> Iterator[Step | Epoch | Snapshot | Checkpoint | Note]:
    """Train the model of ``config`` on ``data``.

    Order, augmentation and dropout of a step are drawn from (seed, epoch, step) alone, so a resume needs a position and
    no generator's state; on a CPU with one number of threads the same settings give the same numbers.

    A :class:`Checkpoint` comes with each epoch, and by itself after every ``resume_steps`` steps within one. Who keeps
    one has kept all that came before it: a resume yields what comes after it, and once more the snapshot of an epoch
    that it is the end of.

    Args:
        resume: go on after this checkpoint, which is checked at once, before the first event is asked for.
        stop: asked after each step and each batch of validation; once it is true, a final :class:`Snapshot` follows,
            and the end.
        world: who trains, each with the same arguments. All are told the same; one who is to stop stops all.
        initial: weights to begin from, where ``config.start`` says so; the head is drawn where it is not among them.
            The first event is then a checkpoint at step 0, so that a resume needs them no more.

    Raises:
        TrainingFailed: the checkpoint or the weights to begin from are not of this training, the loss is no longer
            finite, the device's memory is exhausted, or the images cannot be read.
    """
    with _in_words(config):
        loop = _Loop(config, data, stop or (lambda: False), world)
        if resume is not None:
            loop.restore(resume)
        elif config.start is not None:
            loop.begin_from(initial)
    return _events(config, loop)


def _events(config: RunConfig, loop: "_Loop") -> Iterator[Step | Epoch | Snapshot | Checkpoint | Note]:
    with _in_words(config):
        yield from loop.run()


@contextmanager
def _in_words(config: RunConfig) -> Iterator[None]:
    """What can go wrong with a device or with images, as :class:`TrainingFailed`."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError):
        raise _out_of_memory(config) from None
    except RuntimeError as error:
        # how the CPU's and Apple's allocators say it
        if "allocate memory" in str(error) or "out of memory" in str(error):
            raise _out_of_memory(config) from None
        raise
    except OSError as error:
        raise TrainingFailed(
            f"The images of {config.data.source!r} can no longer be read ({error.strerror or error}); "
            "put the data set back and start the run again."
        ) from error


def _out_of_memory(config: RunConfig) -> TrainingFailed:
    return TrainingFailed(
        f"The device has not enough memory for this model with batches of {config.training.batch_size}; "
        "choose a smaller batch, fewer heads or layers, or larger patches."
    )


class _Kept(NamedTuple):
    """Weights of the lowest running loss, and their step."""

    step: int
    weights: dict[str, Tensor]


@dataclass
class _Pass:
    """What an epoch under way has come to.

    Attributes:
        loss_sum, right, seen: over its images: losses, right answers, how many.
        window: losses since the running loss was last taken.
        lowest: of its steps the one with the lowest running loss, where that is the lowest of all.
    """

    loss_sum: float = 0.0
    right: int = 0
    seen: int = 0
    window: list[float] = field(default_factory=list)
    lowest: _Kept | None = None


class _Loop:
    """The state of one training: what :func:`fit` would otherwise pass from function to function."""

    def __init__(self, config: RunConfig, data: ImageData, stop: Callable[[], bool], world: World) -> None:
        self.recipe = config.training
        self.world = world
        self.asked = stop
        self.device = world.device(hardware.resolve(self.recipe.device))
        model = build_model(config.model, seed=self.recipe.seed).to(self.device)
        self.frozen = config.start is not None and config.start.frozen
        if self.frozen:  # then autograd keeps nothing of it either
            model.requires_grad_(False).head.requires_grad_(True)
        normed = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())
        self.own_statistics = normed and not self.frozen
        if self.own_statistics and not world.alone and self.device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # torch has it for GPUs alone
            self.own_statistics = False
        self.model = model
        self.optimizer = AdamW(self.model, self.recipe, config.start.layer_decay if config.start else 1.0)
        common = {
            "device": self.device,
            "mean": config.data.mean,
            "std": config.data.std,
            "seed": self.recipe.seed,
        }
        batch, drop_last = self.recipe.batch_size, self.recipe.drop_last
        self.train = Batches(data.train, batch_size=batch, augment=self.recipe.augment, drop_last=drop_last, **common)
        # Which images a dropped batch holds depends on the size of the batches.
        validated = batch if drop_last else VALIDATION_BATCH[self.device.type] * world.size
        self.val = Batches(data.val, batch_size=validated, drop_last=drop_last, **common)
        self.stepper = Stepper(self.model, self.optimizer, self.train, self.recipe, world)
        self.eager_told = ""
        self.report_seconds = REPORT_SECONDS[self.device.type]
        self.stride = 1  # steps until the next telling, where several have to agree on it
        self.total = len(self.train) * self.recipe.epochs
        self.step = 0
        self.done = 0  # complete epochs
        self.under_way = _Pass()
        self.best: tuple[float, float] | None = None
        self.seconds_before = 0.0
        self.begins_from_given = False

    def stop(self) -> bool:
        """Whether anybody is to stop; all ask at the same place."""
        return self.world.any(self.asked())

    def run(self) -> Iterator[Step | Epoch | Snapshot | Checkpoint | Note]:
        self.started = time.monotonic() - self.seconds_before
        if self.begins_from_given:
            yield self._checkpoint()
        if self.own_statistics and not self.world.alone:
            yield Note(
                "Batch norm takes the statistics of each process's own part of a batch: "
                f"losses are not those of one process with batches of {self.recipe.batch_size}."
            )
        snapshots = snapshot_epochs(self.recipe.epochs, self.recipe.snapshots)
        if self.done in snapshots and not self._steps_under_way:  # nobody knows whether it was kept in time
            yield Snapshot(self.done, self.step, _copy(self.model.state_dict(), torch.float16))
        for epoch in range(self.done + 1, self.recipe.epochs + 1):
            yield from self._train_epoch(epoch)
            event = None if self.stop() else self._finish_epoch(epoch)
            if event is None:
                yield Snapshot(epoch, self.step, _copy(self.model.state_dict()), final=True)
                return
            yield event
            if epoch in snapshots:
                yield Snapshot(epoch, self.step, _copy(self.model.state_dict(), torch.float16))

    @property
    def _steps_under_way(self) -> int:
        """Steps since the last complete epoch."""
        return self.step - self.done * len(self.train)

    def _train_epoch(self, epoch: int) -> Iterator[Step | Checkpoint | Note]:
        """The steps of an epoch that are left."""
        self.model.train(not self.frozen)  # what is frozen gives the features that it gives later, without dropout
        order = self.train.order(epoch)
        untold: list[tuple[int, float]] = []  # images and learning rate of steps whose losses lie on the device
        told = time.monotonic()
        for position in range(self._steps_under_way, len(self.train)):
            rows, lr = self.train.rows(order, position), learning_rate(self.recipe, self.step, self.total)
            self.stepper.take(rows, epoch=epoch, step=self.step, position=position, lr=lr)
            self.step += 1
            untold.append((len(rows), lr))
            whole = position + 1 == len(self.train)
            due = bool(self.recipe.resume_steps) and self.step % self.recipe.resume_steps == 0 and not whole
            full = self.recipe.keep == "training_loss" and len(self.under_way.window) + len(untold) == WINDOW
            if not (whole or due or full or self._is_late(len(untold), told)):
                continue
            yield from self._tell(epoch, untold, told)
            untold.clear()
            if due:
                yield self._checkpoint()
            if self.stop():
                break
            told = time.monotonic()

    def _is_late(self, untold: int, told: float) -> bool:
        """Whether it is time to tell; several go by the count of steps, since each has a clock of its own."""
        if self.world.alone:
            return time.monotonic() - told >= self.report_seconds or self.asked()
        return untold >= self.stride

    def _agree_on_stride(self, steps: int, seconds: float) -> None:
        """By the first one's clock; it grows slowly, since the first steps wait for kernels to be chosen."""
        if self.report_seconds and not self.world.alone:
            wanted = int(steps * TOGETHER_SECONDS / max(seconds, 1e-9))
            self.stride = self.world.share(max(1, min(2 * self.stride, wanted)))

    def _tell(self, epoch: int, untold: list[tuple[int, float]], since: float) -> Iterator[Step | Note]:
        """What the steps since a moment came to; of several at once the time is shared out evenly."""
        if self.device.type == "cuda" and self.stepper.eager != self.eager_told:
            self.eager_told = self.stepper.eager
            yield Note(f"Steps are not captured as a CUDA graph, since {self.eager_told}.")
        results = self.stepper.results()
        each = (time.monotonic() - since) / len(results)
        self._agree_on_stride(len(results), each * len(results))
        self.world.average(self.model.buffers())  # running statistics, which are read here and nowhere on the way
        passed, before = self.under_way, self._seconds() - each * len(results)
        for index, ((loss, right), (count, lr)) in enumerate(zip(results, untold, strict=True), start=1):
            step = self.step - len(results) + index
            if not math.isfinite(loss):
                raise TrainingFailed(
                    f"The loss is no longer finite at step {step} of epoch {epoch}; "
                    f"choose a learning rate below {self.recipe.lr:g}, or a longer warm-up."
                )
            passed.seen += count
            passed.loss_sum += loss * count
            passed.right += right
            if self.recipe.keep == "training_loss":
                passed.window.append(loss)
                whole = step - self.done * len(self.train) == len(self.train)
                if len(passed.window) == WINDOW or (whole and len(self.train) < WINDOW):
                    self._note_window()
            yield Step(step, epoch, loss, lr, count / max(each, 1e-9), before + each * index)

    @torch.inference_mode()
    def _validate(self) -> tuple[float, float] | None:
        """Loss (cross-entropy, unsmoothed) and accuracy on the validation images; None when stopped on the way."""
        self.model.eval()
        parts, seen = [], 0
        for images, labels in self.val.in_order(self.world.part):
            if len(labels):  # there may be more processes than images
                logits = self.model(images).float()
                right = (logits.argmax(dim=1) == labels).sum()
                parts.append(torch.stack((F.cross_entropy(logits, labels, reduction="sum"), right)))
                seen += len(labels)
            if self.stop():
                return None
        told = torch.stack(parts).tolist() if parts else []  # waits for the device once, not at each batch
        sums = (sum(loss for loss, _ in told), sum(right for _, right in told), seen)
        loss, right, seen = self.world.add(torch.tensor(sums, dtype=torch.float64)).tolist()
        return loss / max(1, seen), right / max(1, seen)

    def _note_window(self) -> None:
        """Take the running loss, and hold on to the weights as they are now where it is the lowest."""
        losses, self.under_way.window = self.under_way.window, []
        if self._is_best((-sum(losses) / len(losses), 0.0)):
            self.under_way.lowest = _Kept(self.step, _copy(self.model.state_dict()))

    def _finish_epoch(self, epoch: int) -> Epoch | None:
        """Validate, and decide which weights to keep; None when stopped on the way."""
        validation = self._validate()
        if validation is None:
            return None
        passed = self.under_way
        measured = {
            "epoch": epoch,
            "step": self.step,
            "train_loss": passed.loss_sum / max(1, passed.seen),
            "train_accuracy": passed.right / max(1, passed.seen),
            "val_loss": validation[0],
            "val_accuracy": validation[1],
            "lr": learning_rate(self.recipe, max(0, self.step - 1), self.total),
            "seconds": self._seconds(),
        }
        best, weights = measured, self.model.state_dict()
        match self.recipe.keep:
            case "validation":
                kept = self._is_best((measured["val_accuracy"], -measured["val_loss"]))
            case "training_loss":
                kept = passed.lowest is not None
                if kept and passed.lowest.step != self.step:
                    validation = self._validate_other(passed.lowest.weights)
                    if validation is None:
                        return None
                    weights = passed.lowest.weights
                    best = measured | {
                        "step": passed.lowest.step,
                        "val_loss": validation[0],
                        "val_accuracy": validation[1],
                    }
            case "last":
                kept = True
        self.done, self.under_way = epoch, _Pass()
        return Epoch(**measured, kept=kept, best=best, weights=weights, checkpoint=self._checkpoint())

    def _validate_other(self, weights: dict[str, Tensor]) -> tuple[float, float] | None:
        """:meth:`_validate` with other weights; the model's own are put back."""
        own = _copy(self.model.state_dict())
        self.model.load_state_dict(weights)
        try:
            return self._validate()
        finally:
            self.model.load_state_dict(own)

    def _is_best(self, score: tuple[float, float]) -> bool:
        if self.best is not None and score <= self.best:
            return False
        self.best = score
        return True

    def _seconds(self) -> float:
        return time.monotonic() - self.started

    def _checkpoint(self) -> Checkpoint:
        passed = self.under_way
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"optimizer.{name}": value for name, value in self.optimizer.state().items()}
        position = {"epoch": self.done, "step": self.step, "seconds": self._seconds()}
        position |= {"loss_sum": passed.loss_sum, "right": passed.right, "seen": passed.seen}
        if self.best is not None:
            position |= {"best": self.best[0], "tie": self.best[1]}
        if passed.lowest is not None:
            tensors |= {f"kept.{name}": value for name, value in passed.lowest.weights.items()}
            position["kept_step"] = passed.lowest.step
        if passed.window:
            tensors[checkpoint.WINDOW] = torch.tensor(passed.window, dtype=torch.float64)
        return Checkpoint(tensors, position)

    def begin_from(self, initial: Mapping[str, Tensor] | None) -> None:
        """Take over weights; the head stays as it was drawn where it is not among them.

        Raises:
            TrainingFailed: there are none, or they are not of this network.
        """
        if initial is None:
            raise TrainingFailed("This training starts from a run: give fit the weights of finetune.initial_weights.")
        foreign = TrainingFailed("The weights to start from are not of this network: set the run up anew.")
        try:
            missing, unexpected = self.model.load_state_dict(initial, strict=False)
        except RuntimeError:
            raise foreign from None
        if unexpected or not all(name.startswith("head.") for name in missing):
            raise foreign
        self.begins_from_given = True

    def restore(self, saved: Checkpoint) -> None:
        """Go back to a checkpoint; it is left as it is.

        Raises:
            TrainingFailed: it is not one of this training.
        """
        position = saved.position
        if not checkpoint.is_position(position):
            raise _cannot_go_on("its position is not one")
        self.done, self.step = position["epoch"], position["step"]
        under_way = self._steps_under_way
        most = len(self.train) if self.done < self.recipe.epochs else 1
        if self.done > self.recipe.epochs or not 0 <= under_way < most:
            raise TrainingFailed(
                f"Training cannot go on after step {self.step} and {self.done} epochs, for an epoch of these images "
                f"is {len(self.train)} steps: put the former images back, or start the run over."
            )
        window = under_way % WINDOW if self.recipe.keep == "training_loss" else None
        if reason := checkpoint.mismatch(saved, self.model, self.optimizer, window):
            raise _cannot_go_on(reason)
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}, "kept": {}, checkpoint.WINDOW: {}}
        for name, value in saved.tensors.items():
            kind, _, rest = name.partition(".")
            parts[kind][rest] = value
        self.model.load_state_dict(parts["model"])
        self.optimizer.load(parts["optimizer"])
        self.seconds_before = position["seconds"]
        self.best = (position["best"], position.get("tie", 0.0)) if "best" in position else None
        self.under_way = _Pass(
            position.get("loss_sum", 0.0),
            position.get("right", 0),
            position.get("seen", 0),
            saved.tensors[checkpoint.WINDOW].tolist() if window else [],
            _Kept(position["kept_step"], parts["kept"]) if parts["kept"] else None,
        )


def _cannot_go_on(reason: str) -> TrainingFailed:
    return TrainingFailed(f"Training cannot go on from where it was, since {reason}: start the run over.")


def _copy(weights: dict[str, Tensor], dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    return {
        name: value.detach().to("cpu", dtype if value.is_floating_point() else None, copy=True)
        for name, value in weights.items()
    }
