"""The training loop, as a generator: ``for event in fit(config, data)`` yields what happened.

It knows nothing of files, pages or processes. The command line prints its events, a job appends them to a file, a test
collects them in a list.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vit import hardware
from vit.config import RunConfig, TrainingConfig
from vit.data import ImageData
from vit.data.batches import Batches, mix_seed
from vit.errors import UserError
from vit.networks import build_model

VALIDATION_BATCH = 256

WINDOW = 100
"""Steps of the running training loss."""


class TrainingFailed(UserError):
    """Training cannot go on; the message says why and what to change."""


@dataclass(frozen=True)
class Checkpoint:
    """All that going on needs, as of the end of an epoch.

    Attributes:
        tensors: ``model.*`` the weights, ``optimizer.<index>.*`` the optimiser's state of each parameter.
        position: epoch and step that are done, seconds trained, and the score that the kept weights have.
    """

    tensors: dict[str, Tensor]
    position: dict[str, float]


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


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019); only matrices and filters decay, not biases, norms, positions or tokens."""
    decayed, free = [], []
    for name, parameter in model.named_parameters():
        table = name.endswith(("pos_embed", "cls_token"))
        (free if parameter.ndim < 2 or table else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)


def fit(
    config: RunConfig,
    data: ImageData,
    *,
    resume: Checkpoint | None = None,
    stop: Callable[[], bool] | None = None,
) -> Iterator[Step | Epoch | Snapshot]:
    """Train the model of ``config`` on ``data``.

    Order, augmentation and dropout of a step are drawn from (seed, epoch, step) alone, so a resume needs a position and
    no generator's state; on a CPU with one number of threads the same settings give the same numbers.

    Args:
        resume: go on after this checkpoint.
        stop: asked after each step and each batch of validation; once it is true, a final :class:`Snapshot` follows,
            and the end.

    Raises:
        TrainingFailed: the loss is no longer finite, the device's memory is exhausted, or the images cannot be read.
    """
    try:
        yield from _Loop(config, data, stop or (lambda: False)).run(resume)
    except (torch.OutOfMemoryError, MemoryError):
        raise _out_of_memory(config) from None
    except RuntimeError as error:
        if "allocate memory" in str(error) or "out of memory" in str(
            error
        ):  # how the CPU's and Apple's allocators say it
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


class _Loop:
    """The state of one training: what :func:`fit` would otherwise pass from function to function."""

    def __init__(self, config: RunConfig, data: ImageData, stop: Callable[[], bool]) -> None:
        self.recipe = config.training
        self.stop = stop
        self.device = torch.device(hardware.resolve(self.recipe.device))
        self.model = build_model(config.model, seed=self.recipe.seed).to(self.device)
        self.optimizer = make_optimizer(self.model, self.recipe)
        common = {
            "device": self.device,
            "mean": config.data.mean,
            "std": config.data.std,
            "seed": self.recipe.seed,
        }
        batch, drop_last = self.recipe.batch_size, self.recipe.drop_last
        self.train = Batches(data.train, batch_size=batch, augment=self.recipe.augment, drop_last=drop_last, **common)
        # Which images a dropped batch holds depends on the size of the batches.
        self.val = Batches(data.val, batch_size=batch if drop_last else VALIDATION_BATCH, drop_last=drop_last, **common)
        self.total = len(self.train) * self.recipe.epochs
        self.step = 0
        self.best: tuple[float, float] | None = None
        self.lowest: _Kept | None = None
        self.seconds_before = 0.0

    def run(self, resume: Checkpoint | None) -> Iterator[Step | Epoch | Snapshot]:
        first = 1
        if resume is not None:
            self._restore(resume)
            first = int(resume.position["epoch"]) + 1
        self.started = time.monotonic() - self.seconds_before
        snapshots = snapshot_epochs(self.recipe.epochs, self.recipe.snapshots)
        for epoch in range(first, self.recipe.epochs + 1):
            train_loss, train_accuracy = yield from self._train_epoch(epoch)
            event = None if self.stop() else self._finish_epoch(epoch, train_loss, train_accuracy)
            if event is None:
                yield Snapshot(epoch, self.step, _copy(self.model.state_dict()), final=True)
                return
            yield event
            if epoch in snapshots:
                yield Snapshot(epoch, self.step, _copy(self.model.state_dict(), torch.float16))

    def _train_epoch(self, epoch: int) -> Iterator[Step]:
        """Yields each step; returns the means of loss and accuracy over the images seen."""
        self.model.train()
        loss_sum, right, seen = 0.0, 0, 0
        window: list[float] = []
        self.lowest = None
        clock = time.monotonic()
        for images, labels in self.train.epoch(epoch):
            lr = learning_rate(self.recipe, self.step, self.total)
            for group in self.optimizer.param_groups:
                group["lr"] = lr
            loss, logits = self._optimise(images, labels, epoch)
            value = loss.item()
            if not math.isfinite(value):
                raise TrainingFailed(
                    f"The loss is no longer finite at step {self.step + 1} of epoch {epoch}; "
                    f"choose a learning rate below {self.recipe.lr:g}, or a longer warm-up."
                )
            self.step += 1
            seen += len(labels)
            loss_sum += value * len(labels)
            right += int((logits.argmax(dim=1) == labels).sum())
            window.append(value)
            if len(window) == WINDOW or (self.step % len(self.train) == 0 and len(self.train) < WINDOW):
                self._note_window(window)
                window = []
            now = time.monotonic()
            yield Step(self.step, epoch, value, lr, len(labels) / max(now - clock, 1e-9), self._seconds())
            clock = now
            if self.stop():
                break
        return loss_sum / max(1, seen), right / max(1, seen)

    def _optimise(self, images: Tensor, labels: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(mix_seed(self.recipe.seed, epoch, self.step))  # dropout and stochastic depth
            with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
                logits = self.model(images)
        logits = logits.float()
        loss = F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)
        self.optimizer.zero_grad()
        loss.backward()
        if self.recipe.clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
        self.optimizer.step()
        return loss.detach(), logits.detach()

    @torch.inference_mode()
    def _validate(self) -> tuple[float, float] | None:
        """Loss (cross-entropy, unsmoothed) and accuracy on the validation images; None when stopped on the way."""
        self.model.eval()
        loss_sum, right, seen = 0.0, 0, 0
        for images, labels in self.val.in_order():
            logits = self.model(images).float()
            loss_sum += F.cross_entropy(logits, labels, reduction="sum").item()
            right += int((logits.argmax(dim=1) == labels).sum())
            seen += len(labels)
            if self.stop():
                return None
        return loss_sum / max(1, seen), right / max(1, seen)

    def _note_window(self, losses: list[float]) -> None:
        """Hold on to the weights as they are now, where ``keep`` asks for them and the running loss is the lowest."""
        if self.recipe.keep == "training_loss" and self._is_best((-sum(losses) / len(losses), 0.0)):
            self.lowest = _Kept(self.step, _copy(self.model.state_dict()))

    def _finish_epoch(self, epoch: int, train_loss: float, train_accuracy: float) -> Epoch | None:
        """Validate, and decide which weights to keep; None when stopped on the way."""
        validation = self._validate()
        if validation is None:
            return None
        measured = {
            "epoch": epoch,
            "step": self.step,
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            "val_loss": validation[0],
            "val_accuracy": validation[1],
            "lr": self.optimizer.param_groups[0]["lr"],
            "seconds": self._seconds(),
        }
        best, weights = measured, self.model.state_dict()
        match self.recipe.keep:
            case "validation":
                kept = self._is_best((measured["val_accuracy"], -measured["val_loss"]))
            case "training_loss":
                kept = self.lowest is not None
                if kept and self.lowest.step != self.step:
                    validation = self._validate_other(self.lowest.weights)
                    if validation is None:
                        return None
                    weights = self.lowest.weights
                    best = measured | {
                        "step": self.lowest.step,
                        "val_loss": validation[0],
                        "val_accuracy": validation[1],
                    }
            case "last":
                kept = True
        return Epoch(**measured, kept=kept, best=best, weights=weights, checkpoint=self._checkpoint(epoch))

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

    def _checkpoint(self, epoch: int) -> Checkpoint:
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
        best = self.best or (0.0, 0.0)
        position = {"epoch": epoch, "step": self.step, "seconds": self._seconds(), "best": best[0], "tie": best[1]}
        return Checkpoint(tensors, position)

    def _restore(self, checkpoint: Checkpoint) -> None:
        part = {"model": {}, "optimizer": {}}
        for name, value in checkpoint.tensors.items():
            kind, rest = name.split(".", 1)
            part[kind][rest] = value
        self.model.load_state_dict(part["model"])
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in part["optimizer"].items():
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        position = checkpoint.position
        self.step = int(position["step"])
        self.seconds_before = position["seconds"]
        self.best = (position["best"], position["tie"])


def _copy(weights: dict[str, Tensor], dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    return {
        name: value.detach().to("cpu", dtype if value.is_floating_point() else None, copy=True)
        for name, value in weights.items()
    }
