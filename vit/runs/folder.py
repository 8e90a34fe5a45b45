"""The files of a run's folder and how they are written: lock, status, metrics.

The process that works on a run holds its lock, and only that process writes. A held lock, not a process id, proves that
it is alive.
"""

import json
import os
import shutil
import sys
from contextlib import suppress
from functools import lru_cache
from hashlib import file_digest
from pathlib import Path
from typing import Annotated, Any, Literal

from filelock import FileLock, Timeout
from pydantic import ConfigDict, Field

from vit.config import SCHEDULER_ID, RunConfig
from vit.config.base import Settings
from vit.errors import SettingsError
from vit.support.files import json_lines, overwrite, remove_temporary_files, safetensors_metadata, tail, write_atomic

if sys.platform != "win32":
    import fcntl

State = Literal["queued", "running", "finished", "stopped", "failed"]
ACTIVE = ("queued", "running")
CONFIG, STATUS, METRICS, LOG, LOCK = "config.json", "status.json", "metrics.jsonl", "log.txt", ".lock"
MODEL, LAST, SNAPSHOTS = "model.safetensors", "last.safetensors", "snapshots"
PICTURE = "attention.png"
DEPENDENCE = "dependence.json"
"""The attention dependence of the kept weights (:mod:`vit.runs.dependence`)."""
NOTES = "notes.json"
"""Tags and a note, which the user writes (:mod:`vit.runs.notes`)."""
EXAMPLE = "example.npz"
"""One validation image with its attention (:mod:`vit.runs.example`)."""
LIVE = "live.npz"
"""The attention of a few validation images at the last record of the training (:mod:`vit.runs.live_maps`)."""
RESULTS = "results"
"""A folder with results of long computations on the kept weights (:mod:`vit.results.stored`)."""
TENSORBOARD = "tensorboard"
TRACKER = "tracker.json"
"""The entry of an experiment tracker that has the curves (:mod:`vit.exports.trackers`)."""
STOP = ".stop"
"""A file that asks a run to stop whose worker may be on another machine, where no signal reaches it."""

_RESULTS = (LAST, METRICS, TENSORBOARD, TRACKER, SNAPSHOTS, LIVE, PICTURE, EXAMPLE, DEPENDENCE, RESULTS, MODEL)
"""The files that a training makes, in the order of deletion: first the one that a resume would use."""
_EPOCH_METRICS = ("epoch", "step", "train_loss", "val_loss", "val_accuracy", "lr", "seconds")
_OPTIONAL_METRICS = ("train_accuracy", "teacher_entropy", "divergence")
"""Numbers that only some trainings have: with labels, and with DINO."""
_METRICS_TAIL = 2**17


class Status(Settings):
    """The status of a run, as in ``status.json``.

    Attributes:
        message: one sentence for the user: what the run is doing, or why it ended.
        ticket: order in the queue of the device: nanoseconds since 1970 when the run was created or resumed.
        pid: id of the process that works on the run; None before it has started.
        started, ended: seconds since 1970; ``started`` is when the run got the device.
        epoch: complete epochs.
        step, steps_total: optimiser steps.
        device: ``cpu``, ``cuda`` or ``mps``.
        best: metrics of the kept weights: epoch, val_accuracy, val_loss and so on.
        validated: whether the kept weights were validated; initial weights are not.
        warning: why the training does not learn, in a sentence (:mod:`vit.runs.learning`); empty if it does.
        guessing: training loss of a network that gives one answer to all images; None if it is unknown.
        launch: id of the ``torchrun`` that works on the run, also after it has restarted its processes.
        placed: id of the program that schedules the run instead of the device queue: see :func:`is_placed`.
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
    warning: str = ""
    guessing: float | None = None
    launch: Annotated[str, Field(max_length=64)] = ""
    placed: Annotated[str, Field(pattern=rf"^({SCHEDULER_ID.pattern})?$")] = ""


def run_lock(path: Path) -> FileLock:
    """Return the lock that the process working on a run holds."""
    return FileLock(path / LOCK)


def is_locked(path: Path) -> bool:
    """Return whether a process works on the run.

    The check itself holds a shared lock for an instant, so whoever acquires the lock should retry.
    """
    if sys.platform == "win32":
        with suppress(FileNotFoundError):
            return _is_taken(path)
        return False
    try:
        handle = os.open(path / LOCK, os.O_RDONLY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:  # another user's run, whose lock cannot be checked
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared, so that two readers do not block each other
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def placer(path: Path, mark: str) -> Path:
    """Return the folder whose lock the scheduling program with this id holds while it is alive.

    Args:
        path: folder of a run.
        mark: id of the program.
    """
    return path.parent / ".locks" / mark


def is_placed(path: Path, status: Status) -> bool:
    """Return whether a running program (a sweep on a Ray cluster) schedules the run and retries lost workers."""
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
    """Return the status as it was last written; for a job that was killed since, ``Run.status`` has the true one.

    If ``status.json`` is missing or damaged, the status is recovered from the other files of the run.
    """
    try:
        stat = (path / STATUS).stat()
        status = _parse_status(path / STATUS, stat.st_ino, stat.st_mtime_ns, stat.st_size)
    except FileNotFoundError:
        state: State = "finished" if (path / MODEL).is_file() else "failed"
        return _recovered(path, state, "It has no status.json.")
    except (OSError, SettingsError) as error:
        return _recovered(path, "failed", f"Its status.json cannot be read ({reason(error)}): resume it or start over.")
    # A job writes its weights before its status, and may be killed between the two.
    best = kept_metrics(path) if status.state in ACTIVE else None
    return status if best is None else status.model_copy(update={"best": best, "validated": True})


@lru_cache(maxsize=512)
def _parse_status(path: Path, _inode: int, _mtime_ns: int, _size: int) -> Status:
    return Status.from_json(path.read_bytes())


def _recovered(path: Path, state: State, message: str) -> Status:
    epochs = (line for line in json_lines(tail(path / METRICS, _METRICS_TAIL)) if line.get("event") == "epoch")
    last = max(epochs, key=lambda line: line.get("step", 0), default={})
    best = kept_metrics(path)
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


def kept_metrics(path: Path) -> dict[str, Any] | None:
    """Return the metrics stored in the file of the kept weights; None if it has none."""
    try:
        stat = (path / MODEL).stat()
    except OSError:
        return None
    found = _parse_kept_metrics(path / MODEL, stat.st_ino, stat.st_mtime_ns, stat.st_size)
    return dict(found) if found else None


@lru_cache(maxsize=512)
def _parse_kept_metrics(path: Path, _inode: int, _mtime_ns: int, _size: int) -> dict[str, Any] | None:
    try:
        found = {name: json.loads(text) for name, text in safetensors_metadata(path).items()}
    except (ValueError, RecursionError):
        return None
    names = (*_EPOCH_METRICS, *(name for name in _OPTIONAL_METRICS if name in found))
    numbers = all(type(found.get(name)) in (int, float) for name in names)
    return {name: found[name] for name in names} if numbers and found.get("validated") is True else None


def resume_position(path: Path) -> dict[str, float]:
    """Return the position in the resume file of a run (:class:`vit.trainer.Checkpoint`); empty if there is none."""
    try:
        stat = (path / LAST).stat()
    except OSError:
        return {}
    return dict(_parse_position(path / LAST, stat.st_ino, stat.st_mtime_ns, stat.st_size))


@lru_cache(maxsize=512)
def _parse_position(path: Path, _inode: int, _mtime_ns: int, _size: int) -> dict[str, float]:
    try:
        found = {name: json.loads(text) for name, text in safetensors_metadata(path).items()}
    except (ValueError, RecursionError):
        return {}
    return {name: number for name, number in found.items() if type(number) in (int, float)}


def weights_digest(path: Path) -> str:
    """Return the SHA-256 of the kept weights; unlike a time stamp, it is the same in a copy of the run.

    Raises:
        OSError: there are no weights.
    """
    stat = (path / MODEL).stat()
    return _digest(path / MODEL, stat.st_ino, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=64)
def _digest(path: Path, _inode: int, _mtime_ns: int, _size: int) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def write_status(path: Path, status: Status) -> None:
    write_atomic(path / STATUS, status.model_dump_json(indent=2).encode())


def update_status(path: Path, **changes: Any) -> Status:
    """Change some fields of ``status.json``."""
    status = read_status(path).model_copy(update=changes)
    write_status(path, status)
    return status


def write_final_status(path: Path, status: Status) -> None:
    """Write the final status of a run; on a full disk, overwrite the old file in place.

    If even that fails, readers notice the end of the run because its lock is free.
    """
    try:
        write_status(path, status)
    except OSError:
        with suppress(OSError):
            overwrite(path / STATUS, status.model_dump_json().encode())


def write_config(path: Path, config: RunConfig) -> None:
    write_atomic(path / CONFIG, config.model_dump_json(indent=2).encode())


def append_metrics(path: Path, lines: list[dict[str, Any]], *, durable: bool = False) -> None:
    """Append lines to ``metrics.jsonl``, readable at once; ``durable`` also flushes them to the disk."""
    data = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode()
    with (path / METRICS).open("ab", buffering=0) as file:
        rest = memoryview(data)
        while rest:  # on a full disk the first write may be partial, and only the next one fails
            rest = rest[file.write(rest) :]
        if durable:
            os.fsync(file.fileno())


def truncate_metrics(path: Path, step: int) -> None:
    """Remove later steps and a half-written last line from ``metrics.jsonl``."""
    try:
        lines = list(json_lines((path / METRICS).read_bytes()))
    except FileNotFoundError:
        return
    kept = [json.dumps(line, separators=(",", ":")) + "\n" for line in lines if line.get("step", 0) <= step]
    write_atomic(path / METRICS, "".join(kept).encode())


def remove_leftovers(path: Path) -> None:
    """Remove the half-written files that a killed job left in a run's folder."""
    for folder in (path, path / SNAPSHOTS, path / RESULTS):
        remove_temporary_files(folder)


def clear(path: Path) -> None:
    """Delete metrics, weights, snapshots and other results of a training; keep settings, status and log.

    Symbolic links are removed, their targets are not.
    """
    remove_leftovers(path)
    for name in _RESULTS:
        _remove(path / name)


def remove_measurements(path: Path) -> None:
    """Remove what was measured on the kept weights, because a resumed training replaces them."""
    for name in (DEPENDENCE, RESULTS):
        _remove(path / name)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def reason(error: Exception) -> str:
    """Return the text of an error for the middle of a sentence, without a full stop."""
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    return (str(error) if isinstance(error, SettingsError) else repr(error)).rstrip(".")
