"""Published models on their way to becoming runs: the downloads of the server, and the ways on from a run."""

import threading
import time
from collections.abc import Callable

import streamlit as st

from pages import access
from pages.ui.run_picker import fine_tune_link
from pages.ui.text import plain, show_error
from pages.ui.wording import duration, size
from vit.errors import UserError
from vit.runs import Run

TICK = 1.0
"""Seconds between two looks at the progress."""
Work = Callable[[Callable[[int, int], None]], Run]


class Stopped(Exception):
    """The person stopped the download."""


class Opening:
    """A model that is fetched and opened in a thread of the server; leaving the page does not end it."""

    def __init__(self, work: Work) -> None:
        self.done = self.total = 0
        self.run: Run | None = None
        self.error: Exception | None = None
        self.stopped = False
        self._begun, self._first = time.monotonic(), 0
        self._work, self._stop = work, threading.Event()
        self._thread = threading.Thread(target=self._go, daemon=True)
        self._thread.start()

    @property
    def active(self) -> bool:
        """Whether it still goes on."""
        return self._thread.is_alive()

    @property
    def share(self) -> float:
        """How much is fetched, 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def words(self) -> str:
        """How far it is, in bytes, and how long it will take."""
        if not self.total:
            return "Asking where it is"
        if self.done >= self.total:
            return "Fetched; now its weights are checked, and held against timm's network"
        spent, new = time.monotonic() - self._begun, self.done - self._first
        left = f", about {duration(spent * (self.total - self.done) / new)} left" if new > 0 and spent > 1 else ""
        return f"{size(self.done)} of {size(self.total)}{left}"

    def stop(self) -> None:
        """Ask it to end; it does at the next block of bytes, and what came so far is kept for the next try."""
        self._stop.set()

    def _go(self) -> None:
        try:
            self.run = self._work(self._progress)
        except Stopped:
            self.stopped = True
        except Exception as error:  # shown where the result would stand
            self.error = error

    def _progress(self, done: int, total: int) -> None:
        if self._stop.is_set():
            raise Stopped
        if not self.total:
            self._begun, self._first = time.monotonic(), done
        self.done, self.total = done, total


@st.cache_resource
def openings() -> dict[tuple[str, str, int], Opening]:
    """Those of this server, by visitor, model and image size."""
    return {}


def offer_fetch(name: str, image_size: int, *, key: str, primary: bool = False) -> None:
    """The button that fetches a model, its progress, or why it failed."""
    mine = access.owner(), name, image_size
    opening = openings().get(mine)
    if opening is not None and opening.active:
        st.fragment(_show_progress, run_every=TICK)(opening, key)
        return
    if opening is not None and opening.stopped:
        st.caption(":material/info: The download was stopped; what came so far is kept, and the next one goes on.")
    elif opening is not None and opening.error is not None:
        if not isinstance(opening.error, UserError):
            raise opening.error
        show_error(opening.error)
    if st.button(
        "Fetch and open", key=f"{key}_fetch", icon=":material/download:", type="primary" if primary else "secondary"
    ):
        try:
            openings()[mine] = Opening(_work(name, image_size))
        except UserError as error:
            show_error(error)
            return
        st.rerun()


def _work(name: str, image_size: int) -> Work:
    """What is done in the thread; who is looking is asked before."""
    adapt = access.adopting()

    def work(progress: Callable[[int, int], None]) -> Run:
        from vit.published.open import open_named

        return open_named(name, image_size=image_size, progress=progress, adapt=adapt)

    return work


def _show_progress(opening: Opening, key: str) -> None:
    if not opening.active:
        st.rerun()
    st.progress(opening.share, text=opening.words)
    st.button("Stop the download", icon=":material/stop:", on_click=opening.stop, key=f"{key}_stop")


def show_run(run: Run) -> None:
    """A model that is open: what was said of it, and the ways on."""
    model, query = run.config.model, {"run": run.name}
    _, _, remarks = run.status.message.partition(". ")
    st.markdown(
        f":material/check_circle: Open as **{plain(run.name)}**, at {model.image_size} x {model.image_size} px. "
        + plain(remarks)
    )
    with st.container(horizontal=True):
        st.page_link("attention/page.py", label="Attention", icon=":material/visibility:", query_params=query)
        if model.num_classes:
            st.page_link("predict/page.py", label="Predict", icon=":material/image_search:", query_params=query)
        st.page_link("anatomy/page.py", label="Anatomy", icon=":material/schema:", query_params=query)
        fine_tune_link(run)
