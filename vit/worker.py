"""What a job's process does: wait for the device, train, and write into the run's folder all that happens."""

import errno
import os
import platform
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import Timeout

from vit import __version__, hardware, runs, turns
from vit.config import Environment, RunConfig
from vit.errors import RunError, UserError
from vit.runs import Run, Status

if TYPE_CHECKING:
    from vit.data import ImageData
    from vit.trainer import Checkpoint, Epoch, Snapshot, Step

STATUS_EVERY = 1.0
"""Seconds between two writings of the status."""
WAIT_STEP = 0.3
LISTED_FILES = 50
"""So many unreadable files are named in the log."""
LOCK_PATIENCE = 5.0


class _Stopped(Exception):
    """Somebody asked the job to stop."""


class _Journal:
    """What a job writes into its run's folder, and tells the command line.

    ``report`` is given each sentence of the status, and each record of the trainer.
    """

    def __init__(self, run: Run, report: Callable[[Any], None] | None) -> None:
        self.run, self.path = run, run.path
        self.report = report or (lambda _: None)
        self.status = runs.read_status(run.path)
        self.written = 0.0

    def update(self, **changes: Any) -> None:
        """Change the status on disk."""
        self.status = self.status.model_copy(update=changes)
        runs.write_status(self.path, self.status)
        self.written = time.monotonic()

    def say(self, message: str, **changes: Any) -> None:
        """Change the status, and its sentence; the same sentence again costs nothing."""
        if message != self.status.message or changes:
            self.update(message=message, **changes)
            self.log(message)
            self.report(message)

    def log(self, text: str) -> None:
        """Add to the run's log."""
        with (self.path / runs.LOG).open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%H:%M:%S')}  {text}\n")

    def end(self, state: runs.State, message: str) -> None:
        """The last word."""
        self.say(message, state=state, ended=time.time())

    def step(self, event: "Step") -> None:
        """Note a step; the status follows once a second."""
        runs.append_metrics(self.path, [_line("step", event)])
        if time.monotonic() - self.written > STATUS_EVERY:
            self.update(step=event.step)
        self.report(event)

    def epoch(self, event: "Epoch", epochs: int) -> None:
        """Note an epoch, and write the weights that it leaves."""
        from vit import weights

        line = _line("epoch", event)
        runs.append_metrics(self.path, [line], durable=True)  # before the file that a resume starts from
        changes = {"epoch": event.epoch, "step": event.step, "message": f"{event.epoch} of {epochs} epochs done."}
        if event.kept:
            weights.save_model(self.path, event.weights, event.best | {"validated": True})
            changes |= {"best": event.best, "validated": True}
        weights.save_resume(self.path, event.checkpoint)
        self.update(**changes)
        self.log(
            f"epoch {event.epoch} of {epochs}: loss {event.train_loss:.4f}, validation loss {event.val_loss:.4f}, "
            f"validation accuracy {event.val_accuracy:.4f}, {event.seconds:.1f} s{', kept' if event.kept else ''}"
        )
        self.report(event)

    def snapshot(self, event: "Snapshot") -> None:
        """Write a snapshot; the final one only stands in for weights that were never validated."""
        from vit import weights

        if not event.final:
            (self.path / runs.SNAPSHOTS).mkdir(exist_ok=True)
            weights.save_snapshot(self.path, event.epoch, event.weights)
        elif not self.status.validated:
            weights.save_model(self.path, event.weights, {"epoch": event.epoch, "step": event.step, "validated": False})


def _line(event: str, record: "Step | Epoch") -> dict[str, Any]:
    """A record of the trainer as a line of ``metrics.jsonl``: its numbers, without its tensors."""
    names = (item.name for item in fields(record) if item.name not in ("best", "weights", "checkpoint"))
    return {"event": event} | {name: getattr(record, name) for name in names}


def execute(run: Run, *, resume: bool = False, report: Callable[[Any], None] | None = None) -> Status:
    """Do a queued run's work in this process, to its end, and return the status that it ended with.

    SIGTERM and Ctrl-C stop it in order: after the step, with the kept weights in place.

    Args:
        resume: go on after the last complete epoch.
        report: told each sentence of the status (a str) and each record of the trainer.

    Raises:
        RunError: another process works on the run.
    """
    with _stop_flag() as stopped, _lock(run):
        journal = _Journal(run, report)
        if journal.status.state != "queued":  # stopped before this process had the lock
            return journal.status
        journal.update(pid=os.getpid())
        runs.sweep(run.path)
        epochs = run.config.training.epochs
        try:
            with turns.turn(run, wait=partial(_wait, journal, stopped)):
                _train(run, journal, stopped, resume)
            if journal.status.epoch < epochs:
                raise _Stopped
            journal.end("finished", f"Finished all {epochs} epochs.")
        except _Stopped:
            journal.end("stopped", f"Stopped after {journal.status.epoch} of {epochs} epochs.")
        except Exception as error:
            with (run.path / runs.LOG).open("a", encoding="utf-8") as log:
                traceback.print_exc(file=log)
            journal.end("failed", advice(run, error))
        return journal.status


def _train(run: Run, journal: _Journal, stopped: Callable[[], bool], resume: bool) -> None:
    def go_on(message: str, **changes: Any) -> None:
        if stopped():
            raise _Stopped
        journal.say(message, **changes)

    go_on("Loading PyTorch.", state="running", started=time.time())
    import torch

    from vit import networks, trainer, weights
    from vit.data.batches import steps_per_epoch

    config = run.config
    if config.training.threads:
        torch.set_num_threads(config.training.threads)
    runs.write_config(run.path, config.model_copy(update={"environment": _environment(journal.status.device)}))
    go_on("Loading the data.")
    checkpoint = weights.load_resume(run.path) if resume else None
    data = _load_data(config, go_on)
    for skipped in data.skipped[:LISTED_FILES]:
        journal.log(f"left out {skipped.file}: {skipped.reason}")
    if len(data.skipped) > LISTED_FILES:
        journal.log(f"left out {len(data.skipped) - LISTED_FILES} more files")
    _rewind(run, journal, checkpoint)
    if not run.has_weights:  # so that a run that is killed in its first epoch can be opened, too
        initial = networks.build_model(config.model, seed=config.training.seed).state_dict()
        weights.save_model(run.path, initial, {"epoch": 0, "validated": False})
    recipe = config.training
    per_epoch = steps_per_epoch(len(data.train), recipe.batch_size, recipe.drop_last)
    go_on("Training.", steps_total=per_epoch * config.training.epochs)
    for event in trainer.fit(config, data, resume=checkpoint, stop=stopped):
        match event:
            case trainer.Step():
                journal.step(event)
            case trainer.Epoch():
                journal.epoch(event, config.training.epochs)
            case trainer.Snapshot():
                journal.snapshot(event)


def _rewind(run: Run, journal: _Journal, checkpoint: "Checkpoint | None") -> None:
    """Take metrics and status back to the position that training goes on from."""
    position = checkpoint.position if checkpoint else {"epoch": 0, "step": 0}
    runs.cut_metrics(run.path, int(position["step"]))
    journal.update(epoch=int(position["epoch"]), step=int(position["step"]))


def _load_data(config: RunConfig, go_on: Callable[[str], None]) -> "ImageData":
    from vit.data import load

    said = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal said
        if time.monotonic() - said > STATUS_EVERY:
            said = time.monotonic()
            go_on(f"Preparing the images: {done:,} of {total:,}.")

    return load(config.data, progress=progress)


def _environment(device: str) -> Environment:
    import torch

    return Environment(
        vit=__version__,
        torch=torch.__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        processor=hardware.processor(),
        device=torch.cuda.get_device_name() if device == "cuda" else device,
        threads=torch.get_num_threads(),
    )


def _wait(journal: _Journal, stopped: Callable[[], bool]) -> None:
    """One look at the queue is over, and it is not this run's turn yet."""
    journal.say(f"Waiting for its turn on {journal.status.device}.")
    time.sleep(WAIT_STEP)
    if stopped():
        raise _Stopped


@contextmanager
def _stop_flag() -> Iterator[Callable[[], bool]]:
    """A question that is true once SIGTERM or Ctrl-C came; a second one has its usual effect."""
    asked = False

    def ask(number: int, _frame: object) -> None:
        nonlocal asked
        asked = True
        signal.signal(number, before[number])

    if threading.current_thread() is not threading.main_thread():  # only there can signals be handled
        yield lambda: False
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        for number in before:
            signal.signal(number, ask)
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _lock(run: Run) -> Iterator[None]:
    try:
        with runs.run_lock(run.path).acquire(timeout=LOCK_PATIENCE):  # a reader's probe holds it for an instant
            yield
    except Timeout:
        raise RunError(f"Another process works on the run {run.name!r}: wait for it, or stop it.") from None


def advice(run: Run, error: Exception) -> str:
    """One sentence for a person: why the run failed, and what to change."""
    match error:
        case UserError():
            return str(error)
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return f"The disk that holds {run.path} is full: free some space and resume the run."
        case OSError():
            place = f" {Path(error.filename).name}" if isinstance(error.filename, str | os.PathLike) else ""
            reason = error.strerror or error
            return f"A file{place} could not be read or written ({reason}): mend that and resume the run."
        case MemoryError():
            return "Memory ran out: choose a smaller batch, model or image size, or close other programs."
    if "out of memory" in str(error).lower():
        return "The device's memory ran out: choose a smaller batch, model or image size."
    return f"An unexpected error ended the run ({type(error).__name__}): the end of its log says where."
