"""Work in a background thread, with its progress, the time left and a stop button.

The result is kept for all sessions until newer results replace it.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Generic, TypeVar, cast

import streamlit as st

from pages.ui.text import show_error
from pages.ui.wording import duration
from vit.errors import UserError
from vit.results.stored import StoredResult

KEPT_MAX = 24
"""Maximum number of results that are kept."""

TICK = 0.5
"""Seconds between two updates of the progress."""

Progress = Callable[[int, int], None]
Result = TypeVar("Result")


class WorkStopped(BaseException):
    """Raised by a progress call to end the work; a BaseException, so ``except Exception`` in the work lets it pass."""


class Task(Generic[Result]):
    """Work in a background thread, which any session can watch and stop.

    Args:
        work: called in the thread with ``progress(done, total)``.
        turn: a lock that is held while the work runs; work with the same lock waits for it.
        resumes: the first progress call reports what an earlier try has done, which does not count for the time left.

    Attributes:
        done, total: the last progress; the total is 0 while it is unknown.
        begun: when the work began; None while it waits for its turn.
        result: what the work returned; None until it is finished.
        error: the exception that ended the work.
        finished: whether the thread has ended, for whatever reason.
        stopped: whether a visitor stopped it.
    """

    def __init__(
        self,
        work: Callable[[Progress], Result],
        turn: AbstractContextManager[Any] | None = None,
        *,
        resumes: bool = False,
    ) -> None:
        self.done, self.total = 0, 0
        self.begun: float | None = None
        self.result: Result | None = None
        self.error: Exception | None = None
        self.finished = self.stopped = False
        self._work, self._turn = work, turn or nullcontext()
        self._resumed: int | None = None if resumes else 0  # done by an earlier try; None before it is known
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the work at its next progress call."""
        self._stop.set()

    def wait(self, seconds: float) -> None:
        """Wait until the thread has ended, but no longer than ``seconds``."""
        self._thread.join(seconds)

    @property
    def failed(self) -> bool:
        """Whether the work was stopped or ended in an error, so it can be started again."""
        return self.stopped or self.error is not None

    @property
    def share(self) -> float:
        """The share that is done, 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def seconds_left(self) -> float | None:
        """The time left at the present speed; None while it cannot be estimated."""
        new = self.done - (self._resumed or 0)
        if self.begun is None or not self.total or new <= 0:
            return None
        return (time.monotonic() - self.begun) * (self.total - self.done) / new

    @property
    def words(self) -> str:
        """The progress as text."""
        if self.begun is None:
            return "Waiting for other work to finish"
        if self.seconds_left is None:
            return "Preparing"
        return f"{self.share:.0%}, about {duration(self.seconds_left)} left"

    def _run(self) -> None:
        try:
            with self._turn:
                self.begun = time.monotonic()
                self._check_stop()
                self.result = self._work(self._progress)
        except WorkStopped:
            self.stopped = True
        except Exception as error:  # shown in place of the result
            self.error = error
        finally:
            self.finished = True

    def _progress(self, done: int, total: int) -> None:
        self._check_stop()
        if self._resumed is None and total:
            self._resumed, self.begun = done, time.monotonic()
        self.done, self.total = done, total

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise WorkStopped


class Tasks:
    """The tasks of the server by key.

    Args:
        one_at_a_time: run one task at a time, so that the work of many visitors does not slow down the work of each.
    """

    def __init__(self, *, one_at_a_time: bool = True) -> None:
        self._tasks: OrderedDict[Hashable, Task[Any]] = OrderedDict()
        self._lock, self._turn = threading.Lock(), threading.Lock() if one_at_a_time else None

    def find(self, key: Hashable) -> Task[Any] | None:
        """Return the task of this key, running or finished."""
        with self._lock:
            if key in self._tasks:
                self._tasks.move_to_end(key)
            return self._tasks.get(key)

    def start(self, key: Hashable, work: Callable[[Progress], Any], *, resumes: bool = False) -> Task[Any]:
        """Start the work of a key, unless it is running or has a result; what failed or was stopped starts again.

        Args:
            key: names the work.
            work: as in :class:`Task`.
            resumes: as in :class:`Task`.
        """
        with self._lock:
            task = self._tasks.get(key)
            if task is None or task.failed:
                task = self._tasks[key] = Task(work, self._turn, resumes=resumes)
            self._tasks.move_to_end(key)
            ended = [name for name, one in self._tasks.items() if one.finished]
            for name in ended[: max(0, len(self._tasks) - KEPT_MAX)]:
                del self._tasks[name]
            return task

    def forget(self, key: Hashable) -> None:
        """Remove a finished task, whose result is no longer needed."""
        with self._lock:
            if key in self._tasks and self._tasks[key].finished:
                del self._tasks[key]


@st.cache_resource(show_spinner=False)
def tasks() -> Tasks:
    """Return the computations of the server, which run one at a time."""
    return Tasks()


@st.cache_resource(show_spinner=False)
def download_tasks() -> Tasks:
    """Return the downloads of the server, which run side by side."""
    return Tasks(one_at_a_time=False)


def background(
    key: tuple[Hashable, ...],
    work: Callable[[Progress], Result],
    *,
    label: str,
    auto: bool = False,
    stored: StoredResult[Result] | None = None,
    patience: float = 0.0,
) -> Result | None:
    """Return the result of some work; until it exists, show a start button, or the progress and a stop button.

    Args:
        key: strings and numbers that the result depends on: what is computed, the run's path and stamp, the settings.
        work: called in a thread with ``progress(done, total)``, which it must call repeatedly, since it stops only
            there. It must not call Streamlit; cached functions load everything it needs before or inside it.
        label: the label of the start button, such as "Measure all heads".
        auto: start without a click, for work of a few seconds. After a stop it waits for a click.
        stored: the place in the run's folder where the result is read, and a new one is kept, if it is stored.
        patience: seconds that a started work has before its progress is shown.

    Returns:
        The result, or None until it exists.
    """
    task = tasks().find(key)
    name = f"task_{abs(hash(key))}"
    if stored is not None:
        if (task is None or task.failed) and (found := stored.read()) is not None:
            return found
        work = partial(_and_keep, work, stored)
    if task is None and auto:
        task = tasks().start(key, work)
        task.wait(patience)
    if task is not None and task.finished and not task.failed:
        return cast(Result, task.result)
    if task is None or task.failed:
        if task is not None:
            show_failure(task)
        if st.button(label, key=f"{name}_start", icon=":material/play_arrow:", type="primary"):
            tasks().start(key, work)
            st.rerun(scope="app")
        return None
    st.fragment(_show_progress, run_every=TICK)(task, name)
    return None


def finished_result(key: tuple[Hashable, ...], stored: StoredResult[Result] | None = None) -> Result | None:
    """Return the result of some work if it is known: from this server, or stored in the run's folder; else None."""
    task = tasks().find(key)
    if task is not None and task.finished and not task.failed:
        return cast(Result, task.result)
    return None if stored is None else stored.read()


def _and_keep(work: Callable[[Progress], Result], stored: StoredResult[Result], progress: Progress) -> Result:
    result = work(progress)
    stored.keep(result)
    return result


def show_failure(task: Task[Any]) -> None:
    """Show the sentence of the error that ended a task, if there is one; raise an error that is a defect."""
    if task.error is None:
        return
    if not isinstance(task.error, UserError):
        raise task.error
    show_error(task.error)


def _show_progress(task: Task[Any], name: str) -> None:
    if task.finished:
        st.rerun(scope="app")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.progress(task.share, text=task.words)
        if st.button("Stop", key=f"{name}_stop", icon=":material/stop_circle:"):
            task.stop()
