"""Say what queued runs wait for, and for how long."""

from contextlib import suppress
from pathlib import Path

import streamlit as st

from pages import access
from pages.ui.text import plain
from pages.ui.wording import about
from vit.errors import RunError
from vit.jobs import queue, waits
from vit.paths import checkpoints_dir

NAME_COLUMNS = 24


@st.cache_data(ttl=2, max_entries=1, show_spinner=False)
def all_waits(folder: Path) -> dict[str, waits.Wait]:
    """Return what each queued run waits for, computed at most every two seconds for all visitors together."""
    del folder  # only the key of the cache
    return waits.waits()


def wait_words(name: str, place: int) -> str:
    """Return, as Markdown, where a run is in the queue, which run is ahead of it, and when it starts if that is known.

    Args:
        name: the queued run.
        place: its place in the queue; 1 is next.
    """
    words, wait = queue.position_text(place), all_waits(checkpoints_dir()).get(name)
    if wait is None:  # queued within the last seconds
        return words
    if wait.ahead is not None:
        words += f", after {ahead_words(wait)}"
    if wait.seconds is None:
        return words
    return f"{words}; starts {'now' if wait.ahead is None else f'in {about(wait.seconds)}'}"


def ahead_words(wait: waits.Wait) -> str:
    """Return the name of the run ahead, as Markdown; not of a run that the visitor may not see."""
    if wait.ahead is not None:
        with suppress(RunError):
            return f"**{plain(access.see(wait.ahead).name, NAME_COLUMNS)}**"
    return "another run"
