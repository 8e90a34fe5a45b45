"""The app's entry: ``streamlit run streamlit_app.py``.

The pages begin in ``pages/_router.py``. They cannot begin here: on a fresh server whose first request is a page's
link, Streamlit would run that page alone and leave out whatever a router in this file does.
"""

import asyncio
import contextlib
import ctypes
import gc
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import streamlit as st
from starlette.middleware import Middleware

from pages.server.middleware import SecurityMiddleware
from pages.server.sign_in_middleware import SignInMiddleware
from pages.server.upload_middleware import UploadLimitMiddleware, limit_uploads
from pages.server.visitor_cookie import VisitorCookieMiddleware

ROOT = Path(__file__).resolve().parent
FIRST_PAGE_SECONDS = 3.0
"""The browser that opens with the server needs the processor for so long; importing torch would take it away."""

COLLECT_EVERY = 10.0
"""Seconds between two rounds of the garbage collector."""

SPINS = 5000
HEAPS_MAX = 2
M_ARENA_MAX = -8  # of malloc.h


def share_heaps() -> None:
    """Let all threads take their memory from a few heaps, where the C library is glibc.

    Every rerun is a thread, glibc gives threads heaps of their own, and each keeps what was freed in it: with a
    ViT-B/16 half a gigabyte after twenty images.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # another C library
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, HEAPS_MAX)


def spin_briefly() -> None:
    """Let torch's threads sleep soon while they wait for each other; its OpenMP (GNU's) reads this as torch comes.

    By itself it spins for milliseconds, on cores that a training could use: beside one the slowest pages took four
    times as long. Not spinning at all would double the time of a small model's pass.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))


def import_torch() -> None:
    """Import torch before somebody needs it, and take what came with it out of the garbage collector's rounds.

    Going through torch's objects costs a quarter of a second each time, in which no page gets on.
    """
    import torch  # noqa: F401

    gc.collect()
    gc.freeze()


def prepare_scenes() -> subprocess.Popen:
    """Draw and store the embedded images, unless they lie there already, so that the first training starts at once.

    In a process of its own with a low priority: drawing them here would hold up the pages.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "vit", "data", "--dataset", "scenes"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with contextlib.suppress(psutil.NoSuchProcess):  # it may have had nothing to do
        psutil.Process(process.pid).nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if os.name == "nt" else 15)
    return process


async def warm_up() -> None:
    """The background work of a start; the first page comes first."""
    await asyncio.sleep(FIRST_PAGE_SECONDS)
    await asyncio.to_thread(import_torch)


async def collect_garbage() -> None:
    """Collect what the sessions leave in circles now and then, for all of them together.

    Streamlit would do so after every rerun of every session (``runner.postScriptGC``), and hold up all the others.
    """
    while True:
        await asyncio.sleep(COLLECT_EVERY)
        await asyncio.to_thread(gc.collect)


@asynccontextmanager
async def lifespan(app: st.App):
    """Warm up in the background while the server serves."""
    limit_uploads()
    scenes = prepare_scenes()
    chores = [asyncio.create_task(chore()) for chore in (warm_up, collect_garbage)]
    try:
        yield
    finally:
        for chore in chores:
            chore.cancel()
        if scenes.poll() is None:
            scenes.terminate()
        scenes.wait()


share_heaps()
spin_briefly()
app = st.App(
    ROOT / "pages" / "_router.py",
    lifespan=lifespan,
    middleware=[
        Middleware(layer)
        for layer in (SecurityMiddleware, SignInMiddleware, UploadLimitMiddleware, VisitorCookieMiddleware)
    ],
)
