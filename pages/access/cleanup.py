"""Measure and delete the files of a demo's visitors.

::

    checkpoints/<run>/                 a visitor's run if its config.json names an owner
    checkpoints/.boards/               boards of lessons, for a day
    data/visitors/<owner>/uploads/     uploaded data sets
    data/visitors/<owner>/pictures/    uploaded images
    data/cache/<key>/                  decoded images, shared by all visitors
    data/exports/                      files for downloads of runs
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock

from filelock import FileLock, Timeout

from pages.server.limits import DemoLimits
from vit import runs
from vit.cost.estimate import disk_bytes
from vit.errors import RunError, UserError
from vit.exports import formats
from vit.lessons import boards
from vit.paths import OWNER, checkpoints_dir, data_dir, owned_dir
from vit.runs import Run

MEASURED_FOR = 60.0
"""Seconds for which a measurement of the disk is reused."""

_measuring = Lock()
_measured: dict[tuple[Path, Path], tuple[float, int]] = {}


def runs_of(owner: str) -> list[Run]:
    """Return the runs of one visitor, newest first."""
    return [run for run in runs.list_runs() if run.config.owner == owner]


def disk_used() -> int:
    """Return the bytes of all runs and data, at most :data:`MEASURED_FOR` seconds old."""
    places = checkpoints_dir(), data_dir()
    with _measuring:
        when, size = _measured.get(places, (-MEASURED_FOR, 0))
        if time.monotonic() - when >= MEASURED_FOR:
            size = sum(_size(place) for place in places)
            _measured[places] = time.monotonic(), size
        return size


def measure_anew() -> None:
    """Discard the stored measurement of the disk after something was added or deleted."""
    with _measuring:
        _measured.clear()


def check_disk(limits: DemoLimits, need: float = 0) -> None:
    """Check that a demo has disk space for ``need`` more bytes and for the files that its active runs will write.

    Raises:
        RunError: the disk is full.
    """
    active = [run for run in runs.list_runs() if run.active]
    expected = sum(max(0, disk_bytes(run.config) - run.size_bytes) for run in active)
    if disk_used() + expected + need > limits.disk_gb * 1e9:
        raise RunError("The disk of this demo is full: come back later, or delete one of your runs.")


def delete_expired(keep_hours: float) -> None:
    """Delete visitors' files, decoded images and exports that have not been used for ``keep_hours``.

    Runs without an owner, active runs and the images of remaining runs stay. Only one clean-up runs at a time; the next
    one deletes what this one could not.
    """
    data_dir().mkdir(parents=True, exist_ok=True)
    with suppress(Timeout), FileLock(data_dir() / ".cleanup.lock").acquire(timeout=0):
        before = time.time() - keep_hours * 3600
        _delete_expired_runs(before)
        used = {run.config.data.source for run in runs.list_runs() if run.config.owner}
        for visitor in _folders(data_dir() / "visitors"):
            if OWNER.fullmatch(visitor.name):
                _delete_expired_visitor(visitor, before, used)
        _delete_expired_caches(before)
        formats.delete_older(before)
        boards.expire()
        measure_anew()


def make_room(owner: str, kept: int) -> None:
    """Delete the oldest uploads of a visitor that no run uses, until fewer than ``kept`` remain.

    Raises:
        RunError: runs use too many of them.
    """
    folders = _folders(owned_dir(owner) / "uploads")
    uploads = sorted((folder for folder in folders if not folder.name.startswith(".")), key=_changed)
    used = {run.config.data.source for run in runs_of(owner)}
    for upload in [upload for upload in uploads if str(upload) not in used][: max(0, len(uploads) - kept + 1)]:
        _remove(upload)
        uploads.remove(upload)
    if len(uploads) >= kept:
        raise RunError(f"You have {len(uploads)} uploaded data sets, and your runs use them: delete a run first.")


def touch(path: Path) -> None:
    """Mark a file or folder of a visitor as used now."""
    with suppress(OSError):
        os.utime(path)


def _delete_expired_runs(before: float) -> None:
    for run in runs.list_runs():
        if run.config.owner and _changed(run.path) < before:
            with suppress(UserError, OSError):  # the run is active or already deleted
                runs.delete(run)
    runs.remove_abandoned()


def _delete_expired_visitor(visitor: Path, before: float, used: set[str]) -> None:
    for upload in _folders(visitor / "uploads"):
        if _changed(upload) < before and str(upload) not in used:
            _remove(upload)
    if not (visitor / "pictures").is_symlink():
        for picture in (visitor / "pictures").glob("*"):
            if _changed(picture) < before:
                with suppress(OSError):
                    picture.unlink()
    for folder in (visitor / "uploads", visitor / "pictures", visitor):
        with suppress(OSError):  # the folder is not empty
            folder.rmdir()


def _delete_expired_caches(before: float) -> None:
    # vit.data.cache.fetch touches the folders that it returns, and builds them under the lock that is taken here.
    for folder in _folders(data_dir() / "cache"):
        if _changed(folder) < before:
            lock = folder.with_name(f"{folder.name.removesuffix('.part')}.lock")
            with suppress(Timeout), FileLock(lock).acquire(timeout=0):
                _remove(folder)


def _folders(place: Path) -> Iterator[Path]:
    """Yield the folders in a folder; none if it does not exist. Links are not followed."""
    with suppress(OSError):
        if not place.is_symlink():
            yield from [Path(entry.path) for entry in os.scandir(place) if entry.is_dir(follow_symlinks=False)]


def _changed(path: Path) -> float:
    """Return the time of the last change in seconds since 1970; infinity if the path does not exist."""
    try:
        return path.lstat().st_mtime
    except OSError:
        return float("inf")


def _remove(folder: Path) -> None:
    """Rename a folder before deleting it, so that no reader finds half of it."""
    deleted = folder.with_name(f".deleted-{folder.name}-{time.time_ns()}")
    with suppress(OSError):
        folder.rename(deleted)
        shutil.rmtree(deleted, ignore_errors=True)


def _size(place: Path) -> int:
    size, pending = 0, [place]
    while pending:
        with suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))
                else:
                    size += entry.stat(follow_symlinks=False).st_size
    return size
