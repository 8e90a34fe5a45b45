"""Run work in threads, a bounded number of items ahead of the consumer."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def threaded(
    function: Callable[[Item], Result], workers: int
) -> Iterator[Callable[[Iterable[Item]], Iterator[Result]]]:
    """Yield a function that maps items to results in their order, in this number of threads.

    At most two results per thread wait in memory; ``ThreadPoolExecutor.map`` would keep them all.
    """
    with ThreadPoolExecutor(workers) as pool:

        def mapped(items: Iterable[Item]) -> Iterator[Result]:
            pending: deque[Future[Result]] = deque()
            try:
                for item in items:
                    pending.append(pool.submit(function, item))
                    if len(pending) >= 2 * workers:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()

        yield mapped
