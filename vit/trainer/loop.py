"""The training loop, as a generator: ``for event in fit(config, data)`` yields what happened.

The loop does not know files, pages or processes. The command line prints its events, a job appends them to a file, a
test collects them in a list.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vit.config import VALIDATION_BATCH, RunConfig
from vit.data import ImageData
from vit.data.batches import Batches
from vit.distributed import ALONE, World
from vit.networks import build_model
from vit.support import hardware
from vit.trainer import checkpoint
from vit.trainer.checkpoint import Checkpoint
from vit.trainer.events import Epoch, Event, Maps, Note, Snapshot, Step
from vit.trainer.failures import TrainingFailed, not_resumable, translated_errors
from vit.trainer.live_maps import Watch
from vit.trainer.muon import build_optimizer
from vit.trainer.objectives import Objective, build_objective
from vit.trainer.schedule import learning_rate, snapshot_epochs
from vit.trainer.step import Stepper

REPORT_SECONDS = {"cpu": 0.0, "cuda": 1.0, "mps": 1.0}
"""Seconds between two reports of losses. A GPU idles while its losses are read; the CPU reports each step."""
MULTI_GPU_REPORT_SECONDS = 0.5
"""Reporting interval for multi-GPU training; also the delay of a stop."""

WINDOW = 100
"""Steps of the running training loss."""


def fit(
    config: RunConfig,
    data: ImageData,
    *,
    resume: Checkpoint | None = None,
    stop: Callable[[], bool] | None = None,
    world: World = ALONE,
    initial: Mapping[str, Tensor] | None = None,
    teacher: nn.Module | None = None,
    watch: Watch | None = None,
) -> Iterator[Event]:
    """Train the model of ``config`` on ``data``.

    The order, augmentation and dropout of a step depend only on (seed, epoch, step), so a resume needs a position and
    no generator state. On a CPU with a fixed number of threads, equal settings give equal numbers; with
    ``precision="auto"`` it computes in float32 there (a job measures, and chooses one of the others).

    Every epoch comes with a :class:`Checkpoint`, and with ``resume_steps`` the loop also yields checkpoints within an
    epoch. A training that is stopped ends with the checkpoint of its last step. A resume continues after the
    checkpoint; if the checkpoint ends an epoch, that epoch's snapshot is repeated.

    Args:
        config: settings of the run.
        data: training and validation images.
        resume: checkpoint to continue from; it is checked at once, before the first event.
        stop: called after each step and each validation batch; if it returns True, a final :class:`Snapshot` and a
            :class:`Checkpoint` follow, and the training ends.
        world: the ranks that train together. All ranks call this function with the same arguments and get the same
            events; if one of them is to stop, all stop.
        initial: weights to start from if ``config.start`` is set; a head that is missing keeps its random weights. The
            first event is then a checkpoint at step 0, so that a resume no longer needs these weights.
        teacher: network to learn from if the recipe names a teacher, as :func:`vit.runs.teachers.load_teacher` returns
            it.
        watch: records the attention of a few validation images, which is yielded as :class:`Maps`; all other events are
            the same without it. With several ranks, only rank 0 has one.

    Raises:
        TrainingFailed: the checkpoint or the initial weights do not fit, the loss is no longer finite, the device runs
            out of memory, or the images cannot be read.
    """
    with translated_errors(config):
        loop = _Loop(config, data, stop or (lambda: False), world, teacher, watch)
        if resume is not None:
            loop.restore(resume)
        elif config.start is not None:
            loop.begin_from(initial)
    return _events(config, loop)


def _events(config: RunConfig, loop: "_Loop") -> Iterator[Event]:
    with translated_errors(config):
        yield from loop.run()


class _LowestLoss(NamedTuple):
    """Weights of the step with the lowest running loss."""

    step: int
    weights: dict[str, Tensor]


@dataclass
class _EpochTotals:
    """Running totals of the current epoch.

    Attributes:
        loss_sum, right, seen: sum of the losses, number of correct answers, number of images.
        window: losses since the last running loss.
        lowest: the step of this epoch with the lowest running loss, if no earlier epoch had a lower one.
    """

    loss_sum: float = 0.0
    right: int = 0
    seen: int = 0
    window: list[float] = field(default_factory=list)
    lowest: _LowestLoss | None = None


class _Loop:
    """The state of one training."""

    def __init__(
        self,
        config: RunConfig,
        data: ImageData,
        stop: Callable[[], bool] = lambda: False,
        world: World = ALONE,
        teacher: nn.Module | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.watch = watch
        self.recipe = config.training
        if not self.recipe.labelled and not world.alone:
            raise TrainingFailed("A training without labels runs in one process: start it without torchrun.")
        self.world = world
        self.stop_requested = stop
        self.device = world.device(hardware.resolve(self.recipe.device))
        model: nn.Module = build_model(config.model, seed=self.recipe.seed).to(self.device)
        self.frozen = config.start is not None and config.start.frozen
        if self.frozen:  # autograd then stores nothing for the backbone
            model.requires_grad_(False).get_submodule("head").requires_grad_(True)
        has_batch_norm = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())
        self.separate_batch_norm = has_batch_norm and not self.frozen
        """Whether each rank computes batch norm statistics from its own part of a batch."""
        if self.separate_batch_norm and not world.alone and self.device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # exists only for GPUs
            self.separate_batch_norm = False
        self.model = model
        train, val = data.splits()
        common: dict[str, Any] = {
            "device": self.device,
            "mean": config.data.mean,
            "std": config.data.std,
            "seed": self.recipe.seed,
        }
        batch, drop_last = self.recipe.batch_size, self.recipe.drop_last
        self.train = Batches(train, batch_size=batch, drop_last=drop_last, augment=True, recipe=self.recipe, **common)
        # With drop_last, the validation images that are dropped depend on the batch size, so it must be the recipe's.
        val_batch = batch if drop_last else VALIDATION_BATCH[self.device.type] * world.size
        self.val = Batches(val, batch_size=val_batch, drop_last=drop_last, **common)
        if self.recipe.teacher and teacher is None:
            raise TrainingFailed("This training has a teacher: give fit the network of teachers.load_teacher.")
        self.objective: Objective = build_objective(self.model, self.train, self.recipe, teacher)
        decay = config.start.layer_decay if config.start else 1.0
        self.optimizer = build_optimizer(self.model, self.recipe, decay, self.objective.modules)
        self.stepper = Stepper(self.objective, self.optimizer, world)
        self.reported_eager = ""
        self.report_seconds = REPORT_SECONDS[self.device.type]
        self.report_steps = 1  # steps between two reports, which several ranks have to agree on
        self.total = len(self.train) * self.recipe.epochs
        self.step = 0
        self.epochs_done = 0
        self.totals = _EpochTotals()
        self.best: tuple[float, float] | None = None
        self.seconds_before = 0.0
        self.has_initial_weights = False

    def stop(self) -> bool:
        """Return whether any rank was asked to stop; all ranks must call this at the same place."""
        return self.world.any(self.stop_requested())

    def run(self) -> Iterator[Event]:
        self.started = time.monotonic() - self.seconds_before
        if self.watch is not None:
            self.watch.begin()
        if self.has_initial_weights:
            yield self._checkpoint()
        if self.separate_batch_norm and not self.world.alone:
            yield Note(
                "Batch norm uses the statistics of each process's own part of a batch, so losses differ from those of "
                f"one process with batches of {self.recipe.batch_size}."
            )
        snapshots = snapshot_epochs(self.recipe.epochs, self.recipe.snapshots)
        if self.epochs_done in snapshots and not self._steps_in_epoch:  # may not have been written before the run ended
            yield Snapshot(self.epochs_done, self.step, _copy(self.objective.evaluated.state_dict(), torch.float16))
        for epoch in range(self.epochs_done + 1, self.recipe.epochs + 1):
            yield from self._train_epoch(epoch)
            event = None if self.stop() else self._finish_epoch(epoch)
            if event is None:
                yield from self._maps(epoch, last=True)
                yield Snapshot(epoch, self.step, _copy(self.objective.evaluated.state_dict()), final=True)
                yield self._checkpoint()  # of all steps, also if the epoch's validation was interrupted
                return
            yield event
            yield from self._maps(epoch, asked=epoch in snapshots, last=epoch == self.recipe.epochs)
            if epoch in snapshots:
                yield Snapshot(epoch, self.step, _copy(self.objective.evaluated.state_dict(), torch.float16))

    @property
    def _steps_in_epoch(self) -> int:
        """Steps since the last complete epoch."""
        return self.step - self.epochs_done * len(self.train)

    def _train_epoch(self, epoch: int) -> Iterator[Step | Checkpoint | Note | Maps]:
        """Take the remaining steps of an epoch."""
        self.model.train(not self.frozen)  # a frozen backbone gives the same features as later, without dropout
        resume_steps = self.recipe.resume_steps
        order = self.train.order(epoch)
        pending: list[tuple[int, float]] = []  # images and learning rate of the steps that are not reported yet
        reported = time.monotonic()
        for position in range(self._steps_in_epoch, len(self.train)):
            rows, lr = self.train.rows(order, position), learning_rate(self.recipe, self.step, self.total)
            self.stepper.take(rows, epoch=epoch, step=self.step, position=position, lr=lr)
            self.step += 1
            pending.append((len(rows), lr))
            last = position + 1 == len(self.train)
            checkpoint_due = bool(resume_steps and self.step % resume_steps == 0) and not last
            window_full = self.recipe.keep == "training_loss" and len(self.totals.window) + len(pending) == WINDOW
            if not (last or checkpoint_due or window_full or self._report_due(len(pending), reported)):
                continue
            yield from self._report(epoch, pending, reported)
            pending.clear()
            yield from self._maps(epoch)
            if checkpoint_due:
                yield self._checkpoint()
            if self.stop():
                break
            reported = time.monotonic()

    def _report_due(self, pending: int, reported: float) -> bool:
        """Return whether to report now; several ranks count steps, since their clocks differ."""
        if self.world.alone:
            return time.monotonic() - reported >= self.report_seconds or self.stop_requested()
        return pending >= self.report_steps

    def _agree_on_report_steps(self, steps: int, seconds: float) -> None:
        """Set the reporting interval of all ranks by rank 0's clock.

        It at most doubles each time, because the first steps are slow while kernels are chosen.
        """
        if self.report_seconds and not self.world.alone:
            wanted = int(steps * MULTI_GPU_REPORT_SECONDS / max(seconds, 1e-9))
            self.report_steps = self.world.share(max(1, min(2 * self.report_steps, wanted)))

    def _report(self, epoch: int, pending: list[tuple[int, float]], since: float) -> Iterator[Step | Note]:
        """Read the losses of the pending steps and yield the steps; the time since then is divided evenly."""
        if self.device.type == "cuda" and self.stepper.eager != self.reported_eager:
            self.reported_eager = self.stepper.eager
            yield Note(f"Steps are not captured as a CUDA graph, since {self.reported_eager}.")
        results = self.stepper.results()
        each = (time.monotonic() - since) / len(results)
        self._agree_on_report_steps(len(results), each * len(results))
        for network in dict.fromkeys((self.model, self.objective.evaluated)):
            self.world.average(network.buffers())  # running statistics, which are read only here
        totals, before = self.totals, self._seconds() - each * len(results)
        for index, ((loss, right), (count, lr)) in enumerate(zip(results, pending, strict=True), start=1):
            step = self.step - len(results) + index
            if not math.isfinite(loss):
                raise TrainingFailed(
                    f"The loss is no longer finite at step {step} of epoch {epoch}; "
                    f"choose a learning rate below {self.recipe.lr:g}, or a longer warm-up."
                )
            totals.seen += count
            totals.loss_sum += loss * count
            totals.right += right
            if self.recipe.keep == "training_loss":
                totals.window.append(loss)
                last = step - self.epochs_done * len(self.train) == len(self.train)
                if len(totals.window) == WINDOW or (last and len(self.train) < WINDOW):
                    self._end_window()
            accuracy = right / count if self.objective.labelled else None
            yield Step(step, epoch, loss, lr, count / max(each, 1e-9), before + each * index, accuracy)

    def _maps(self, epoch: int, *, asked: bool = False, last: bool = False) -> Iterator[Maps | Note]:
        """Record the attention if it is due; the time until the next event, in which it is written, counts too."""
        watch, begun = self.watch, time.monotonic()
        if watch is None or not watch.due(self.step, asked=asked, last=last):
            return
        try:
            found = watch.record(self.objective.evaluated, self.val, step=self.step, epoch=epoch)
        except (RuntimeError, OSError) as error:  # out of memory, or an image that cannot be read
            self.watch = None
            yield Note(f"The attention is no longer recorded during the training: {str(error).splitlines()[0][:200]}")
            return
        yield Maps(found)
        watch.took(time.monotonic() - begun, self.step)

    def _validate(self) -> tuple[float, float] | None:
        """Return loss and accuracy on the validation images; None if stopped meanwhile."""
        return self.objective.validate(self.val, self.world, self.stop)

    def _end_window(self) -> None:
        """Compute the running loss, and copy the current weights if it is the lowest so far."""
        losses, self.totals.window = self.totals.window, []
        if self._is_best((-sum(losses) / len(losses), 0.0)):
            self.totals.lowest = _LowestLoss(self.step, _copy(self.objective.evaluated.state_dict()))

    def _finish_epoch(self, epoch: int) -> Epoch | None:
        """Validate and decide which weights to keep; None if stopped meanwhile."""
        validation = self._validate()
        if validation is None:
            return None
        totals, measures = self.totals, self.objective.measures
        metrics: dict[str, Any] = {
            "epoch": epoch,
            "step": self.step,
            "train_loss": totals.loss_sum / max(1, totals.seen),
            "train_accuracy": totals.right / max(1, totals.seen) if self.objective.labelled else None,
            "val_loss": validation[0],
            "val_accuracy": validation[1],
            "lr": learning_rate(self.recipe, max(0, self.step - 1), self.total),
            "seconds": self._seconds(),
        }
        best, weights, kept = metrics, self.objective.evaluated.state_dict(), True
        if self.recipe.keep == "validation":
            kept = self._is_best((metrics["val_accuracy"], -metrics["val_loss"]))
        elif self.recipe.keep == "training_loss":
            kept = totals.lowest is not None
            if totals.lowest is not None and totals.lowest.step != self.step:
                step, weights = totals.lowest
                validation = self._validate_weights(weights)
                if validation is None:
                    return None
                best = metrics | {"step": step, "val_loss": validation[0], "val_accuracy": validation[1]}
        best = {name: value for name, value in (best | self.objective.measures).items() if value is not None}
        self.epochs_done, self.totals = epoch, _EpochTotals()
        return Epoch(**metrics, measures=measures, kept=kept, best=best, weights=weights, checkpoint=self._checkpoint())

    def _validate_weights(self, weights: dict[str, Tensor]) -> tuple[float, float] | None:
        """Validate with other weights, then restore the model's own."""
        model = self.objective.evaluated
        own = _copy(model.state_dict())
        model.load_state_dict(weights)
        try:
            return self._validate()
        finally:
            model.load_state_dict(own)

    def _is_best(self, score: tuple[float, float]) -> bool:
        if self.best is not None and score <= self.best:
            return False
        self.best = score
        return True

    def _seconds(self) -> float:
        return time.monotonic() - self.started

    def _checkpoint(self) -> Checkpoint:
        totals = self.totals
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"optimizer.{name}": value for name, value in self.optimizer.state().items()}
        tensors |= {f"objective.{name}": value for name, value in self.objective.state().items()}
        position = {"epoch": self.epochs_done, "step": self.step, "seconds": self._seconds()}
        position |= {"loss_sum": totals.loss_sum, "right": totals.right, "seen": totals.seen}
        if self.best is not None:
            position |= {"best": self.best[0], "tie": self.best[1]}
        if totals.lowest is not None:
            tensors |= {f"kept.{name}": value for name, value in totals.lowest.weights.items()}
            position["kept_step"] = totals.lowest.step
        if totals.window:
            tensors[checkpoint.WINDOW] = torch.tensor(totals.window, dtype=torch.float64)
        return Checkpoint(tensors, position)

    def begin_from(self, initial: Mapping[str, Tensor] | None) -> None:
        """Load initial weights; a head that is not among them keeps its random weights.

        Raises:
            TrainingFailed: there are none, or they do not fit this network.
        """
        if initial is None:
            raise TrainingFailed("This training starts from a run: give fit the weights of finetune.initial_weights.")
        mismatch = TrainingFailed("The weights to start from do not fit this network: create the run again.")
        try:
            missing, unexpected = self.model.load_state_dict(initial, strict=False)
        except RuntimeError:
            raise mismatch from None
        if unexpected or not all(name.startswith("head.") for name in missing):
            raise mismatch
        self.has_initial_weights = True

    def restore(self, saved: Checkpoint) -> None:
        """Load a checkpoint, which is left unchanged.

        Raises:
            TrainingFailed: it does not belong to this training.
        """
        position = saved.position
        if not checkpoint.is_position(position):
            raise not_resumable("its position is not valid")
        self.epochs_done, self.step = int(position["epoch"]), int(position["step"])
        steps_in_epoch = self._steps_in_epoch
        most = len(self.train) if self.epochs_done < self.recipe.epochs else 0
        if self.epochs_done > self.recipe.epochs or not 0 <= steps_in_epoch <= most:
            raise TrainingFailed(
                f"Training cannot be resumed after step {self.step} and {self.epochs_done} epochs, because an epoch "
                f"of these images has {len(self.train)} steps: restore the original images, or start the run over."
            )
        window = steps_in_epoch % WINDOW if self.recipe.keep == "training_loss" else None
        if window and steps_in_epoch == most < WINDOW:  # the window ended with the epoch
            window = 0
        if reason := checkpoint.mismatch(saved, self.model, self.optimizer, self.objective, window):
            raise not_resumable(reason)
        parts: dict[str, dict[str, Tensor]] = {
            kind: {} for kind in ("model", "optimizer", "objective", "kept", checkpoint.WINDOW)
        }
        for name, value in saved.tensors.items():
            kind, _, rest = name.partition(".")
            parts[kind][rest] = value
        self.model.load_state_dict(parts["model"])
        self.optimizer.load(parts["optimizer"])
        self.objective.load(parts["objective"])
        if 0 < steps_in_epoch == most:  # the validation follows, and may use what the last step has set
            self.objective.before_step(self.epochs_done + 1, self.step - 1)
        self.seconds_before = position["seconds"]
        self.best = (position["best"], position.get("tie", 0.0)) if "best" in position else None
        self.totals = _EpochTotals(
            position.get("loss_sum", 0.0),
            int(position.get("right", 0)),
            int(position.get("seen", 0)),
            saved.tensors[checkpoint.WINDOW].tolist() if window else [],
            _LowestLoss(int(position["kept_step"]), parts["kept"]) if parts["kept"] else None,
        )


def _copy(weights: dict[str, Tensor], dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    return {
        name: value.detach().to("cpu", dtype if value.is_floating_point() else None, copy=True)
        for name, value in weights.items()
    }
