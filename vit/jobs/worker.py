"""The work of a job: wait for the device, train, and write what happens into the run's folder."""

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from filelock import Timeout

from vit import distributed, runs
from vit.config import RunConfig
from vit.distributed import FAILURE_SECONDS, RankFailed, World
from vit.errors import DataError, RunError
from vit.jobs import queue, rank_processes
from vit.jobs.journal import STATUS_EVERY, Journal
from vit.jobs.measurements import measure_after_training
from vit.paths import data_dir
from vit.runs import Run, Status, failures, finetune, learning, teachers
from vit.support import hardware, heap
from vit.support.durations import TimeLeft

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vit.data import ImageData
    from vit.trainer import Checkpoint

WAIT_STEP = 0.3
"""Seconds between two looks at the queue."""
LISTED_FILES = 50
"""How many unreadable files the log names."""
LOCK_PATIENCE = 5.0
"""Seconds to wait for the run's lock, which a reader may hold for an instant."""


class StopRequested(Exception):
    """The job was asked to stop or its time is up; the text, if any, begins the final status message."""


def execute(
    run: Run, *, resume: bool = False, report: Callable[[Any], None] | None = None, ticket: int | None = None
) -> Status:
    """Train a queued run to its end and return its final status.

    With ``processes`` above 1 this process starts and supervises the ranks; under ``torchrun`` it is rank 0 itself.
    SIGTERM, Ctrl-C and the end of the terminal stop the training after the current step, which is saved.

    Args:
        run: the run to train.
        resume: continue after the last step that was saved.
        report: called with each status message (str) and each record of the trainer.
        ticket: place in the queue that this process was started for; if the run has another one, do nothing.

    Raises:
        RunError: another process works on the run, or its folder cannot be written.
    """
    # A Rust library that runs out of memory can deadlock while it collects its backtrace.
    os.environ["RUST_BACKTRACE"] = "0"
    with _stop_flag() as stopped:
        with _lock(run):
            journal = Journal(run, report)
            # The run may have been stopped, and perhaps queued again, before this process got the lock.
            if journal.status.state == "queued" and ticket in (None, journal.status.ticket):
                _work(run, journal, stopped, resume)
        if journal.status.state != "failed":  # after a failure torchrun ends the other ranks
            distributed.world().leave()
        return journal.status


def _work(run: Run, journal: Journal, stopped: Callable[[], bool], resume: bool) -> None:
    """Wait for the device, train, and write how the run ended."""
    epochs = run.config.training.epochs
    world = distributed.world()
    try:
        journal.update(pid=os.getpid())
        runs.remove_leftovers(run.path)
        with queue.hold_device(run, wait=partial(_wait, journal, stopped)):
            try:
                processes = hardware.processes(run.config.training.processes, journal.status.device)
                _say(journal, stopped, "Loading PyTorch.", state="running", started=time.time())
                at_limit: StopRequested | None = None
                try:
                    if processes > 1 and not distributed.launched():
                        _train_with_ranks(run, journal, processes, resume)
                    else:
                        _train(run, journal, stopped, resume, world)
                except StopRequested as stop:
                    at_limit = stop
                if at_limit or journal.status.epoch == epochs:  # who stops a run does not wait for a measurement
                    measure_after_training(run, journal, stopped)
                if at_limit:
                    raise at_limit
            finally:
                journal.ended = time.time()  # before the next run starts
        if journal.status.epoch < epochs:
            raise StopRequested
        journal.end("finished", journal.status.warning or f"Finished all {epochs} epochs.")
    except StopRequested as stop:
        ended = f"{str(stop) or 'Stopped'} {run.place}."
        if not ended.startswith(runs.AT_LIMIT):  # the page recognises the limit by its sentence
            ended = f"{journal.status.warning} {ended}".strip()
        journal.end("stopped", ended)
    except KeyboardInterrupt:  # a second Ctrl-C does not wait for the end of the step
        journal.end("stopped", f"Stopped {run.place}.")
        raise
    except Exception as error:
        error = world.root_cause(error)
        journal.end("failed", failures.describe_exception(run.path, error), error)


def _train_with_ranks(run: Run, journal: Journal, processes: int, resume: bool) -> None:
    """Let rank processes train; rank 0 of them writes the run's folder meanwhile."""
    try:
        rank_processes.train(run, processes, resume=resume, report=journal.listener)
    finally:
        journal.status = runs.read_status(run.path)
    if journal.status.message.startswith(runs.AT_LIMIT):
        raise StopRequested(journal.status.message)


@dataclass(frozen=True)
class _Task:
    """What rank 0 sends to the other ranks.

    Attributes:
        config: the run's settings as JSON, with the device that rank 0 found.
        images: number of training and validation images, which must be the same on all machines.
        initial: weights of another run to start from.
        teacher: the network to learn from.
    """

    config: str
    images: tuple[int, int]
    checkpoint: "Checkpoint | None"
    initial: "dict[str, Tensor] | None"
    teacher: "nn.Module | None"


def train_rank(run: Run | None = None, *, resume: bool = False) -> int:
    """Train as one of several ranks, and return the exit status.

    Args:
        run: the run of the job that started the ranks. Under ``torchrun`` it is None: rank 0 is then the job itself
            (:func:`execute`), and it sends the other ranks what they need.
        resume: continue after the last step that was saved.
    """
    world = distributed.world()
    # While PyTorch loads and while this rank waits for rank 0 there is nothing to save: a signal ends the process.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        if world.rank:
            _train_as_other_rank(world)
        elif run is not None:
            _train_as_rank_0(run, resume, world)
    except Exception as error:
        _note_failure(run, world, error)
        return 1
    world.leave()
    return 0


def _train_as_rank_0(run: Run, resume: bool, world: World) -> None:
    journal = Journal(run, None)
    try:
        with _stop_flag() as stopped:
            _train(run, journal, stopped, resume, world)
    except StopRequested as stop:
        if str(stop):
            journal.say(str(stop))
    finally:
        journal.close()


def _train_as_other_rank(world: World) -> None:
    from vit import trainer
    from vit.data import load
    from vit.jobs.environment import set_threads

    device = world.join()
    if not device:
        return
    with _stop_flag() as stopped:
        task: _Task = world.share()
        config = RunConfig.from_json(task.config)
        _check_room(world, device)
        set_threads(config.training.threads, config.environment, world.local_size)
        data = load(config.data)
        if (images := _counts(data)) != task.images:
            raise DataError(
                "This machine has {:,} training and {:,} validation images, but rank 0 has {:,} and {:,}: copy the "
                "same data to all machines.".format(*images, *task.images)
            )
        world.begin()
        events = trainer.fit(
            config,
            data,
            resume=task.checkpoint,
            stop=stopped,
            world=world,
            initial=task.initial,
            teacher=task.teacher,
        )
        for _ in events:
            pass


def _note_failure(run: Run | None, world: World, error: Exception) -> None:
    """Record why this rank ends, in the launcher's error file and in a note for rank 0."""
    consequence = distributed.is_lost_connection(error) or isinstance(error, RankFailed)
    sentence = "" if consequence else failures.describe_exception(run.path if run else data_dir(), error)
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
    train, val = data.splits()
    return len(train), len(val)


def _say(journal: Journal, stopped: Callable[[], bool], message: str, **changes: Any) -> None:
    """Write a status message, unless the job was asked to stop."""
    if stopped():
        raise StopRequested
    journal.say(message, **changes)


def _train(run: Run, journal: Journal, stopped: Callable[[], bool], resume: bool, world: World) -> None:
    """Train in this process, alone or as rank 0, and write all events."""
    from vit import networks, trainer
    from vit.data import check_readable
    from vit.data.batches import steps_per_epoch
    from vit.jobs import environment as environments
    from vit.runs.weights import save_model
    from vit.trainer.resume_file import load_resume

    say = partial(_say, journal, stopped)
    config = run.config
    recorded = config.environment if resume else None
    environments.set_threads(config.training.threads, recorded, world.local_size)
    environment = environments.current_environment(journal.status.device, world.size)
    checkpoint = load_resume(run.path) if resume else None
    if resume and checkpoint is None:
        say("Nothing was saved that it could continue from: it starts from the beginning.")
    begun = recorded if checkpoint is not None else None
    if begun and (changes := environments.describe_changes(begun, environment)):
        journal.log(changes)
    initial = None
    if config.start and checkpoint is None:
        initial = finetune.initial_weights(config)
        journal.log(f"starts from the weights of {config.start.run}, {finetune.describe_head(initial)}")
    teacher = teachers.load_teacher(config)
    say("Loading the data.")
    data = _load_data(config, say)
    for skipped in data.skipped[:LISTED_FILES]:
        journal.log(f"left out {skipped.file}: {skipped.reason}")
    if len(data.skipped) > LISTED_FILES:
        journal.log(f"left out {len(data.skipped) - LISTED_FILES} more files")
    for remark in data.remarks:
        journal.log(remark)
    if checkpoint is None:
        check_readable(data, config.data)
    if not run.has_weights and initial is None:  # so that a run that is killed in its first epoch can be opened
        random = networks.build_model(config.model, seed=config.training.seed).state_dict()
        save_model(run.path, random, {"epoch": 0, "validated": False})
        del random  # free its memory before the training
    recipe = config.training
    counts = _counts(data)
    per_epoch = steps_per_epoch(counts[0], recipe.batch_size, recipe.drop_last)
    if begun:
        precision = environments.recorded_precision(recipe, begun, environment)
    else:
        precision = _choose_precision(config, data, journal, say, per_epoch * recipe.epochs, world)
        environment = environment.model_copy(update={"precision": precision})
        runs.write_config(run.path, config.model_copy(update={"environment": environment}))
    recipe = recipe.model_copy(update={"precision": precision})
    config = config.model_copy(update={"training": recipe})
    guessing = learning.guessing_loss(data.splits()[0].labels.tolist(), config.model.num_classes, recipe)
    say("Training.", steps_total=per_epoch * recipe.epochs, guessing=guessing)
    if not world.alone:
        journal.log(f"{world.size} processes train together.")
        _check_room(world, journal.status.device)
        world.join(journal.status.device, lambda: say("Training."))
        shared_recipe = recipe.model_copy(update={"device": journal.status.device})
        shared_config = config.model_copy(update={"environment": recorded, "training": shared_recipe})
        world.share(_Task(shared_config.model_dump_json(), counts, checkpoint, initial, teacher))
        world.begin()
    before = float(checkpoint.position["seconds"]) if checkpoint else 0.0
    time_up = _alarm(recipe.max_seconds, before)
    events = trainer.fit(
        config,
        data,
        resume=checkpoint,
        stop=lambda: stopped() or time_up(),
        world=world,
        initial=initial,
        teacher=teacher,
        watch=trainer.Watch(trainer.watched_rows(data.splits()[1], config.model)),
    )
    del initial  # the model has it now
    _rewind(run, journal, checkpoint)  # only after fit has accepted the checkpoint
    if recipe.tensorboard:
        journal.follow_in_tensorboard()
    if recipe.track != "none":
        journal.follow_in_tracker(recipe.track)
    for event in events:
        match event:
            case trainer.Step():
                journal.step(event)
                if event.step % per_epoch == 0:  # validation follows, which needs memory of other sizes
                    heap.return_free_memory()
            case trainer.Epoch():
                journal.epoch(event, config.training.epochs)
                heap.return_free_memory()
            case trainer.Snapshot():
                journal.snapshot(event)
            case trainer.Checkpoint():
                if stopped():
                    journal.say(f"Saving step {event.position['step']:,}.")
                journal.checkpoint(event)
            case trainer.Maps():
                journal.maps(event)
            case trainer.Note():
                journal.log(event.text)
    if journal.status.epoch < recipe.epochs and time_up() and not stopped():
        raise StopRequested(f"{runs.AT_LIMIT} of {recipe.max_seconds:g} s")


def _choose_precision(
    config: RunConfig, data: "ImageData", journal: Journal, say: Callable[[str], None], steps: int, world: World
) -> str:
    """Return the precision of a new training, by a measurement if its settings leave the choice; log the choice."""
    from vit.trainer import precision

    device = journal.status.device
    if not precision.should_measure(config, device, steps):
        return config.training.precision_on(device)
    say("Measuring in which precision steps are faster.")
    speedup = precision.bfloat16_speedup(config, data, world.size)
    heap.return_free_memory()
    chosen = "bfloat16" if speedup >= precision.MARGIN else "float32"
    journal.log(f"steps are computed in {chosen}: measured, a step is {speedup:.2f} times as fast in bfloat16")
    return chosen


def _alarm(seconds: float | None, before: float) -> Callable[[], bool]:
    """Return a callable that is true after ``seconds`` of training, including time before a resume; never for None."""
    end = math.inf if seconds is None else time.monotonic() + seconds - max(0.0, before)
    return lambda: time.monotonic() >= end


def _rewind(run: Run, journal: Journal, checkpoint: "Checkpoint | None") -> None:
    """Reset metrics and status to the position that training continues from, and remove what measured the weights."""
    runs.remove_measurements(run.path)
    position = checkpoint.position if checkpoint else {"epoch": 0, "step": 0}
    epoch, step = int(position["epoch"]), int(position["step"])
    runs.truncate_metrics(run.path, step)
    journal.update(epoch=epoch, step=step, **({} if checkpoint else {"warning": ""}))


def _load_data(config: RunConfig, say: Callable[[str], None]) -> "ImageData":
    from vit.data import load

    reported, left = time.monotonic(), TimeLeft()

    def progress(done: int, total: int) -> None:
        nonlocal reported
        if time.monotonic() - reported > STATUS_EVERY:
            reported = time.monotonic()
            say(f"Preparing the images: {done:,} of {total:,}{left.words(done, total)}.")

    return load(config.data, progress=progress)


def _wait(journal: Journal, stopped: Callable[[], bool]) -> None:
    """Sleep until the next look at the queue."""
    journal.say(f"Waiting for the device {journal.status.device}.")
    time.sleep(WAIT_STEP)
    if stopped():
        raise StopRequested


@contextmanager
def _stop_flag() -> Iterator[Callable[[], bool]]:
    """Yield a callable that is true after one of :data:`rank_processes.SIGNALS`; a second Ctrl-C interrupts at once."""
    requested = False

    def request(number: int, _frame: object) -> None:
        nonlocal requested
        requested = True
        if number == signal.SIGINT:
            signal.signal(number, before[signal.SIGINT])

    if threading.current_thread() is not threading.main_thread():  # signals can be handled only there
        yield lambda: False
        return
    before = {number: signal.getsignal(number) for number in rank_processes.heeded_signals()}
    try:
        for number in before:
            signal.signal(number, request)
        yield lambda: requested
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: it was not set from Python


@contextmanager
def _lock(run: Run) -> Iterator[None]:
    try:
        lock = runs.run_lock(run.path).acquire(timeout=LOCK_PATIENCE)
    except Timeout:
        raise RunError(f"Another process works on the run {run.name!r}: wait until it ends, or stop it.") from None
    except OSError as error:
        raise RunError(f"The run's folder {run.path} cannot be written: {error.strerror or error}.") from error
    with lock:
        yield
