"""Work that takes longer than a rerun: in a thread of its own, with progress, time left and a stop button.

One piece of work runs at a time, so that ten visitors do not slow each other down tenfold; its result is kept, for all
sessions, until newer ones push it out.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import streamlit as st

from pages.ui.text import show_error
from pages.ui.wording import duration
from vit.errors import UserError

KEPT_MAX = 24
"""Results that are kept."""

TICK = 0.5
"""Seconds between two looks at the progress."""

Progress = Callable[[int, int], None]
Work = Callable[[Progress], Any]


class Stopped(BaseException):
    """Raised out of a progress call, so that the work ends there; no ``except Exception`` holds it up."""


class Task:
    """One piece of work, from its start to its result."""

    def __init__(self, work: Work, turn: threading.Lock) -> None:
        self.done, self.total = 0, 0
        self.begun: float | None = None  # None while it waits for its turn
        self.result: Any = None
        self.error: Exception | None = None
        self.finished = self.stopped = False
        self._work, self._turn = work, turn
        self._stop = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        """End it at its next progress call."""
        self._stop.set()

    def _run(self) -> None:
        try:
            with self._turn:
                self.begun = time.monotonic()
                self._progress(0, 0)
                self.result = self._work(self._progress)
        except Stopped:
            self.stopped = True
        except Exception as error:  # shown where the result would stand
            self.error = error
        finally:
            self.finished = True

    def _progress(self, done: int, total: int) -> None:
        if self._stop.is_set():
            raise Stopped
        self.done, self.total = done, total

    @property
    def failed(self) -> bool:
        """Whether it was stopped, or ended in an error; then it can begin anew."""
        return self.stopped or self.error is not None

    @property
    def share(self) -> float:
        """How much is done, 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def words(self) -> str:
        """How far it is, and how long it will take."""
        if self.begun is None:
            return "Waiting for other work to end"
        if not self.share:
            return "Getting ready"
        spent = time.monotonic() - self.begun
        return f"{self.share:.0%}, about {duration(spent / self.share - spent)} left"


class Tasks:
    """All work of the server, by key."""

    def __init__(self) -> None:
        self._tasks: OrderedDict[Hashable, Task] = OrderedDict()
        self._lock, self._turn = threading.Lock(), threading.Lock()

    def find(self, key: Hashable) -> Task | None:
        """The work of this key, whatever became of it."""
        with self._lock:
            if key in self._tasks:
                self._tasks.move_to_end(key)
            return self._tasks.get(key)

    def start(self, key: Hashable, work: Work) -> Task:
        """Begin the work of a key, unless it is under way; what failed or was stopped begins anew."""
        with self._lock:
            task = self._tasks.get(key)
            if task is None or task.failed:
                task = self._tasks[key] = Task(work, self._turn)
            self._tasks.move_to_end(key)
            ended = [name for name, one in self._tasks.items() if one.finished]
            for name in ended[: max(0, len(self._tasks) - KEPT_MAX)]:
                del self._tasks[name]
            return task

    def forget(self, key: Hashable) -> None:
        """Let go of work that has ended, whose result is of no more use."""
        with self._lock:
            if key in self._tasks and self._tasks[key].finished:
                del self._tasks[key]


@st.cache_resource(show_spinner=False)
def tasks() -> Tasks:
    """The one registry of the server."""
    return Tasks()


def background(key: tuple, work: Work, *, label: str, auto: bool = False) -> Any:
    """The result of some work where it is there; else a button that starts it, or its progress and a stop button.

    Args:
        key: strings and numbers that the result depends on: what is computed, the run's path and stamp, the settings.
        work: called in a thread with ``progress(done, total)``, which it calls now and then (a stop takes effect
            there). It must not call Streamlit; everything that it needs is loaded before or inside by cached functions.
        label: of the start button, such as "Measure all heads".
        auto: start without a click, for work of a few seconds; once stopped it waits for one all the same.

    Returns:
        The result, or None so long as there is none.
    """
    task = tasks().find(key)
    name = f"task_{abs(hash(key))}"
    if task is None and auto:
        task = tasks().start(key, work)
    if task is not None and task.finished and not task.failed:
        return task.result
    if task is None or task.failed:
        if task is not None and task.error is not None:
            _show_failure(task.error)
        if st.button(label, key=f"{name}_start", icon=":material/play_arrow:", type="primary"):
            tasks().start(key, work)
            st.rerun(scope="app")
        return None
    st.fragment(_show_progress, run_every=TICK)(task, name)
    return None


def _show_progress(task: Task, name: str) -> None:
    if task.finished:
        st.rerun(scope="app")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.progress(task.share, text=task.words)
        if st.button("Stop", key=f"{name}_stop", icon=":material/stop_circle:"):
            task.stop()


def _show_failure(error: Exception) -> None:
    if not isinstance(error, UserError):
        raise error
    show_error(error)
