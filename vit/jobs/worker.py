"""The work of a job: wait for the device, train, and write what happens into the run's folder."""

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

from vit import distributed, runs
from vit.config import RunConfig
from vit.distributed import FAILURE_SECONDS, RankFailed, World
from vit.errors import DataError, RunError, UserError
from vit.jobs import queue, rank_processes
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
"""Seconds between two updates of ``status.json``."""
WAIT_STEP = 0.3
"""Seconds between two looks at the queue."""
LISTED_FILES = 50
"""How many unreadable files the log names."""
LOCK_PATIENCE = 5.0
"""Seconds to wait for the run's lock, which a reader may hold for an instant."""


class _Stopped(Exception):
    """The job was asked to stop or its time is up; the text, if any, begins the final status message."""


class _Journal:
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

    def report(self, event: Any) -> None:
        if self.listener:
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
        """Append a line to the run's log."""
        with (self.path / runs.LOG).open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%H:%M:%S')}  {bare(text)}\n")

    def end(self, state: runs.State, message: str, error: Exception | None = None) -> None:
        """Write the final status, also on a full disk; never raises."""
        ended = self.ended or time.time()
        self.status = self.status.model_copy(update={"state": state, "message": message, "ended": ended})
        self.close()
        with suppress(OSError, MemoryError):
            runs.sweep(self.path)  # a half-written file may take the space that the status needs
        runs.last_word(self.path, self.status)
        with suppress(OSError, MemoryError):
            if error is not None:
                with (self.path / runs.LOG).open("a", encoding="utf-8") as file:
                    traceback.print_exception(error, file=file)
            self.log(message)
        self.report(message)

    def close(self) -> None:
        """Close the TensorBoard file."""
        if self.events:
            with suppress(OSError, MemoryError):
                self.events.close()

    def follow_in_tensorboard(self) -> None:
        """Also write steps and epochs for TensorBoard from now on; without the package, log that and continue."""
        from vit.exports import tensorboard

        try:
            self.events = tensorboard.follow(self.run)
        except UserError as error:
            self.log(str(error))

    def step(self, event: "Step") -> None:
        """Write a step; the status is updated once a second."""
        line = _line("step", event)
        runs.append_metrics(self.path, [line])
        if self.events:
            self.events.add(line)
        if time.monotonic() - self.written > STATUS_EVERY:
            self.update(step=event.step)
        self.report(event)

    def epoch(self, event: "Epoch", epochs: int) -> None:
        """Write an epoch, its weights if they are kept, and the resume checkpoint."""
        from vit.runs import weights
        from vit.runs.resume import save_resume

        line = _line("epoch", event)
        runs.append_metrics(self.path, [line], durable=True)  # before the resume checkpoint
        if self.events:
            self.events.add(line)
        if event.kept:  # also before it, so that a resume never loses the best weights
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
        """Write a resume checkpoint within an epoch; at step 0 of a fine-tuning, also the initial weights."""
        from vit.runs import weights
        from vit.runs.resume import save_resume

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


def _line(event: str, record: "Step | Epoch") -> dict[str, Any]:
    """Return the numbers of a record as a line of ``metrics.jsonl``."""
    names = (item.name for item in fields(record) if item.name not in ("best", "weights", "checkpoint"))
    return {"event": event} | {name: getattr(record, name) for name in names}


def execute(
    run: Run, *, resume: bool = False, report: Callable[[Any], None] | None = None, ticket: int | None = None
) -> Status:
    """Train a queued run to its end and return its final status.

    With ``processes`` above 1 this process starts and supervises the ranks; below ``torchrun`` it is rank 0 itself.
    SIGTERM and Ctrl-C stop the training after the current step and keep the weights.

    Args:
        resume: continue after the last complete epoch.
        report: called with each status message (str) and each record of the trainer.
        ticket: place in the queue that this process was started for; if the run has another one, do nothing.

    Raises:
        RunError: another process works on the run, or its folder cannot be written.
    """
    # A Rust library that runs out of memory can deadlock while it collects its backtrace.
    os.environ["RUST_BACKTRACE"] = "0"
    with _stop_flag() as stopped:
        with _lock(run):
            journal = _Journal(run, report)
            # It may have been stopped, and perhaps queued again, before this process had the lock.
            if journal.status.state == "queued" and ticket in (None, journal.status.ticket):
                _work(run, journal, stopped, resume)
        if journal.status.state != "failed":  # after a failure torchrun ends the other ranks
            distributed.world().leave()
        return journal.status


def _work(run: Run, journal: _Journal, stopped: Callable[[], bool], resume: bool) -> None:
    """Wait for the device, train, and write how the run ended."""
    epochs = run.config.training.epochs
    world = distributed.world()
    try:
        journal.update(pid=os.getpid())
        runs.sweep(run.path)
        with queue.turn(run, wait=partial(_wait, journal, stopped)):
            try:
                processes = hardware.processes(run.config.training.processes, journal.status.device)
                _say(journal, stopped, "Loading PyTorch.", state="running", started=time.time())
                if processes > 1 and not distributed.launched():
                    _train_with_ranks(run, journal, processes, resume)
                else:
                    _train(run, journal, stopped, resume, world)
            finally:
                journal.ended = time.time()  # before the next run starts
        if journal.status.epoch < epochs:
            raise _Stopped
        journal.end("finished", f"Finished all {epochs} epochs.")
    except _Stopped as stop:
        journal.end("stopped", f"{str(stop) or 'Stopped'} after {journal.status.epoch} of {epochs} epochs.")
    except KeyboardInterrupt:  # a second Ctrl-C does not wait for the end of the step
        journal.end("stopped", f"Stopped after {journal.status.epoch} of {epochs} epochs.")
        raise
    except Exception as error:
        error = world.cause(error)
        journal.end("failed", failures.advice(run.path, error), error)


def _train_with_ranks(run: Run, journal: _Journal, processes: int, resume: bool) -> None:
    """Let rank processes train; rank 0 of them writes the run's folder meanwhile."""
    try:
        rank_processes.train(run, processes, resume=resume, report=journal.listener)
    finally:
        journal.status = runs.read_status(run.path)
    if journal.status.message.startswith(runs.AT_LIMIT):
        raise _Stopped(journal.status.message)


@dataclass(frozen=True)
class _Task:
    """What rank 0 sends to the other ranks.

    Attributes:
        config: the run's settings as JSON, with the device that rank 0 found.
        images: number of training and validation images, which must be the same on all machines.
        initial: weights of another run to start from.
    """

    config: str
    images: tuple[int, int]
    checkpoint: "Checkpoint | None"
    initial: "dict[str, Tensor] | None"


def train_rank(run: Run | None = None, *, resume: bool = False) -> int:
    """Train as one of several ranks, and return the exit status.

    Args:
        run: the run of the job that started the ranks. Below ``torchrun`` it is None: rank 0 is then the job itself
            (:func:`execute`) and the other ranks get everything from it.
        resume: continue after the last complete epoch.
    """
    world = distributed.world()
    # Loading PyTorch and waiting for rank 0 take long, and there is nothing to save yet: a signal ends the process.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        if world.rank:
            _train_beside_rank_0(world)
        else:
            _train_as_rank_0(run, resume, world)
    except Exception as error:
        _note_failure(run, world, error)
        return 1
    world.leave()
    return 0


def _train_as_rank_0(run: Run, resume: bool, world: World) -> None:

    journal = _Journal(run, None)
    try:
        with _stop_flag() as stopped:
            _train(run, journal, stopped, resume, world)
    except _Stopped as stop:
        if str(stop):
            journal.say(str(stop))
    finally:
        journal.close()


def _train_beside_rank_0(world: World) -> None:
    from vit import trainer
    from vit.data import load
    from vit.jobs import environment as surroundings

    device = world.join()
    if not device:
        return
    with _stop_flag() as stopped:
        task: _Task = world.share()
        config = RunConfig.from_json(task.config)
        _check_room(world, device)
        surroundings.set_threads(config.training.threads, config.environment, world.local_size)
        data = load(config.data)
        if (images := _counts(data)) != task.images:
            raise DataError(
                "This machine has {:,} training and {:,} validation images, rank 0 has {:,} and {:,}: give all "
                "machines the same data.".format(*images, *task.images)
            )
        world.begin()
        for _ in trainer.fit(config, data, resume=task.checkpoint, stop=stopped, world=world, initial=task.initial):
            pass


def _note_failure(run: Run | None, world: World, error: Exception) -> None:
    """Record why this rank ends, in the launcher's error file and in a note for rank 0."""
    consequence = distributed.is_lost_connection(error) or isinstance(error, RankFailed)
    sentence = "" if consequence else failures.advice(run.path if run else data_dir(), error)
    with suppress(Exception):  # the launcher or its machine may be gone
        world.note_failure(sentence)
    if consequence:
        time.sleep(FAILURE_SECONDS)  # the launcher finds the rank that failed first, and ends this one
        return
    from torch.distributed.elastic.multiprocessing.errors import get_error_handler

    get_error_handler().record_exception(RunError(sentence))


def _check_room(world: World, device: str) -> None:
    """Raise a SettingsError if this machine has fewer GPUs than ranks."""
    if device != "cpu" and not world.alone:
        hardware.resolve(device, world.local_size)


def _counts(data: "ImageData") -> tuple[int, int]:
    return len(data.train), len(data.val)


def _say(journal: _Journal, stopped: Callable[[], bool], message: str, **changes: Any) -> None:
    """Write a status message, unless the job was asked to stop."""
    if stopped():
        raise _Stopped
    journal.say(message, **changes)


def _train(run: Run, journal: _Journal, stopped: Callable[[], bool], resume: bool, world: World) -> None:
    """Train in this process, alone or as rank 0, and write all events."""
    from vit import networks, trainer
    from vit.data.batches import steps_per_epoch
    from vit.jobs import environment as surroundings
    from vit.runs.resume import load_resume
    from vit.runs.weights import save_model

    go_on = partial(_say, journal, stopped)
    config = run.config
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
    if not run.has_weights and initial is None:  # a run that is killed in its first epoch can be opened
        drawn = networks.build_model(config.model, seed=config.training.seed).state_dict()
        save_model(run.path, drawn, {"epoch": 0, "validated": False})
        del drawn  # free its memory before the training
    recipe = config.training
    per_epoch = steps_per_epoch(len(data.train), recipe.batch_size, recipe.drop_last)
    go_on("Training.", steps_total=per_epoch * config.training.epochs)
    if not world.alone:
        journal.log(f"{world.size} processes train together.")
        _check_room(world, journal.status.device)
        world.join(journal.status.device, lambda: go_on("Training."))
        here = recipe.model_copy(update={"device": journal.status.device})
        told = config.model_copy(update={"environment": recorded, "training": here})
        world.share(_Task(told.model_dump_json(), _counts(data), checkpoint, initial))
        world.begin()
    before = float(checkpoint.position["seconds"]) if checkpoint else 0.0
    time_up = _alarm(recipe.max_seconds, before)
    events = trainer.fit(
        config, data, resume=checkpoint, stop=lambda: stopped() or time_up(), world=world, initial=initial
    )
    del initial  # the model has it now
    _rewind(run, journal, checkpoint)  # only after fit has accepted the checkpoint
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
    """Return a callable that is true after ``seconds`` of training, including those before a resume; None is never."""
    end = math.inf if seconds is None else time.monotonic() + seconds - max(0.0, before)
    return lambda: time.monotonic() >= end


def _rewind(run: Run, journal: _Journal, checkpoint: "Checkpoint | None") -> None:
    """Reset metrics and status to the position that training continues from."""
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
    """Sleep until the next look at the queue."""
    journal.say(f"Waiting for its turn on {journal.status.device}.")
    time.sleep(WAIT_STEP)
    if stopped():
        raise _Stopped


@contextmanager
def _stop_flag() -> Iterator[Callable[[], bool]]:
    """Yield a callable that is true after SIGTERM or Ctrl-C; a second signal has its usual effect."""
    asked = False

    def ask(number: int, _frame: object) -> None:
        nonlocal asked
        asked = True
        signal.signal(number, before[number])

    if threading.current_thread() is not threading.main_thread():  # signals can be handled only there
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
        lock = runs.run_lock(run.path).acquire(timeout=LOCK_PATIENCE)
    except Timeout:
        raise RunError(f"Another process works on the run {run.name!r}: wait for it, or stop it.") from None
    except OSError as error:
        raise RunError(f"The run's folder {run.path} cannot be written: {error.strerror or error}.") from error
    with lock:
        yield
