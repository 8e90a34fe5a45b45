"""The app's entry point: ``streamlit run streamlit_app.py``.

The router is ``pages/_router.py``. It cannot be in this file: if the first request of a new server is a link to a page,
Streamlit runs only that page and skips this script.
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

from pages.server import upload_middleware
from pages.server.demo_middleware import DemoMiddleware
from pages.server.head_middleware import HeadMiddleware
from pages.server.live_files import LiveFilesMiddleware
from pages.server.middleware import SecurityMiddleware
from pages.server.sign_in_middleware import SignInMiddleware
from pages.server.upload_middleware import UploadMiddleware
from pages.server.upload_store import GONE_SECONDS
from pages.server.visitor_cookie import VisitorCookieMiddleware
from pages.ui.unexpected import show_unexpected

ROOT = Path(__file__).resolve().parent
FIRST_PAGE_SECONDS = 3.0
"""Time for the first page in the browser before the import of torch takes the CPU."""

COLLECT_EVERY = 10.0
"""Seconds between two garbage collections."""

SPINS = 5000
HEAPS_MAX = 2
M_ARENA_MAX = -8  # of malloc.h


def share_heaps() -> None:
    """Limit the number of heaps that glibc creates for threads.

    Every rerun is a thread. glibc gives each thread its own heap, which keeps freed memory: half a gigabyte after
    twenty images with a ViT-B/16.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # another C library
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, HEAPS_MAX)


def spin_briefly() -> None:
    """Let torch's waiting OpenMP threads sleep earlier; GNU OpenMP reads the variable when torch is imported.

    By default they spin for milliseconds on cores that a training could use: next to a training, the slowest pages took
    four times as long. Without any spinning, the forward pass of a small model would take twice as long.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))


def import_torch() -> None:
    """Import torch before a page needs it, and exclude its objects from garbage collection.

    Traversing torch's objects takes a quarter of a second each time and blocks all pages.
    """
    import torch  # noqa: F401

    gc.collect()
    gc.freeze()


def prepare_scenes() -> subprocess.Popen | None:
    """Draw and store the scenes, unless they exist, so that the first training starts at once.

    This runs in a separate process with low priority, so that it does not slow the pages down. With
    ``VIT_PREPARE_SCENES=0`` nothing is drawn before a training needs it.
    """
    if os.environ.get("VIT_PREPARE_SCENES") == "0":
        return None
    process = subprocess.Popen(
        [sys.executable, "-m", "vit", "data", "--dataset", "scenes"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with contextlib.suppress(psutil.NoSuchProcess):  # it has ended already
        psutil.Process(process.pid).nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if os.name == "nt" else 15)
    return process


def measure_speed() -> None:
    """Measure briefly how fast this machine trains, for the times of networks that it has not trained yet."""
    from vit.cost.measure import measure_briefly
    from vit.runs.speeds import keep_brief_measurement
    from vit.support import hardware

    if hardware.resolve("auto") == "cpu":
        keep_brief_measurement("cpu", measure_briefly())


async def warm_up() -> None:
    """Import torch in the background after the first page, and measure with it."""
    await asyncio.sleep(FIRST_PAGE_SECONDS)
    await asyncio.to_thread(import_torch)
    await asyncio.to_thread(measure_speed)


async def collect_garbage() -> None:
    """Collect garbage regularly for all sessions together.

    Streamlit would do so after every rerun of every session (``runner.postScriptGC``) and block the others.
    """
    while True:
        await asyncio.sleep(COLLECT_EVERY)
        await asyncio.to_thread(gc.collect)


async def delete_closed_uploads() -> None:
    """Delete the uploaded files of browsers that have gone; Streamlit deletes them when another session ends."""
    while True:
        await asyncio.sleep(COLLECT_EVERY)
        upload_middleware.ledger().free_closed(GONE_SECONDS)


@asynccontextmanager
async def lifespan(app: st.App):
    """Warm up in the background while the server serves."""
    upload_middleware.limit_uploads()
    scenes = prepare_scenes()
    chores = [asyncio.create_task(chore()) for chore in (warm_up, collect_garbage, delete_closed_uploads)]
    try:
        yield
    finally:
        for chore in chores:
            chore.cancel()
        upload_middleware.upload_folder.close()
        if scenes is not None:
            if scenes.poll() is None:
                scenes.terminate()
            scenes.wait()


share_heaps()
spin_briefly()
app = st.App(
    ROOT / "pages" / "_router.py",
    lifespan=lifespan,
    on_script_error=show_unexpected,
    middleware=[
        Middleware(SecurityMiddleware),
        Middleware(SignInMiddleware),
        Middleware(DemoMiddleware),
        Middleware(UploadMiddleware),
        Middleware(LiveFilesMiddleware),
        Middleware(VisitorCookieMiddleware),
        Middleware(HeadMiddleware),
    ],
)
