"""What the visitors of a demo leave on the disk: how much it is, and how it goes away again.

::

    checkpoints/<run>/                 of a visitor where its config.json names an owner
    data/visitors/<owner>/uploads/     sets of images
    data/visitors/<owner>/pictures/    single ones
    data/cache/<key>/                  decoded images, of everybody
    data/exports/                      runs as files for a download
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
from vit.paths import OWNER, checkpoints_dir, data_dir, owned_dir
from vit.runs import Run

MEASURED_FOR = 60.0
"""Seconds for which a measurement of the disk counts."""

_measuring = Lock()
_measured: dict[tuple[Path, Path], tuple[float, int]] = {}


def runs_of(owner: str) -> list[Run]:
    """The runs of one visitor, newest first."""
    return [run for run in runs.list_runs() if run.config.owner == owner]


def disk_used() -> int:
    """Bytes of all runs and all data; measured anew after a minute, or after :func:`measure_anew`."""
    places = checkpoints_dir(), data_dir()
    with _measuring:
        when, size = _measured.get(places, (-MEASURED_FOR, 0))
        if time.monotonic() - when >= MEASURED_FOR:
            size = sum(_size(place) for place in places)
            _measured[places] = time.monotonic(), size
        return size


def measure_anew() -> None:
    """Something was added or deleted: the next question measures."""
    with _measuring:
        _measured.clear()


def check_disk(limits: DemoLimits, need: float = 0) -> None:
    """Whether the disk of a demo takes so many bytes more, beside what the runs at work will write.

    Raises:
        RunError: it does not.
    """
    at_work = [run for run in runs.list_runs() if run.active]
    to_come = sum(max(0, disk_bytes(run.config) - run.size_bytes) for run in at_work)
    if disk_used() + to_come + need > limits.disk_gb * 1e9:
        raise RunError(
            "The disk of this demo is full, so nothing new is taken: come back later, or delete a run of your own."
        )


def delete_expired(keep_hours: float) -> None:
    """Delete what visitors made and nobody touched for so many hours, and decoded images that nobody used.

    Runs of nobody in particular, runs at work and what these are trained on stay. One sweep runs at a time; what cannot
    be deleted now is left to the next one.
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
        measure_anew()


def make_room(owner: str, kept: int) -> None:
    """Delete the oldest uploads of a visitor that no run is trained on, until there are fewer than ``kept``.

    Raises:
        RunError: runs are trained on all of them.
    """
    folders = _folders(owned_dir(owner) / "uploads")
    uploads = sorted((folder for folder in folders if not folder.name.startswith(".")), key=_changed)
    used = {run.config.data.source for run in runs_of(owner)}
    for upload in [upload for upload in uploads if str(upload) not in used][: max(0, len(uploads) - kept + 1)]:
        _remove(upload)
        uploads.remove(upload)
    if len(uploads) >= kept:
        raise RunError(f"You have {len(uploads)} sets of images here, and runs of yours use them: delete a run first.")


def touch(path: Path) -> None:
    """Note that something of a visitor's was used."""
    with suppress(OSError):
        os.utime(path)


def _delete_expired_runs(before: float) -> None:
    for run in runs.list_runs():
        if run.config.owner and _changed(run.path) < before:
            with suppress(UserError, OSError):  # it is at work, or somebody was faster
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
        with suppress(OSError):  # something is left in it
            folder.rmdir()


def _delete_expired_caches(before: float) -> None:
    """:func:`vit.data.cache.fetch` touches what it hands out, and builds under the lock that is taken here."""
    for folder in _folders(data_dir() / "cache"):
        if _changed(folder) < before:
            lock = folder.with_name(f"{folder.name.removesuffix('.part')}.lock")
            with suppress(Timeout), FileLock(lock).acquire(timeout=0):
                _remove(folder)


def _folders(place: Path) -> Iterator[Path]:
    """The folders in a folder, none where that is not there; never through a link."""
    with suppress(OSError):
        if not place.is_symlink():
            yield from [Path(entry.path) for entry in os.scandir(place) if entry.is_dir(follow_symlinks=False)]


def _changed(path: Path) -> float:
    """Seconds since 1970, of a folder when a file was last put into it; infinite for what is not there."""
    try:
        return path.lstat().st_mtime
    except OSError:
        return float("inf")


def _remove(folder: Path) -> None:
    """Take a folder away at once, so that nobody finds half of it."""
    doomed = folder.with_name(f".deleted-{folder.name}-{time.time_ns()}")
    with suppress(OSError):
        folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


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
