"""What a job's process does: wait for the device, train, and write into the run's folder all that happens."""

import math
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

from filelock import Timeout

from vit import runs
from vit.config import RunConfig
from vit.errors import DataError, RunError, UserError
from vit.jobs import queue
from vit.jobs.rank_processes import Company, Tie
from vit.paths import data_dir
from vit.runs import Run, Status, failures, finetune
from vit.support import hardware, heap
from vit.support.untrusted_text import bare

if TYPE_CHECKING:
    from torch import Tensor

    from vit.data import ImageData
    from vit.exports.tensorboard import Events
    from vit.trainer import Checkpoint, Epoch, Snapshot, Step

STATUS_EVERY = 1.0
"""Seconds between two writings of the status."""
WAIT_STEP = 0.3
LISTED_FILES = 50
"""So many unreadable files are named in the log."""
LOCK_PATIENCE = 5.0


class _Stopped(Exception):
    """Somebody asked the job to stop, or its time is up; the text, if any, begins the last word on it."""

    in_order = True


class _Journal:
    """What a job writes into its run's folder, and tells the command line.

    ``report`` is given each sentence of the status, and each record of the trainer.
    """

    def __init__(self, run: Run, report: Callable[[Any], None] | None) -> None:
        self.run, self.path = run, run.path
        self.report = report or (lambda _: None)
        self.status = runs.read_status(run.path)
        self.written = 0.0
        self.ended: float | None = None
        """When its turn on the device was over; None where it is not, or never came."""
        self.events: Events | None = None

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
            file.write(f"{time.strftime('%H:%M:%S')}  {bare(text)}\n")

    def end(self, state: runs.State, message: str, error: Exception | None = None) -> None:
        """The last word, which is written by all means; after it nothing can fail any more."""
        ended = self.ended or time.time()
        self.status = self.status.model_copy(update={"state": state, "message": message, "ended": ended})
        with suppress(OSError, MemoryError):
            if self.events:
                self.events.close()
            runs.sweep(self.path)  # first: a half-written file may hold the room that the last word needs
        runs.last_word(self.path, self.status)
        with suppress(OSError, MemoryError):
            if error is not None:
                with (self.path / runs.LOG).open("a", encoding="utf-8") as file:
                    traceback.print_exception(error, file=file)
            self.log(message)
        self.report(message)

    def follow_in_tensorboard(self) -> None:
        """From now on note steps and epochs for TensorBoard, too; without it the training goes on without."""
        from vit.exports import tensorboard

        try:
            self.events = tensorboard.follow(self.run)
        except UserError as error:
            self.log(str(error))

    def step(self, event: "Step") -> None:
        """Note a step; the status follows once a second."""
        line = _line("step", event)
        runs.append_metrics(self.path, [line])
        if self.events:
            self.events.add(line)
        if time.monotonic() - self.written > STATUS_EVERY:
            self.update(step=event.step)
        self.report(event)

    def epoch(self, event: "Epoch", epochs: int) -> None:
        """Note an epoch, and write the weights that it leaves."""
        from vit.runs import weights
        from vit.runs.resume import save_resume

        line = _line("epoch", event)
        runs.append_metrics(self.path, [line], durable=True)  # before the file that a resume starts from
        if self.events:
            self.events.add(line)
        if event.kept:  # before it, too: a resume never loses the best
            weights.save_model(self.path, event.weights, event.best | {"validated": True})
            self.status = self.status.model_copy(update={"best": event.best, "validated": True})
        save_resume(self.path, event.checkpoint)
        self.update(epoch=event.epoch, step=event.step, message=f"{event.epoch} of {epochs} epochs done.")
        self.log(
            f"epoch {event.epoch} of {epochs}: loss {event.train_loss:.4f}, validation loss {event.val_loss:.4f}, "
            f"validation accuracy {event.val_accuracy:.4f}, {event.seconds:.1f} s{', kept' if event.kept else ''}"
        )
        self.report(event)

    def checkpoint(self, event: "Checkpoint") -> None:
        """Write what a resume within the epoch starts from, or, at step 0, from the weights of another run."""
        from vit.runs import weights
        from vit.runs.resume import save_resume

        if not event.position["step"]:
            own = {name.removeprefix("model."): value for name, value in event.tensors.items() if name[:6] == "model."}
            weights.save_model(self.path, own, {"epoch": 0, "validated": False})
        runs.append_metrics(self.path, [], durable=True)  # the steps before it
        save_resume(self.path, event)
        self.update(step=event.position["step"])

    def snapshot(self, event: "Snapshot") -> None:
        """Write a snapshot; the final one only stands in for weights that were never validated."""
        from vit.runs import weights

        if not event.final:
            (self.path / runs.SNAPSHOTS).mkdir(exist_ok=True)
            weights.save_snapshot(self.path, event.epoch, event.weights)
        elif not self.status.validated:
            weights.save_model(self.path, event.weights, {"epoch": event.epoch, "step": event.step, "validated": False})


def _line(event: str, record: "Step | Epoch") -> dict[str, Any]:
    """A record of the trainer as a line of ``metrics.jsonl``: its numbers, without its tensors."""
    names = (item.name for item in fields(record) if item.name not in ("best", "weights", "checkpoint"))
    return {"event": event} | {name: getattr(record, name) for name in names}


def execute(
    run: Run, *, resume: bool = False, report: Callable[[Any], None] | None = None, ticket: int | None = None
) -> Status:
    """Do a queued run's work in this process, to its end, and return the status that it ended with.

    SIGTERM and Ctrl-C stop it in order: after the step, with the kept weights in place.

    Args:
        resume: go on after the last complete epoch.
        report: told each sentence of the status (a str) and each record of the trainer.
        ticket: the place in the queue that this process was started for; with another one, the run is another's.

    Raises:
        RunError: another process works on the run, or its folder cannot be written.
    """
    # A library in Rust that runs out of memory would look for more, to tell where, and wait for itself for ever.
    os.environ["RUST_BACKTRACE"] = "0"
    with _stop_flag() as stopped:
        with _lock(run):
            journal = _Journal(run, report)
            processes = hardware.processes(run.config.training.processes, journal.status.device)
            others = Company(run, processes, lambda lost: journal.end("failed", str(lost), lost))
            # It may have been stopped, and perhaps queued anew, before this process had the lock.
            if journal.status.state == "queued" and ticket in (None, journal.status.ticket):
                _work(run, journal, stopped, resume, others)
        if journal.status.state != "failed":  # those of a failed one are ended by who started them
            others.dismiss()
        return journal.status


def _work(run: Run, journal: _Journal, stopped: Callable[[], bool], resume: bool, others: Company) -> None:
    epochs = run.config.training.epochs
    try:
        journal.update(pid=os.getpid())
        runs.sweep(run.path)
        with queue.turn(run, wait=partial(_wait, journal, stopped)), others:
            try:
                _train(run, journal, stopped, resume, others)
            finally:
                journal.ended = time.time()  # before the next one begins
        if journal.status.epoch < epochs:
            raise _Stopped
        journal.end("finished", f"Finished all {epochs} epochs.")
    except _Stopped as stop:
        journal.end("stopped", f"{str(stop) or 'Stopped'} after {journal.status.epoch} of {epochs} epochs.")
    except KeyboardInterrupt:  # a second Ctrl-C does not wait for the end of the step
        journal.end("stopped", f"Stopped after {journal.status.epoch} of {epochs} epochs.")
        raise
    except Exception as error:
        journal.end("failed", failures.advice(run.path, error), error)


@dataclass(frozen=True)
class _Task:
    """What the first process tells the others that they are to train.

    Attributes:
        config: the run's settings, as JSON; the device is the one that the first has found.
        images: of each split, which are the same on all machines.
        initial: the weights of another run that the training begins from.
    """

    config: str
    images: tuple[int, int]
    checkpoint: "Checkpoint | None"
    initial: "dict[str, Tensor] | None"


def assist() -> int:
    """Train as one of several, not the first of them, which does all else; the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the first one speaks nothing else ends this process
    tie = Tie()
    try:
        with _stop_flag() as stopped:
            _assist(tie, stopped)
        tie.leave()
    except Exception as error:
        tie.fail(error, failures.advice(data_dir(), error), traceback.format_exc())
        return 1
    return 0


def _assist(tie: Tie, stopped: Callable[[], bool]) -> None:
    from vit import trainer
    from vit.data import load
    from vit.jobs import environment as surroundings

    world = tie.join()
    task: _Task = world.share()
    config = RunConfig.from_json(task.config)
    surroundings.set_threads(config.training.threads, config.environment, world.local_size)
    data = load(config.data)
    if (images := _counts(data)) != task.images:
        raise DataError(
            "This machine has {:,} training and {:,} validation images, the first one has {:,} and {:,}: give all "
            "machines the same data.".format(*images, *task.images)
        )
    for _ in trainer.fit(config, data, resume=task.checkpoint, stop=stopped, world=world, initial=task.initial):
        pass


def _counts(data: "ImageData") -> tuple[int, int]:
    return len(data.train), len(data.val)


def _train(run: Run, journal: _Journal, stopped: Callable[[], bool], resume: bool, others: Company) -> None:
    def go_on(message: str, **changes: Any) -> None:
        if stopped():
            raise _Stopped
        journal.say(message, **changes)

    go_on("Loading PyTorch.", state="running", started=time.time())
    from vit import networks, trainer
    from vit.data.batches import steps_per_epoch
    from vit.jobs import environment as surroundings
    from vit.runs.resume import load_resume

    others.join(lambda: go_on("Loading PyTorch."))
    config, world = run.config, others.world
    recorded = config.environment if resume else None
    surroundings.set_threads(config.training.threads, recorded, world.local_size)
    environment = surroundings.environment(journal.status.device, world.size)
    checkpoint = load_resume(run.path) if resume else None
    if checkpoint is None or recorded is None:
        runs.write_config(run.path, config.model_copy(update={"environment": environment}))
    elif said := surroundings.departures(recorded, environment):
        journal.log(said)
    initial = None
    if config.start and checkpoint is None:
        initial = finetune.initial_weights(config)
        journal.log(f"starts from the weights of {config.start.run}, {finetune.head_words(initial)}")
    go_on("Loading the data.")
    data = _load_data(config, go_on)
    for skipped in data.skipped[:LISTED_FILES]:
        journal.log(f"left out {skipped.file}: {skipped.reason}")
    if len(data.skipped) > LISTED_FILES:
        journal.log(f"left out {len(data.skipped) - LISTED_FILES} more files")
    if not run.has_weights and initial is None:  # so that a run that is killed in its first epoch can be opened, too
        drawn = networks.build_model(config.model, seed=config.training.seed).state_dict()
        weights.save_model(run.path, drawn, {"epoch": 0, "validated": False})
        del drawn  # or it would be held as long as the training
    recipe = config.training
    per_epoch = steps_per_epoch(len(data.train), recipe.batch_size, recipe.drop_last)
    go_on("Training.", steps_total=per_epoch * config.training.epochs)
    if not world.alone:
        journal.log(f"{world.size} processes train together.")
        here = recipe.model_copy(update={"device": journal.status.device})
        told = config.model_copy(update={"environment": recorded, "training": here})
        world.share(_Task(told.model_dump_json(), _counts(data), checkpoint, initial))
    before = float(checkpoint.position["seconds"]) if checkpoint else 0.0
    time_up = _alarm(recipe.max_seconds, before)
    events = trainer.fit(
        config, data, resume=checkpoint, stop=lambda: stopped() or time_up(), world=world, initial=initial
    )
    del initial  # it is in the model by now
    _rewind(run, journal, checkpoint)  # not before it is known that training can go on from there
    if recipe.tensorboard:
        journal.follow_in_tensorboard()
    for event in events:
        match event:
            case trainer.Step():
                journal.step(event)
                if event.step % per_epoch == 0:  # validation is next
                    heap.give_back()
            case trainer.Epoch():
                journal.epoch(event, config.training.epochs)
                heap.give_back()
            case trainer.Snapshot():
                journal.snapshot(event)
            case trainer.Checkpoint():
                journal.checkpoint(event)
            case trainer.Note():
                journal.log(event.text)
    if journal.status.epoch < recipe.epochs and time_up() and not stopped():
        raise _Stopped(f"{runs.AT_LIMIT} of {recipe.max_seconds:g} s")


def _alarm(seconds: float | None, before: float) -> Callable[[], bool]:
    """A question that is true once the training has had its seconds, those before a resume among them; None is never.

    It runs by a clock of its own, since what a resume starts from may be somebody else's file.
    """
    end = math.inf if seconds is None else time.monotonic() + seconds - max(0.0, before)
    return lambda: time.monotonic() >= end


def _rewind(run: Run, journal: _Journal, checkpoint: "Checkpoint | None") -> None:
    """Take metrics and status back to the position that training goes on from."""
    position = checkpoint.position if checkpoint else {"epoch": 0, "step": 0}
    runs.cut_metrics(run.path, position["step"])
    journal.update(epoch=position["epoch"], step=position["step"])


def _load_data(config: RunConfig, go_on: Callable[[str], None]) -> "ImageData":
    from vit.data import load

    said = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal said
        if time.monotonic() - said > STATUS_EVERY:
            said = time.monotonic()
            go_on(f"Preparing the images: {done:,} of {total:,}.")

    return load(config.data, progress=progress)


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
        lock = runs.run_lock(run.path).acquire(timeout=LOCK_PATIENCE)  # a reader's probe holds it for an instant
    except Timeout:
        raise RunError(f"Another process works on the run {run.name!r}: wait for it, or stop it.") from None
    except OSError as error:
        raise RunError(f"The run's folder {run.path} cannot be written: {error.strerror or error}.") from error
    with lock:
        yield
