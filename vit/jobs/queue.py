"""The queue of each device: one run at a time, owners in turn, the runs of an owner in the order of tickets.

The first waiting run of every owner comes before the second one of any (an active run counts as the first), so an owner
who queues many runs does not keep others waiting. Where runs have no owners, only the tickets count.

A job holds its device's lock while it trains, so a job that dies frees the device. The queue consists only of the
tickets in the runs' folders, so it survives a restart of the server.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from vit import runs
from vit.errors import RunError
from vit.paths import checkpoints_dir
from vit.runs import Run, Status


@contextmanager
def hold_device(run: Run, wait: Callable[[], None]) -> Iterator[None]:
    """Wait until the run's device is free and no job waits for it that comes before, then hold the device.

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
        # Each job watches its owner's job before it, and only the first of each owner looks at the whole queue, so
        # long queues stay cheap. The order between owners changes while jobs wait, so it is not remembered.
        if before is None or not _waits(before, mine):
            before = _last_of_owner(run, mine)
        if before is None and _is_first(run, mine) and _take(lock):
            if _is_first(run, mine):  # another job may have been queued, or have taken the device, meanwhile
                break
            lock.release()
        wait()
    try:
        yield
    finally:
        lock.release()


def positions() -> dict[str, int]:
    """Return the position of each waiting run in the queue of its device, by name; 1 is next."""
    by_device: dict[str, list[tuple[Run, Status]]] = defaultdict(list)
    for run in runs.list_runs():
        status = run.status
        if status.state in runs.ACTIVE and not status.placed:
            by_device[status.device].append((run, status))
    return {run.name: place for active in by_device.values() for place, run in enumerate(_in_order(active), start=1)}


def position_text(place: int) -> str:
    """Return a phrase for a position in the queue."""
    return "next in the queue" if place == 1 else f"number {place} in the queue"


def _take(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def _in_order(active: Iterable[tuple[Run, Status]]) -> list[Run]:
    """Return the waiting runs of a device in the order in which they get it, from all its active runs."""
    turns: dict[str, int] = defaultdict(int)
    order = []
    # Runs that are no longer queued come first: their owners have had a turn.
    for run, status in sorted(active, key=lambda one: (one[1].state == "queued", one[1].ticket, one[0].name)):
        owner = _owner(run)
        if status.state == "queued":
            order.append((turns[owner], status.ticket, run.name, run))
        turns[owner] += 1
    return [run for *_, run in sorted(order, key=lambda one: one[:3])]


def _owner(run: Run) -> str:
    try:
        return run.config.owner
    except RunError:  # it was just deleted
        return ""


def _is_first(run: Run, mine: Status) -> bool:
    """Return whether a run is the next one of its device."""
    active = []
    for other in runs.list_runs():
        status = mine if other.path == run.path else runs.read_status(other.path)
        if status.state not in runs.ACTIVE or status.device != mine.device or status.placed:
            continue  # decided without a look at the lock
        if other.path == run.path or (status := other.status).state in runs.ACTIVE:
            active.append((other, status))
    return next(iter(_in_order(active)), run).path == run.path


def _last_of_owner(run: Run, mine: Status) -> Run | None:
    """Return the run of the same owner directly before this one; None for the owner's first."""
    owner = _owner(run)
    before = [
        other for other in runs.list_runs() if other.path != run.path and _owner(other) == owner and _waits(other, mine)
    ]
    return max(before, key=lambda other: runs.read_status(other.path).ticket, default=None)


def _waits(other: Run, mine: Status) -> bool:
    """Return whether another run waits for the same device with an older ticket; checks files before locks."""
    status = runs.read_status(other.path)
    before = status.state == "queued" and status.device == mine.device and status.ticket < mine.ticket
    return before and not status.placed and other.state == "queued"
