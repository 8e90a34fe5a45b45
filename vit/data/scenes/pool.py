"""Draw scenes in several processes.

The workers are new interpreters that run :mod:`vit.data.scenes.worker` and communicate through pipes.
``multiprocessing`` with the spawn method would import the caller's ``__main__`` again in each worker, which may be a
page of the app or a script without a main guard.
"""

import json
import os
import queue
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

_BLOCK = 50
_ROOT = Path(__file__).resolve().parents[3]


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fill(
    images: np.ndarray,
    masks: np.ndarray,
    *,
    split: str,
    seed: int,
    workers: int,
    progress: Callable[[int, int], None],
) -> None:
    """Draw the first scenes of a split into ``images`` (n c h w) and ``masks`` (n h w), uint8, in worker processes.

    Raises:
        RuntimeError: a worker died.
    """
    count, size = len(images), images.shape[-1]
    blocks = [(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK)]
    settings = json.dumps({"split": split, "image_size": size, "seed": seed})
    with _started(min(workers, len(blocks)), settings) as processes:
        idle: queue.SimpleQueue[subprocess.Popen] = queue.SimpleQueue()
        for process in processes:
            idle.put(process)

        def fetch(block: tuple[int, int]) -> int:
            process, (start, stop) = idle.get(), block
            parts = [(array, array[0].nbytes * (stop - start)) for array in (images, masks)]
            requests, answers = _pipes(process)
            try:
                os.write(requests.fileno(), b"%d %d\n" % block)
                for array, size in parts:
                    content = answers.read(size)
                    if len(content) < size:
                        raise BrokenPipeError
                    array[start:stop] = np.frombuffer(content, np.uint8).reshape(stop - start, *array.shape[1:])
            except BrokenPipeError:
                raise RuntimeError(
                    f"A process that draws scenes ended early, at scenes {start} to {stop - 1}."
                ) from None
            finally:
                idle.put(process)
            return stop

        threads = ThreadPoolExecutor(len(processes))
        try:
            for done in threads.map(fetch, blocks):  # in order, and in the caller's thread
                progress(done, count)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _started(count: int, settings: str) -> Iterator[list[subprocess.Popen]]:
    paths = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-m", "vit.data.scenes.worker", settings]
    processes = []
    try:
        for _ in range(count):
            processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment))
        yield processes
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            _pipes(process)[0].close()
            process.wait()


def _pipes(process: subprocess.Popen) -> tuple[IO[bytes], IO[bytes]]:
    """Return the standard input and output of a worker."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("A process that draws scenes has no pipes.")
    return process.stdin, process.stdout
