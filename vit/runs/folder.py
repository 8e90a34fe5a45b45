"""What lies in a run's folder, and how it is written: the names of the files, the lock, the status, the metrics.

Who works on a run holds its lock, and a held lock, not a process id, is proof of life; only the holder writes.
"""

import json
import os
import shutil
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from filelock import FileLock, Timeout
from pydantic import ConfigDict, Field

from vit.config import SCHEDULER_ID, RunConfig
from vit.config.base import Settings
from vit.errors import SettingsError
from vit.support.files import json_lines, overwrite, remove_remains, safetensors_metadata, tail, write_atomic

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

State = Literal["queued", "running", "finished", "stopped", "failed"]
ACTIVE = ("queued", "running")
CONFIG, STATUS, METRICS, LOG, LOCK = "config.json", "status.json", "metrics.jsonl", "log.txt", ".lock"
MODEL, LAST, SNAPSHOTS = "model.safetensors", "last.safetensors", "snapshots"
PICTURE = "attention.png"
TENSORBOARD = "tensorboard"
STOP = ".stop"
"""Asks for the end of a run whose worker may be on another machine, where no signal reaches it."""

_MADE = (LAST, METRICS, TENSORBOARD, SNAPSHOTS, PICTURE, MODEL)
"""What a training makes, and what is made of its weights; first of all what a resume would go on from."""
_MEASURED = ("epoch", "step", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "seconds")
_METRICS_TAIL = 2**17


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
        launch: the mark of the ``torchrun`` that works on it, which begins again where one of its processes dies.
        placed: the mark of who places it, where that is not the queue of its device: see :func:`is_placed`.
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
    launch: Annotated[str, Field(max_length=64)] = ""
    placed: Annotated[str, Field(pattern=rf"^({SCHEDULER_ID.pattern})?$")] = ""


def run_lock(path: Path) -> FileLock:
    """The lock that the process at work on a run holds."""
    return FileLock(path / LOCK)


def is_locked(path: Path) -> bool:
    """Whether a process works on the run. Asking holds a share of the lock for an instant, so takers should retry."""
    if fcntl is None:
        with suppress(FileNotFoundError):
            return _is_taken(path)
        return False
    try:
        handle = os.open(path / LOCK, os.O_RDONLY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:  # another user's run is taken at its word
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # a share: two who ask never take each other for a job
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def placer(path: Path, mark: str) -> Path:
    """The folder whose lock is held by the program of this mark, which places the run in ``path``, while it lives."""
    return path.parent / ".locks" / mark


def is_placed(path: Path, status: Status) -> bool:
    """Whether a living program sees to it that the run finds a machine, and another one where that is lost."""
    return bool(status.placed) and is_locked(placer(path, status.placed))


def _is_taken(path: Path) -> bool:
    if not (path / LOCK).exists():
        return False
    try:
        with run_lock(path).acquire(timeout=0):
            return False
    except (Timeout, PermissionError):
        return True


def read_status(path: Path) -> Status:
    """The status as it was last written, which for a job killed since is not the truth: see ``Run.status``.

    Where it is lost, it is what the other files of the run tell.
    """
    try:
        stat = (path / STATUS).stat()
        status = _parse_status(path / STATUS, stat.st_ino, stat.st_mtime_ns, stat.st_size)
    except FileNotFoundError:
        state = "finished" if (path / MODEL).is_file() else "failed"
        return _recovered(path, state, "It has no status.json.")
    except (OSError, SettingsError) as error:
        return _recovered(path, "failed", f"Its status.json cannot be read ({reason(error)}): resume it or start over.")
    # A job writes its weights before its status, and may be killed between the two.
    best = measured(path) if status.state in ACTIVE else None
    return status if best is None else status.model_copy(update={"best": best, "validated": True})


@lru_cache(maxsize=512)
def _parse_status(path: Path, _inode: int, _mtime_ns: int, _size: int) -> Status:
    return Status.from_json(path.read_bytes())


def _recovered(path: Path, state: State, message: str) -> Status:
    epochs = (line for line in json_lines(tail(path / METRICS, _METRICS_TAIL)) if line.get("event") == "epoch")
    last = max(epochs, key=lambda line: line.get("step", 0), default={})
    best = measured(path)
    try:
        return Status(
            state=state,
            message=message,
            epoch=last.get("epoch", 0),
            step=last.get("step", 0),
            best=best,
            validated=best is not None,
        )
    except SettingsError:  # the other files are damaged as well
        return Status(state=state, message=message)


def measured(path: Path) -> dict[str, Any] | None:
    """What was measured with the kept weights, as their own file says; None where it does not."""
    try:
        stat = (path / MODEL).stat()
    except OSError:
        return None
    found = _parse_measured(path / MODEL, stat.st_ino, stat.st_mtime_ns, stat.st_size)
    return dict(found) if found else None


@lru_cache(maxsize=512)
def _parse_measured(path: Path, _inode: int, _mtime_ns: int, _size: int) -> dict[str, Any] | None:
    try:
        found = {name: json.loads(text) for name, text in safetensors_metadata(path).items()}
    except (ValueError, RecursionError):
        return None
    numbers = all(type(found.get(name)) in (int, float) for name in _MEASURED)
    return {name: found[name] for name in _MEASURED} if numbers and found.get("validated") is True else None


def write_status(path: Path, status: Status) -> None:
    """Replace ``status.json``."""
    write_atomic(path / STATUS, status.model_dump_json(indent=2).encode())


def update_status(path: Path, **changes: Any) -> Status:
    """Change some fields of ``status.json``."""
    status = read_status(path).model_copy(update=changes)
    write_status(path, status)
    return status


def last_word(path: Path, status: Status) -> None:
    """Write how a run ended by all means: where the disk takes no new file, over the old one.

    Where not even that is possible, readers find that nobody holds the lock any more.
    """
    try:
        write_status(path, status)
    except OSError:
        with suppress(OSError):
            overwrite(path / STATUS, status.model_dump_json().encode())


def write_config(path: Path, config: RunConfig) -> None:
    """Replace ``config.json``."""
    write_atomic(path / CONFIG, config.model_dump_json(indent=2).encode())


def append_metrics(path: Path, lines: list[dict[str, Any]], *, durable: bool = False) -> None:
    """Append lines to ``metrics.jsonl``, readable at once; ``durable`` waits until the disk has them."""
    data = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode()
    with (path / METRICS).open("ab", buffering=0) as file:
        rest = memoryview(data)
        while rest:  # a disk that gets full takes a part first, and then says so
            rest = rest[file.write(rest) :]
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
    """Remove the half-written files that a killed job left in a run's folder."""
    for folder in (path, path / SNAPSHOTS):
        remove_remains(folder)


def clear(path: Path) -> None:
    """Delete what a training has made: curves, weights, snapshots. Settings, status and log stay; so do targets of
    links.
    """
    sweep(path)
    for name in _MADE:
        made = path / name
        if made.is_dir() and not made.is_symlink():
            shutil.rmtree(made)
        else:
            made.unlink(missing_ok=True)


def reason(error: Exception) -> str:
    """Why, in the middle of a sentence and without its full stop."""
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    return (str(error) if isinstance(error, SettingsError) else repr(error)).rstrip(".")
