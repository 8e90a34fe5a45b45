"""Process several images in parallel, each on one core.

For many small forward passes this is faster than one pass at a time on all cores. The operations of a small network
take a few microseconds each, and after each one all cores wait for the slowest. If another program, such as a training,
uses the machine too, most of the time is spent waiting.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

TICK = 0.2
"""Maximum of seconds between two calls of ``progress``."""


class Meter:
    """A progress counter that workers share, and through which they are stopped."""

    def __init__(self, total: int) -> None:
        self.done, self.total = 0.0, total
        self._lock, self._ended = threading.Lock(), threading.Event()

    def add(self, count: float) -> None:
        """Add finished work.

        Raises:
            InterruptedError: :meth:`end` was called.
        """
        if self._ended.is_set():
            raise InterruptedError("this work was cancelled.")
        with self._lock:
            self.done += count

    def end(self) -> None:
        """Stop the workers: from now on :meth:`add` raises."""
        self._ended.set()


def in_parallel(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    meter: Meter,
    progress: Callable[[int, int], None] | None = None,
    *,
    workers: int | None = None,
) -> list[Result]:
    """Return ``work(item)`` for each item, in their order.

    Args:
        work: runs on one core. It must call ``meter.add`` regularly and must not change the model.
        items: the arguments of the calls.
        meter: counts the finished work of all calls.
        progress: called in this thread with (done, total) of the meter, several times a second. An exception that it
            raises ends the work.
        workers: number of parallel calls; None means as many as torch uses threads for one operation.
    """
    cores = torch.get_num_threads()
    workers = min(workers or cores, max(1, len(items)))
    ready = threading.Barrier(workers + 1)

    def begin() -> None:
        # The first call in a thread sets the thread's number to the one set last anywhere, so it must come first.
        torch.get_num_threads()
        torch.set_num_threads(1)
        ready.wait()

    with ThreadPoolExecutor(workers, initializer=begin) as pool:
        tasks = [pool.submit(work, item) for item in items]
        if items:
            ready.wait()
        # Each thread keeps its own number, but torch gives new threads the number that was set last: restore it.
        torch.set_num_threads(cores)
        waiting = set(tasks)
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=TICK, return_when=FIRST_COMPLETED)
                for task in done:
                    task.result()
                if progress is not None:
                    progress(min(round(meter.done), meter.total), meter.total)
        finally:
            meter.end()
            pool.shutdown(cancel_futures=True)
    return [task.result() for task in tasks]
