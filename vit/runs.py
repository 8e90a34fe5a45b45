"""A run is a folder: settings, metrics, status, weights.

::

    checkpoints/<run>/  config.json  metrics.jsonl  status.json  model.safetensors  last.safetensors
                        snapshots/  log.txt  .lock

Every file is written beside, flushed to disk with its folder, and renamed once; only ``metrics.jsonl`` grows line by
line. Who works on a run holds its lock, and a held lock, not a process id, is proof of life. How the files are written
is in :mod:`vit.folder`.
"""

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from stat import S_ISLNK, S_ISREG
from typing import Any

from filelock import Timeout

from vit import failures
from vit.config import RUN_NAME, RunConfig, checkpoints_dir
from vit.errors import RunError, SettingsError
from vit.files import json_lines, sync_folder, tail
from vit.folder import (
    ACTIVE,
    CONFIG,
    LAST,
    LOCK,
    LOG,
    METRICS,
    MODEL,
    PICTURE,
    SNAPSHOTS,
    STATUS,
    State,
    Status,
    append_metrics,
    clear,
    cut_metrics,
    is_locked,
    is_placed,
    last_word,
    read_status,
    reason,
    run_lock,
    sweep,
    update_status,
    write_config,
    write_status,
)
from vit.hardware import resolve
from vit.names import is_reserved

__all__ = [
    "ACTIVE",
    "CONFIG",
    "LAST",
    "LOCK",
    "LOG",
    "METRICS",
    "MODEL",
    "PICTURE",
    "SHIPPED_RUN",
    "SNAPSHOTS",
    "STATUS",
    "Run",
    "State",
    "Status",
    "append_metrics",
    "cut_metrics",
    "is_locked",
    "last_word",
    "read_status",
    "run_lock",
    "sweep",
    "update_status",
    "write_config",
    "write_status",
]

SHIPPED_RUN = "scenes-vit"
AT_LIMIT = "Stopped at its limit"
"""How the last word on a run begins that was ended by its ``max_seconds``."""
START_GRACE = 30.0
"""Seconds that a queued run may go without a process: the time that a new process needs to take its lock."""

_NAME_MAX = 64
_STALE_SECONDS = 24 * 3600
"""After so long nobody is at work any more on a folder that has no name yet."""
_LOG_TAIL = 4096


@dataclass(frozen=True)
class Run:
    """One run, read afresh from its folder at each question.

    Attributes:
        path: absolute path of the folder.
    """

    path: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def config(self) -> RunConfig:
        """The settings.

        Raises:
            RunError: ``config.json`` is missing or cannot be read.
        """
        try:
            stat = (self.path / CONFIG).stat()
            return _read_config(self.path / CONFIG, stat.st_mtime_ns, stat.st_size)
        except (OSError, SettingsError) as error:
            raise RunError(f"The settings of run {self.name!r} cannot be read: {reason(error)}.") from None

    @property
    def status(self) -> Status:
        """The true status: a job that says it is at work, and whose lock nobody holds, has failed."""
        status = read_status(self.path)
        if not status.ticket and is_locked(self.path):  # its status.json is lost, but somebody is at work
            return status.model_copy(update={"state": "running"})
        if status.state not in ACTIVE or is_locked(self.path):
            return status
        if is_placed(self.path, status):  # by one who lives, and who tries again where its worker was lost
            return status.model_copy(update={"state": "queued"})
        begins = status.state == "queued" and status.pid is None  # a process that has begun takes the lock first
        if begins and time.time() - status.ticket / 1e9 < START_GRACE:
            return status
        status = read_status(self.path)  # it may have ended, in order, since the first look
        if status.state not in ACTIVE:
            return status
        sentence = failures.of_death(None, tail(self.path / LOG, _LOG_TAIL).decode(errors="replace"))
        return status.model_copy(update={"state": "failed", "message": sentence})

    @property
    def state(self) -> State:
        """``queued``, ``running``, ``finished``, ``stopped`` or ``failed``; the true one."""
        return self.status.state

    @property
    def active(self) -> bool:
        """Whether a process works on it, or is about to."""
        return self.state in ACTIVE

    @property
    def best(self) -> dict[str, Any] | None:
        """What was measured with the kept weights (epoch, val_accuracy, val_loss), None before the first validation."""
        status = read_status(self.path)
        return status.best if status.validated else None

    @property
    def has_weights(self) -> bool:
        """Whether there is a model to load; possibly the initial, untrained one."""
        return (self.path / MODEL).is_file()

    @property
    def can_go_on(self) -> bool:
        """Whether there is the file that a resume goes on from."""
        return (self.path / LAST).is_file()

    @property
    def at_limit(self) -> bool:
        """Whether it was ended by its own ``max_seconds``."""
        status = self.status
        return status.state == "stopped" and status.message.startswith(AT_LIMIT)

    @property
    def snapshots(self) -> list[int]:
        """Epochs of which fp16 weights are kept, ascending."""
        numbers = (re.search(r"(\d+)\.safetensors$", file.name) for file in (self.path / SNAPSHOTS).glob("*"))
        return sorted(int(number[1]) for number in numbers if number)

    @property
    def size_bytes(self) -> int:
        """Bytes of all its files."""
        sizes = 0
        for file in self.path.rglob("*"):
            with suppress(OSError):  # a job at work renames its files
                stat = file.lstat()  # of a link itself: what it points to is not freed by deleting the run
                sizes += stat.st_size if S_ISREG(stat.st_mode) or S_ISLNK(stat.st_mode) else 0
        return sizes

    @property
    def stamp(self) -> int:
        """Changes with the kept weights, which a training replaces as it gets better; 0 where there are none."""
        try:
            return (self.path / MODEL).stat().st_mtime_ns
        except OSError:
            return 0

    @property
    def written(self) -> tuple[tuple[int, int], ...]:
        """Changes whenever its job tells something: time and bytes of status, metrics and log; no file is read."""
        return tuple(_time_and_bytes(self.path / name) for name in (STATUS, METRICS, LOG))

    @property
    def picture(self) -> Path | None:
        """The attention of all its heads as an image file, where one was made for it."""
        return self.path / PICTURE if (self.path / PICTURE).is_file() else None

    @property
    def shipped(self) -> bool:
        """Whether it came with the project."""
        return self.name == SHIPPED_RUN

    def metrics(self, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """The lines of ``metrics.jsonl`` from a byte offset on, and the offset to go on from.

        Each line is a dict with ``event`` ("step" or "epoch") and the fields of the trainer's record. A last line that
        is still being written is left for the next call. A resume cuts the file back to the resumed step: a caller who
        keeps lines should key them by step, and an offset past the end starts over.
        """
        try:
            with (self.path / METRICS).open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                start = offset if offset <= size else 0
                file.seek(start)
                data = file.read(size - start)
        except OSError:
            return [], 0
        end = data.rfind(b"\n") + 1
        return list(json_lines(data[:end])), start + end

    @property
    def latest(self) -> dict[str, Any] | None:
        """The last whole line of ``metrics.jsonl``, None before the first step; only the file's end is read."""
        lines = list(json_lines(tail(self.path / METRICS, 4096)))
        return lines[-1] if lines else None

    def log(self, lines: int = 100) -> str:
        """The last lines of the log; an empty string when there is none."""
        return "\n".join(tail(self.path / LOG, 200 * lines).decode(errors="replace").splitlines()[-lines:])


def _time_and_bytes(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_size


def list_runs() -> list[Run]:
    """All readable runs, newest first."""
    return _survey()[0]


def broken_runs() -> list[tuple[str, str]]:
    """Folders that look like runs but cannot be read, or have names that no run has: (name, sentence)."""
    return _survey()[1]


def _survey() -> tuple[list[Run], list[tuple[str, str]]]:
    readable, broken = [], []
    for config_file in checkpoints_dir().glob(f"*/{CONFIG}"):
        run = Run(config_file.parent)
        if run.name.startswith("."):
            continue
        try:
            readable.append((run.config.created, check_name(run.name), run))
        except RunError as error:
            broken.append((run.name, str(error)))
    return [run for *_, run in sorted(readable, key=lambda item: item[:2], reverse=True)], sorted(broken)


def find_run(name: str) -> Run:
    """The run of a name; for names that come from a link, since it never leaves the folder of runs.

    Raises:
        RunError: there is no such run, or it cannot be read.
    """
    return _open(checkpoints_dir() / check_name(name))


def get_run(name_or_path: str | Path) -> Run:
    """The run of a name, or in a folder anywhere when a path is given.

    Raises:
        RunError: there is no such run, or it cannot be read.
    """
    text = os.fspath(name_or_path)
    if isinstance(name_or_path, str) and not re.search(r"[/\\]|^~|^\.+$", text):
        return find_run(text)
    return _open(Path(os.path.abspath(os.path.expanduser(text))))


def _open(path: Path) -> Run:
    if not (path / CONFIG).is_file():
        others = ", ".join(run.name for run in list_runs()[:5])
        advice = f"choose one of {others}." if others else "train one first."
        raise RunError(f"There is no run {path.name!r} in {path.parent}: {advice}")
    run = Run(path)
    _ = run.config  # raises when it cannot be read
    return run


def create(name: str | None, config: RunConfig) -> Run:
    """Make the folder of a new run, queued for its device.

    Raises:
        RunError: the name is taken or cannot be a folder's name, or the folder cannot be written.
        SettingsError: this machine lacks the device, or room on it for the processes.
    """
    device = resolve(config.training.device, config.training.processes)
    config = config.model_copy(update={"created": datetime.now(UTC).isoformat(timespec="microseconds")})
    path = checkpoints_dir() / (suggest_name(config) if name is None else check_name(name))
    beside = path.with_name(f".{secrets.token_hex(8)}.part")  # a run appears under its name when it is whole
    with _writing(path):
        beside.mkdir(parents=True)
        remove_remains()
        try:
            write_config(beside, config)
            write_status(beside, Status(ticket=time.time_ns(), device=device, message="Starting."))
            beside.rename(path)  # it takes the place of an empty folder, and of nothing else
        except OSError as error:
            shutil.rmtree(beside, ignore_errors=True)
            if not path.exists() and not path.is_symlink():
                raise
            if name is None:  # somebody else was faster with the same suggestion
                return create(None, config)
            what = "a run" if (path / CONFIG).exists() else "something else in the folder of runs that is called"
            raise RunError(f"There is {what} {name!r} already: choose another name.") from error
        sync_folder(path.parent)
    return Run(path)


def requeue(run: Run) -> None:
    """Give a run that has ended a new place in the queue, to be resumed."""
    changes = {"ticket": time.time_ns(), "pid": None, "started": None, "ended": None, "message": "Starting."}
    device = device_of(run)
    with holding(run), _writing(run.path):
        update_status(run.path, state="queued", device=device, placed="", **changes)


def start_over(run: Run) -> None:
    """Delete what a run that is not active has made, and queue it from the beginning, with its settings.

    Raises:
        RunError: it is active, its settings cannot be read, or its folder cannot be written.
        SettingsError: this machine lacks the device; then nothing is deleted.
    """
    device = device_of(run)
    with holding(run), _writing(run.path):
        # Whoever finds it half deleted, after a crash, finds a run that can begin.
        last_word(run.path, Status(state="stopped", device=device, message="Stopped while it was about to start over."))
        clear(run.path)
        write_status(run.path, Status(ticket=time.time_ns(), device=device, message="Starting over."))
        with suppress(OSError), (run.path / LOG).open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%H:%M:%S')}  Started over: all that is above is of weights that are gone.\n")


def device_of(run: Run) -> str:
    """The device that a run would be trained on now.

    Raises:
        SettingsError: this machine lacks it.
    """
    return resolve(run.config.training.device)


def suggest_name(config: RunConfig) -> str:
    """A free name that tells data, depth and heads, such as ``scenes-d4-h4-2``, or another network than the ViT."""
    from vit.data import title  # it brings numpy and Pillow, which a waiting job has no use for

    source = Path(title(config.data.source)).stem.lower()
    slug = re.sub(r"[^a-z0-9]+", "-", source).strip("-")[:40].strip("-") or "images"
    model = config.model
    kind = f"d{model.depth}-h{model.num_heads}" if model.architecture == "vit" else model.name
    return free_name(f"{slug}-{kind}")


def free_name(base: str) -> str:
    """``base`` where no run is called so, or else ``base-2`` and so on."""
    taken = {path.name for path in checkpoints_dir().glob("*")}
    name, number = base, 2
    while name in taken:
        name, number = f"{base[: _NAME_MAX - 5]}-{number}", number + 1
    return name


def check_name(name: str) -> str:
    """The name itself, when a run may be called so.

    Raises:
        RunError: it may not; the sentence says what a name is made of.
    """
    if not possible_name(name):
        raise RunError(
            f"A run cannot be called {name[:60]!r}: take up to 64 small letters, digits, dots, hyphens and "
            "underscores, a letter or digit at either end, and no name that a system reserves."
        )
    return name


def possible_name(name: str) -> bool:
    """Whether a run may be called so."""
    return RUN_NAME.fullmatch(name) is not None and not is_reserved(name)


def rename(run: Run, name: str) -> Run:
    """Rename a run that is not active.

    Raises:
        RunError: it is active, or the name is taken or impossible.
    """
    target = _own_folder(run).with_name(check_name(name))
    with holding(run), _writing(run.path):
        if target.exists() or target.is_symlink():
            raise RunError(f"There is a run {name!r} already: choose another name, such as {free_name(name)!r}.")
        run.path.rename(target)
        sync_folder(target.parent)
    return Run(target)


def delete(run: Run) -> None:
    """Delete a run that is not active, with all its files; of links in it, the links and not their targets.

    Raises:
        RunError: it is active, or not in the folder of runs, or another file system is mounted in it.
    """
    path = _own_folder(run)
    mounts = [folder for folder, *_ in os.walk(path) if os.path.ismount(folder)]
    if mounts:
        raise RunError(f"Another disk is mounted at {mounts[0]}: unmount it first, so that nothing on it is deleted.")
    with holding(run), _writing(path):
        doomed = path.with_name(f".deleted-{path.name}-{time.time_ns()}")
        path.rename(doomed)  # at once, so nobody finds half a run
        sync_folder(path.parent)
    shutil.rmtree(doomed, ignore_errors=True)
    remove_remains()
    if doomed.exists():
        raise RunError(f"The run {run.name!r} is deleted, but not all of its files: delete {doomed} by hand.")


def remove_remains() -> None:
    """Delete what killed processes left in the folder of runs: half deleted runs, and, when old, half made ones."""
    for doomed in checkpoints_dir().glob(".deleted-*"):
        shutil.rmtree(doomed, ignore_errors=True)
    for beside in checkpoints_dir().glob(".*.part"):
        with suppress(OSError):
            if time.time() - beside.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(beside, ignore_errors=True)


def _own_folder(run: Run) -> Path:
    """The run's folder, where it lies in the folder of runs and is no link and no way out of it."""
    own = checkpoints_dir().resolve() / run.name
    if run.path.parent.resolve() != own.parent or run.path.resolve() != own or run.name.startswith("."):
        raise RunError(f"The run {run.name!r} is not in {checkpoints_dir()}: change it where it is.")
    return run.path


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """What the system refuses becomes a sentence."""
    try:
        yield
    except OSError as error:
        sentence = f"The run's folder {path} cannot be written: {reason(error)}{failures.remedy(error)}."
        raise RunError(sentence) from error


@contextmanager
def holding(run: Run) -> Iterator[None]:
    """Hold the lock of a run on which no job works.

    Raises:
        RunError: a job works on it, or is about to.
    """
    busy = RunError(f"The run {run.name!r} is {run.state}: stop it first.")
    end = time.monotonic() + 0.3
    while run.active:  # as is one that has just died, while its server writes how
        if time.monotonic() > end:
            raise busy
        time.sleep(0.02)
    try:
        lock = run_lock(run.path).acquire(timeout=1)
    except Timeout:
        raise busy from None
    except OSError as error:
        raise RunError(f"The run {run.name!r} cannot be changed: {reason(error)}.") from error
    with lock:
        yield


@lru_cache(maxsize=512)
def _read_config(path: Path, _mtime_ns: int, _size: int) -> RunConfig:
    return RunConfig.from_json(path.read_bytes())
