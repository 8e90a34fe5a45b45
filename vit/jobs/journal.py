"""Write what a job does into its run's folder: status, metrics, weights and log."""

import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Any

from vit import runs
from vit.config import words
from vit.errors import UserError
from vit.runs import Run, learning
from vit.support.untrusted_text import bare

if TYPE_CHECKING:
    from vit.exports.tensorboard import Events
    from vit.exports.trackers import Curves
    from vit.trainer import Checkpoint, Epoch, Maps, Snapshot, Step

STATUS_EVERY = 1.0
"""Seconds between two updates of ``status.json``."""


class Journal:
    """Writes status, metrics, weights and log into the run's folder.

    Args:
        report: called with each status message (str) and each record of the trainer.
    """

    def __init__(self, run: Run, report: Callable[[Any], None] | None) -> None:
        self.run, self.path = run, run.path
        self.listener = report
        self.status = runs.read_status(run.path)
        self.written = 0.0
        self.ended: float | None = None
        """When the run released the device; None while it trains and if it never did."""
        self.events: Events | None = None
        self.curves: Curves | None = None

    def report(self, event: Any) -> None:
        """Tell the caller, whose terminal may be gone."""
        if self.listener:
            with suppress(OSError):
                self.listener(event)

    def update(self, **changes: Any) -> None:
        """Change fields of the status and write it."""
        self.status = self.status.model_copy(update=changes)
        runs.write_status(self.path, self.status)
        self.written = time.monotonic()

    def say(self, message: str, **changes: Any) -> None:
        """Change the status message, and log and report it; no effect if nothing changes."""
        if message != self.status.message or changes:
            self.update(message=message, **changes)
            self.log(message)
            self.report(message)

    def log(self, text: str) -> None:
        with (self.path / runs.LOG).open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%H:%M:%S')}  {bare(text)}\n")

    def end(self, state: runs.State, message: str, error: Exception | None = None) -> None:
        """Write the final status, also on a full disk; never raises."""
        ended = self.ended or time.time()
        self.status = self.status.model_copy(update={"state": state, "message": message, "ended": ended})
        self.close()
        with suppress(OSError, MemoryError):
            runs.remove_leftovers(self.path)  # a half-written file may take the space that the status needs
        runs.write_final_status(self.path, self.status)
        with suppress(OSError, MemoryError):
            if error is not None:
                with (self.path / runs.LOG).open("a", encoding="utf-8") as file:
                    traceback.print_exception(error, file=file)
            self.log(message)
        self.report(message)

    def close(self) -> None:
        """Close the TensorBoard file and the entry of the tracker."""
        if self.events:
            with suppress(OSError, MemoryError):
                self.events.close()
        if self.curves:
            self._tracked(self.curves.close)
            self.curves = None

    def follow_in_tensorboard(self) -> None:
        """Also write steps and epochs for TensorBoard from now on; without the package, log that and continue."""
        from vit.exports import tensorboard

        try:
            self.events = tensorboard.follow(self.run)
        except UserError as error:
            self.log(str(error))

    def follow_in_tracker(self, kind: str) -> None:
        """Also send steps and epochs to an experiment tracker from now on; if it refuses, log that and continue."""
        from vit.exports import trackers

        try:
            self.curves = trackers.follow(self.run, kind)
        except UserError as error:
            self.log(str(error))

    def _tracked(self, send: Callable[[], None]) -> None:
        """Send something to the tracker; after an error, log it and send nothing more."""
        try:
            send()
        except Exception as error:  # of its connection or its files, which do not concern the training
            self.curves = None
            with suppress(OSError, MemoryError):
                self.log(f"The curves are no longer sent to the tracker: {' '.join(str(error).split())[:300]}")

    def _add(self, line: dict[str, Any]) -> None:
        """Add a line of the metrics to the TensorBoard file and to the tracker."""
        if self.events:
            self.events.add(line)
        if self.curves:
            self._tracked(partial(self.curves.add, line))

    def step(self, event: "Step") -> None:
        """Write a step; the status is updated once a second."""
        line = _line("step", event)
        runs.append_metrics(self.path, [line])
        self._add(line)
        if time.monotonic() - self.written > STATUS_EVERY:
            self.update(step=event.step)
        self.report(event)

    def epoch(self, event: "Epoch", epochs: int) -> None:
        """Write an epoch, its weights if they are kept, and the resume checkpoint."""
        from vit.runs import weights
        from vit.trainer.resume_file import save_resume

        line = _line("epoch", event)
        runs.append_metrics(self.path, [line], durable=True)  # before the resume checkpoint
        self._add(line)
        if event.kept:  # also before it, so that a resume never loses the best weights
            weights.save_model(self.path, event.weights, event.best | {"validated": True})
            self.status = self.status.model_copy(update={"best": event.best, "validated": True})
        save_resume(self.path, event.checkpoint)
        measures = "".join(f"{name.replace('_', ' ')} {value:.4f}, " for name, value in event.measures.items())
        best, before = self.status.best or {}, self.status.warning
        warning = learning.describe(self.run.config, line, guessing=self.status.guessing, best=best)
        message = f"{event.epoch} of {epochs} epochs done."
        self.update(epoch=event.epoch, step=event.step, message=message, warning=warning)
        accuracy = words.accuracy(self.run.config.training, start=False)
        self.log(
            f"epoch {event.epoch} of {epochs}: loss {event.train_loss:.4f}, validation loss {event.val_loss:.4f}, "
            f"{accuracy} {event.val_accuracy:.4f}, {measures}{event.seconds:.1f} s{', kept' if event.kept else ''}"
        )
        self.report(event)
        if warning and learning.begins(warning) != learning.begins(before):
            self.log(warning)
            self.report(warning)

    def checkpoint(self, event: "Checkpoint") -> None:
        """Write a resume checkpoint within an epoch; at step 0 of a fine-tuning, also the initial weights."""
        from vit.runs import weights
        from vit.trainer.resume_file import save_resume

        if not event.position["step"]:
            own = {name.removeprefix("model."): value for name, value in event.tensors.items() if name[:6] == "model."}
            weights.save_model(self.path, own, {"epoch": 0, "validated": False})
        runs.append_metrics(self.path, [], durable=True)  # the steps before it
        save_resume(self.path, event)
        self.update(step=event.position["step"])

    def snapshot(self, event: "Snapshot") -> None:
        """Write a snapshot; the final one becomes the model only if no weights have been validated."""
        from vit.runs import weights

        if not event.final:
            (self.path / runs.SNAPSHOTS).mkdir(exist_ok=True)
            weights.save_snapshot(self.path, event.epoch, event.weights)
        elif not self.status.validated:
            weights.save_model(self.path, event.weights, {"epoch": event.epoch, "step": event.step, "validated": False})

    def maps(self, event: "Maps") -> None:
        """Replace the file with the attention of the watched images; on a full disk the old one stays."""
        from vit.runs.live_maps import write_live_maps  # it imports numpy, which a waiting job does not need

        with suppress(OSError):
            write_live_maps(self.path, event.maps)


def _line(event: str, record: "Step | Epoch") -> dict[str, Any]:
    """Return the numbers of a record as a line of ``metrics.jsonl``."""
    left_out = ("best", "weights", "checkpoint", "measures")
    numbers = {item.name: getattr(record, item.name) for item in fields(record) if item.name not in left_out}
    numbers |= getattr(record, "measures", {})
    return {"event": event} | {name: value for name, value in numbers.items() if value is not None}
