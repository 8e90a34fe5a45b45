"""A run is a folder: settings, metrics, status, weights.

::

    checkpoints/<run>/  config.json  metrics.jsonl  status.json  model.safetensors  last.safetensors
                        snapshots/  log.txt  .lock

Every file is written beside, flushed to disk with its folder, and renamed once; only ``metrics.jsonl`` grows line by
line. Who works on a run holds its lock, and a held lock, not a process id, is proof of life.
"""

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from filelock import FileLock, Timeout
from pydantic import ConfigDict

from vit.config import RUN_NAME, RunConfig, Settings, checkpoints_dir
from vit.errors import RunError, SettingsError, UserError
from vit.files import json_lines, remove_remains, sync_folder, tail, write_atomic
from vit.hardware import resolve

SHIPPED_RUN = "scenes-vit"
START_GRACE = 30.0
"""Seconds that a queued run may go without a process: the time that a new process needs to take its lock."""

State = Literal["queued", "running", "finished", "stopped", "failed"]
ACTIVE = ("queued", "running")
CONFIG, STATUS, METRICS, LOG, LOCK = "config.json", "status.json", "metrics.jsonl", "log.txt", ".lock"
MODEL, LAST, SNAPSHOTS = "model.safetensors", "last.safetensors", "snapshots"
PICTURE = "attention.png"

_NAME_MAX = 64
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?")  # names that Windows gives to devices
_ENDED_SILENTLY = "The process ended without a word: resume it or start over."
_probing = Lock()


class Status(Settings):
    """How a run fares; ``status.json`` of its folder.

    Attributes:
        message: one sentence for a person: what is being done, or why it ended.
        ticket: place in the queue of the device; nanoseconds since 1970 when the run was created or resumed.
        pid: the process that works on it, None until that has begun.
        started, ended: seconds since 1970; ``started`` is when the device was its own.
        epoch: complete epochs. step, steps_total: optimiser steps.
        device: ``cpu``, ``cuda`` or ``mps``.
        best: what was measured with the kept weights: epoch, val_accuracy, val_loss and so on.
        validated: whether the kept weights have been measured at all; the initial weights have not.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    state: State = "queued"
    message: str = ""
    ticket: int = 0
    pid: int | None = None
    started: float | None = None
    ended: float | None = None
    epoch: int = 0
    step: int = 0
    steps_total: int = 0
    device: str = ""
    best: dict[str, Any] | None = None
    validated: bool = False


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
            raise RunError(f"The settings of run {self.name!r} cannot be read: {_reason(error)}") from None

    @property
    def status(self) -> Status:
        """The true status: a job that says it is at work, and whose lock nobody holds, has failed."""
        status = read_status(self.path)
        if status.state not in ACTIVE or is_locked(self.path):
            return status
        if status.state == "queued" and time.time() - status.ticket / 1e9 < START_GRACE:
            return status
        status = read_status(self.path)  # it may have ended, in order, since the first look
        if status.state not in ACTIVE:
            return status
        return status.model_copy(update={"state": "failed", "message": _ENDED_SILENTLY})

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
    def snapshots(self) -> list[int]:
        """Epochs of which fp16 weights are kept, ascending."""
        numbers = (re.search(r"(\d+)\.safetensors$", file.name) for file in (self.path / SNAPSHOTS).glob("*"))
        return sorted(int(number[1]) for number in numbers if number)

    @property
    def size_bytes(self) -> int:
        """Bytes of all its files."""
        sizes = 0
        for file in self.path.rglob("*"):
            with suppress(FileNotFoundError):  # a job at work renames its files
                sizes += file.stat().st_size if file.is_file() else 0
        return sizes

    @property
    def stamp(self) -> int:
        """Changes with the kept weights, which a training replaces as it gets better; 0 where there are none."""
        try:
            return (self.path / MODEL).stat().st_mtime_ns
        except OSError:
            return 0

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
                start = offset if offset <= file.seek(0, os.SEEK_END) else 0
                file.seek(start)
                data = file.read()
        except FileNotFoundError:
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


def list_runs() -> list[Run]:
    """All readable runs, newest first."""
    return _survey()[0]


def broken_runs() -> list[tuple[str, str]]:
    """Folders that look like runs but cannot be read: (name, sentence)."""
    return _survey()[1]


def _survey() -> tuple[list[Run], list[tuple[str, str]]]:
    readable, broken = [], []
    for config_file in checkpoints_dir().glob(f"*/{CONFIG}"):
        run = Run(config_file.parent)
        if run.name.startswith("."):
            continue
        try:
            readable.append((run.config.created, run.name, run))
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
        SettingsError: this machine lacks the device.
    """
    device = resolve(config.training.device)
    config = config.model_copy(update={"created": datetime.now(UTC).isoformat(timespec="microseconds")})
    path = checkpoints_dir() / (suggest_name(config) if name is None else check_name(name))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir()
    except FileExistsError:
        if name is None:  # somebody else was faster with the same suggestion
            return create(None, config)
        raise RunError(f"There is a run {name!r} already: choose another name.") from None
    except OSError as error:
        raise RunError(f"The run's folder {path} cannot be made: {_reason(error)}") from None
    try:
        write_status(path, Status(ticket=time.time_ns(), device=device, message="Starting."))
        write_config(path, config)  # last: with it the folder becomes a run
        sync_folder(path.parent)
    except OSError as error:
        shutil.rmtree(path, ignore_errors=True)
        raise RunError(f"The run's folder {path} cannot be written: {_reason(error)}") from None
    return Run(path)


def requeue(run: Run) -> None:
    """Give a run that has ended a new place in the queue, to be resumed."""
    changes = {"ticket": time.time_ns(), "pid": None, "started": None, "ended": None, "message": "Starting."}
    device = resolve(run.config.training.device)
    with holding(run):
        update_status(run.path, state="queued", device=device, **changes)


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
    if not RUN_NAME.fullmatch(name) or _RESERVED.fullmatch(name):
        raise RunError(
            f"A run cannot be called {name[:60]!r}: take up to 64 small letters, digits, dots, hyphens and "
            "underscores, a letter or digit at either end, and no name that a system reserves."
        )
    return name


def rename(run: Run, name: str) -> Run:
    """Rename a run that is not active.

    Raises:
        RunError: it is active, or the name is taken or impossible.
    """
    target = _own_folder(run).with_name(check_name(name))
    with holding(run):
        if target.exists():
            raise RunError(f"There is a run {name!r} already: choose another name, such as {free_name(name)!r}.")
        run.path.rename(target)
    return Run(target)


def delete(run: Run) -> None:
    """Delete a run that is not active, with all its files.

    Raises:
        RunError: it is active, or not in the folder of runs.
    """
    path = _own_folder(run)
    with holding(run):
        doomed = path.with_name(f".deleted-{path.name}-{time.time_ns()}")
        path.rename(doomed)  # at once, so nobody finds half a run
    shutil.rmtree(doomed)


def _own_folder(run: Run) -> Path:
    if run.path.parent.resolve() != checkpoints_dir().resolve() or run.path.is_symlink():
        raise RunError(f"The run {run.name!r} is not in {checkpoints_dir()}: change it where it is.")
    return run.path


@contextmanager
def holding(run: Run) -> Iterator[None]:
    """Hold the lock of a run on which no job works.

    Raises:
        RunError: a job works on it, or is about to.
    """
    busy = RunError(f"The run {run.name!r} is {run.state}: stop it first.")
    if run.active:
        raise busy
    try:
        with run_lock(run.path).acquire(timeout=1):
            yield
    except Timeout:
        raise busy from None


def run_lock(path: Path) -> FileLock:
    """The lock that the process at work on a run holds."""
    return FileLock(path / LOCK)


def is_locked(path: Path) -> bool:
    """Whether a process works on the run. The probe holds the lock for an instant, so takers should retry."""
    if not (path / LOCK).exists():
        return False
    with _probing:  # two probes of one process would each take the other for a job
        try:
            with run_lock(path).acquire(timeout=0):
                return False
        except (Timeout, PermissionError):  # another user's run is taken at its word
            return True


def read_status(path: Path) -> Status:
    """The status as it was last written, which for a job killed since is not the truth: see :attr:`Run.status`."""
    try:
        return Status.from_json((path / STATUS).read_bytes())
    except FileNotFoundError:
        return Status(state="finished" if (path / MODEL).is_file() else "failed", message="It has no status.json.")
    except (OSError, SettingsError) as error:
        return Status(state="failed", message=f"Its status.json cannot be read: {_reason(error)}")


def write_status(path: Path, status: Status) -> None:
    """Replace ``status.json``; only the holder of the lock does."""
    write_atomic(path / STATUS, status.model_dump_json(indent=2).encode())


def update_status(path: Path, **changes: Any) -> Status:
    """Change some fields of ``status.json``; only the holder of the lock does."""
    status = read_status(path).model_copy(update=changes)
    write_status(path, status)
    return status


def write_config(path: Path, config: RunConfig) -> None:
    """Replace ``config.json``."""
    write_atomic(path / CONFIG, config.model_dump_json(indent=2).encode())


def append_metrics(path: Path, lines: list[dict[str, Any]], *, durable: bool = False) -> None:
    """Append lines to ``metrics.jsonl``, readable at once; ``durable`` waits until the disk has them."""
    data = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode()
    with (path / METRICS).open("ab", buffering=0) as file:
        file.write(data)
        if durable:
            os.fsync(file.fileno())


def cut_metrics(path: Path, step: int) -> None:
    """Drop what ``metrics.jsonl`` says of later steps, and a half-written last line."""
    try:
        lines = list(json_lines((path / METRICS).read_bytes()))
    except FileNotFoundError:
        return
    kept = [json.dumps(line, separators=(",", ":")) + "\n" for line in lines if line.get("step", 0) <= step]
    write_atomic(path / METRICS, "".join(kept).encode())


def sweep(path: Path) -> None:
    """Remove the half-written files that a killed job left in a run's folder; only the holder of the lock does."""
    for folder in (path, path / SNAPSHOTS):
        remove_remains(folder)


@lru_cache(maxsize=512)
def _read_config(path: Path, _mtime_ns: int, _size: int) -> RunConfig:
    return RunConfig.from_json(path.read_bytes())


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{(error.strerror or str(error)).lower()}."
    return str(error) if isinstance(error, UserError) else repr(error)
