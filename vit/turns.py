"""Whose turn it is on a device: one run at a time, first come first served by ticket.

A job holds its device's lock while it trains, so one that dies frees the device, and a server that starts anew finds
the queue as it was: it is nothing but the tickets in the runs' folders.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from vit import runs
from vit.config import checkpoints_dir
from vit.runs import Run, Status


@contextmanager
def turn(run: Run, wait: Callable[[], None]) -> Iterator[None]:
    """Hold the run's device, once it is free and no living job with an older ticket waits for it.

    Args:
        wait: called as long as it is not this run's turn; it sleeps a little, and may raise to give up.
    """
    status = runs.read_status(run.path)
    folder = checkpoints_dir() / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{status.device}.lock")
    while not _take(lock, run, status):
        wait()
    try:
        yield
    finally:
        lock.release()


def ahead(run: Run) -> int:
    """How many runs come before a queued one on its device, the one that trains now among them."""
    mine = runs.read_status(run.path)
    return sum(other.state in runs.ACTIVE and _before(other, mine) for other in _others(run))


def _take(lock: FileLock, run: Run, mine: Status) -> bool:
    """Take the device's lock if it is this run's turn."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    if any(other.state == "queued" and _before(other, mine) for other in _others(run)):
        lock.release()
        return False
    return True


def _others(run: Run) -> Iterator[Status]:
    return (other.status for other in runs.list_runs() if other.path != run.path)


def _before(other: Status, mine: Status) -> bool:
    return other.device == mine.device and other.ticket < mine.ticket
