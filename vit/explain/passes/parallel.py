"""Work on several images at once, each on one core: for many small forward passes faster than each on all cores.

A forward pass of a small network hands its cores a few microseconds of work at a time, and each time waits for the
slowest. Where something else is at work on the machine, a training perhaps, that is most of the time.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

TICK = 0.2
"""Seconds between two calls of ``tick``, at most."""


class Meter:
    """Counts what the workers have done, and tells them when to give up."""

    def __init__(self, total: int) -> None:
        self.done, self.total = 0.0, total
        self._lock, self._ended = threading.Lock(), threading.Event()

    def add(self, count: float) -> None:
        """So much more is done; raises where it is not wanted any more."""
        if self._ended.is_set():
            raise InterruptedError("nobody waits for this any more.")
        with self._lock:
            self.done += count

    def end(self) -> None:
        """Let the next :meth:`add` raise."""
        self._ended.set()


def in_parallel(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    meter: Meter,
    progress: Callable[[int, int], None] | None = None,
    *,
    workers: int | None = None,
) -> list[Result]:
    """``work(item)`` of each item, in their order.

    Args:
        work: calls ``meter.add`` now and then, and the model without a change to it. Each call has one core.
        progress: called with (done, total) of the meter, here, several times a second; what it raises ends the work.
        workers: calls at a time; None is as many as torch takes cores for one operation.
    """
    cores = torch.get_num_threads()
    workers = min(workers or cores, max(1, len(items)))
    ready = threading.Barrier(workers + 1)

    def begin() -> None:
        torch.get_num_threads()  # a thread's first call gives it the number that torch noted last; so before, not after
        torch.set_num_threads(1)
        ready.wait()

    with ThreadPoolExecutor(workers, initializer=begin) as pool:
        tasks = [pool.submit(work, item) for item in items]
        if items:
            ready.wait()
        # A thread keeps its own number; beside it torch notes the last one set, for threads to come.
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
