"""Whose turn it is on a device: one run at a time, first come first served by ticket.

A job holds its device's lock while it trains, so one that dies frees the device, and a server that starts anew finds
the queue as it was: it is nothing but the tickets in the runs' folders.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from vit import runs
from vit.paths import checkpoints_dir
from vit.runs import Run, Status


@contextmanager
def turn(run: Run, wait: Callable[[], None]) -> Iterator[None]:
    """Hold the run's device, once it is free and no living job with an older ticket waits for it.

    Args:
        wait: called as long as it is not this run's turn; it sleeps a little, and may raise to give up.
    """
    mine = runs.read_status(run.path)
    if mine.placed:  # where and when it trains is somebody else's choice
        yield
        return
    folder = checkpoints_dir() / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{mine.device}.lock")
    before = None
    while True:
        # Each job watches the one before it, and only the first the device: a long queue costs no more than a short.
        if before is None or not _waits(before, mine):
            before = _last_before(run, mine)
        if before is None and _take(lock):
            before = _last_before(run, mine)  # one with an older ticket may have come just now
            if before is None:
                break
            lock.release()
        wait()
    try:
        yield
    finally:
        lock.release()


def places() -> dict[str, int]:
    """The waiting runs by name, and each one's place in the queue of its device; 1 is the next."""
    statuses = [(run.name, run.status) for run in runs.list_runs()]
    queued = [(name, status) for name, status in statuses if status.state == "queued" and not status.placed]
    waiting = sorted((status.ticket, name, status.device) for name, status in queued)
    counts: dict[str, int] = {}
    found = {}
    for _, name, device in waiting:
        found[name] = counts[device] = counts.get(device, 0) + 1
    return found


def place_words(place: int) -> str:
    """A place in the queue as a person says it."""
    return "next in the queue" if place == 1 else f"number {place} in the queue"


def _take(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def _last_before(run: Run, mine: Status) -> Run | None:
    """The run whose turn comes just before, None for the first."""
    before = [other for other in runs.list_runs() if other.path != run.path and _waits(other, mine)]
    return max(before, key=lambda other: runs.read_status(other.path).ticket, default=None)


def _waits(other: Run, mine: Status) -> bool:
    """Whether another run waits for the same device with an older ticket; the files are asked before the locks."""
    status = runs.read_status(other.path)
    before = status.state == "queued" and status.device == mine.device and status.ticket < mine.ticket
    return before and not status.placed and other.state == "queued"
