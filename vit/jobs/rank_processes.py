"""Start, supervise and stop the ranks of a job with PyTorch's elastic launcher.

The job's process holds the locks of the run and of the device, and runs the launcher. The ranks are its children; rank
0 writes the run's folder while they train, and the job writes the final status.
"""

import ctypes
import os
import shutil
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from vit import runs
from vit.distributed import RankFailed
from vit.paths import library_root
from vit.runs import Run, failures, learning

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""What asks a training to stop: a stop or shutdown, Ctrl-C, and the end of its terminal."""
ERROR_FILES = ".ranks"
"""Folder in the run's folder where the ranks leave their errors while they train."""
POLL_SECONDS = 0.3
_PR_SET_PDEATHSIG = 1


class _Interrupted(Exception):
    """A signal arrived before the launcher had installed its handlers."""


def heeded_signals() -> list[signal.Signals]:
    """Return those of :data:`SIGNALS` that this process does not ignore.

    Under ``nohup`` it ignores SIGHUP, and where a script started it with ``&``, SIGINT.
    """
    return [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


def train(run: Run, processes: int, *, resume: bool, report: Callable[[Any], None] | None) -> None:
    """Train a run with several ranks on this machine, and return when all of them have ended.

    :data:`SIGNALS` are passed on to the ranks, which stop together after their step and save it. The caller restores
    the signal handlers.

    Args:
        run: the run to train.
        processes: number of ranks.
        resume: continue after the last step that was saved.
        report: called with each status message and each line of ``metrics.jsonl`` that rank 0 writes.

    Raises:
        RankFailed: a rank failed or was killed; the launcher has stopped the others.
    """

    def interrupt(_number: int, _frame: object) -> None:
        raise _Interrupted

    if threading.current_thread() is threading.main_thread():
        for number in heeded_signals():
            signal.signal(number, interrupt)
    error_files = run.path / ERROR_FILES
    shutil.rmtree(error_files, ignore_errors=True)  # left by a job that was killed
    _let_ranks_import_this_project()
    try:
        with _reporting(run, report):
            _launch(run, processes, error_files, resume)
    except _Interrupted:
        pass  # nothing has been trained yet
    finally:
        shutil.rmtree(error_files, ignore_errors=True)


def _launch(run: Run, processes: int, error_files: Path, resume: bool) -> None:
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="127.0.0.1",
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(log_dir=str(error_files)),
        signals_to_handle=",".join(number.name for number in heeded_signals()),
    )
    command = ["-m", "vit.jobs", "rank", "--run", str(run.path), "--parent", str(os.getpid())]
    try:
        elastic_launch(config, sys.executable)(*command, *(["--resume"] if resume else []))
    except SignalException:
        pass  # the ranks have stopped: the run's status says how far they got
    except ChildFailedError as error:
        raise _describe(error, run, processes) from None


def end_with_parent(parent: int | None = None) -> None:
    """End this process as soon as its launcher is gone, also while it is blocked in a collective operation.

    Args:
        parent: process id of the launcher, if known.
    """
    parent = parent or os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _describe(error: "ChildFailedError", run: Run, processes: int) -> RankFailed:
    """Name the rank that failed first, from its error file or, where it was killed, from its exit code."""
    rank, failure = error.get_first_failure()
    if not isinstance(failure.message, dict):
        why = failures.describe_death(failure.exitcode, run.end_of_log)
        return RankFailed(failures.describe_rank(rank, processes, why))
    why = failure.message["message"].partition(": ")[2]  # without the name of the exception
    failed = RankFailed(failures.describe_rank(rank, processes, why))
    failed.add_note(f"Rank {rank}:\n{failure.message['extraInfo']['py_callstack']}")
    return failed


def _let_ranks_import_this_project() -> None:
    """Add the project to ``PYTHONPATH``: a notebook may have been started in another folder."""
    paths = list(filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))
    if str(library_root()) not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join([str(library_root()), *paths])


@contextmanager
def _reporting(run: Run, report: Callable[[Any], None] | None) -> Iterator[None]:
    """Report in a thread what rank 0 writes into the run's folder."""
    if report is None:
        yield
        return
    ended = threading.Event()
    metrics = run.path / runs.METRICS

    def size() -> int:
        return metrics.stat().st_size if metrics.is_file() else 0

    def follow(report: Callable[[Any], None], offset: int, message: str) -> None:
        last, warning = False, ""
        while not last:
            last = ended.wait(POLL_SECONDS)
            status = runs.read_status(run.path)
            if status.message != message and not status.message.endswith("epochs done."):
                report(status.message)
            message = status.message
            if status.warning and learning.begins(status.warning) != warning:
                report(status.warning)
            warning = learning.begins(status.warning)
            lines, offset = run.metrics(min(offset, size()))  # a resume cuts the file
            for line in lines:
                report(SimpleNamespace(**line))

    message = runs.read_status(run.path).message
    thread = threading.Thread(target=follow, args=(report, size(), message), name="report")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
