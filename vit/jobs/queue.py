"""The queue of each device: one run at a time, in the order of tickets.

A job holds its device's lock while it trains, so a job that dies frees the device. The queue consists only of the
tickets in the runs' folders, so it survives a restart of the server.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from vit import runs
from vit.paths import checkpoints_dir
from vit.runs import Run, Status


@contextmanager
def hold_device(run: Run, wait: Callable[[], None]) -> Iterator[None]:
    """Wait until the run's device is free and no job with an older ticket waits for it, then hold the device.

    Args:
        run: the queued run.
        wait: called repeatedly while the run waits; it sleeps a little, and may raise to give up.
    """
    mine = runs.read_status(run.path)
    if mine.placed:  # another program schedules this run
        yield
        return
    folder = checkpoints_dir() / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{mine.device}.lock")
    before = None
    while True:
        # Each job watches the job before it, and only the first one watches the device, so long queues stay cheap.
        if before is None or not _waits(before, mine):
            before = _last_before(run, mine)
        if before is None and _take(lock):
            before = _last_before(run, mine)  # a job with an older ticket may have been queued meanwhile
            if before is None:
                break
            lock.release()
        wait()
    try:
        yield
    finally:
        lock.release()


def positions() -> dict[str, int]:
    """Return the position of each waiting run in the queue of its device, by name; 1 is next."""
    statuses = [(run.name, run.status) for run in runs.list_runs()]
    queued = [(name, status) for name, status in statuses if status.state == "queued" and not status.placed]
    waiting = sorted((status.ticket, name, status.device) for name, status in queued)
    counts: dict[str, int] = {}
    found = {}
    for _, name, device in waiting:
        found[name] = counts[device] = counts.get(device, 0) + 1
    return found


def position_text(place: int) -> str:
    """Return a phrase for a position in the queue."""
    return "next in the queue" if place == 1 else f"number {place} in the queue"


def _take(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def _last_before(run: Run, mine: Status) -> Run | None:
    """Return the run directly before this one in the queue; None for the first."""
    before = [other for other in runs.list_runs() if other.path != run.path and _waits(other, mine)]
    return max(before, key=lambda other: runs.read_status(other.path).ticket, default=None)


def _waits(other: Run, mine: Status) -> bool:
    """Return whether another run waits for the same device with an older ticket; checks files before locks."""
    status = runs.read_status(other.path)
    before = status.state == "queued" and status.device == mine.device and status.ticket < mine.ticket
    return before and not status.placed and other.state == "queued"
