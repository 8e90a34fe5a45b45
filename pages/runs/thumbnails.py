"""Small pictures of what runs look at: drawn in the background, kept for all sessions."""

import sys
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import streamlit as st

from pages import access
from vit.pictures.data_url import data_url
from vit.pictures.thumbnail import thumbnail
from vit.runs import Run
from vit.support.untrusted_text import shown

SIDE = 112
"""Pixels of a picture's side: twice the size at which it is shown."""

KEPT_MAX = 256
_QUALITY = 85


class Thumbnail(NamedTuple):
    """A picture.

    Attributes:
        url: the picture as a data URL; empty if there is none.
        alt: what it shows.
        pending: whether another one is being drawn.
    """

    url: str = ""
    alt: str = ""
    pending: bool = False


_Key = tuple[str, int]


class _Drawer:
    """Draws one picture at a time, and keeps the latest ones."""

    def __init__(self) -> None:
        self._done: OrderedDict[_Key, Thumbnail] = OrderedDict()
        self._asked: set[_Key] = set()
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="thumbnails")

    def find(self, run: Run) -> Thumbnail | None:
        """Return the picture of a run's kept weights; if it is not drawn yet, start drawing it and return None."""
        key = str(run.path), run.stamp
        with self._lock:
            if key in self._done:
                self._done.move_to_end(key)
                return self._done[key]
            # torch is loaded in the background when the server starts; no page waits for it here.
            if key not in self._asked and "torch" in sys.modules:
                self._asked.add(key)
                self._thread.submit(self._draw, run, key)
        return None

    def _draw(self, run: Run, key: _Key) -> None:
        try:
            from vit.explain.run_thumbnail import run_thumbnail

            drawn = run_thumbnail(run, SIDE)
            found = Thumbnail(data_url(drawn[0], "webp", quality=_QUALITY), drawn[1]) if drawn else Thumbnail()
        except Exception:  # no picture: its images or its weights are gone, or the run was deleted meanwhile
            found = Thumbnail()
        with self._lock:
            self._asked.discard(key)
            self._done[key] = found
            while len(self._done) > KEPT_MAX:
                self._done.popitem(last=False)


@st.cache_resource(show_spinner=False)
def _drawer() -> _Drawer:
    return _Drawer()


def thumbnail_of(run: Run) -> Thumbnail:
    """Return a small picture of a run that the visitor may see.

    Until it is drawn, and if it cannot be drawn, this is the picture in the run's folder if there is one.
    """
    drawn: Thumbnail | None = Thumbnail()
    if run.has_weights and access.is_ready(run.config.data.source):
        drawn = _drawer().find(run)
    if drawn and drawn.url:
        return drawn._replace(alt=f"{shown(run.name)}: {drawn.alt}")
    path = run.picture
    url = _stored(str(path), path.stat().st_mtime_ns) if path else ""
    alt = f"{shown(run.name)}: attention maps of all heads" if url else ""
    return Thumbnail(url, alt, pending=drawn is None)


@st.cache_data(max_entries=KEPT_MAX, show_spinner=False)
def _stored(path: str, changed: int) -> str:
    picture = thumbnail(Path(path), SIDE)
    return data_url(picture, "webp", quality=_QUALITY) if picture else ""
