"""The app as a process and a browser to look at it, for tests and benchmarks that come from outside."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Playwright

from tests.conftest import tiny_config
from vit import runs

ROOT = Path(__file__).resolve().parents[2]
NO_SECRETS = ROOT / "tests" / "no-secrets.toml"
"""A file that does not exist."""
PATIENCE = 60_000
"""Milliseconds: a browser test waits for what a person would see, on a machine that may be busy."""

CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium_path() -> str | None:
    """Where this machine's Chromium is; None where it has none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path), None)


def launch(playwright: Playwright, *flags: str) -> Browser:
    """A headless Chromium, with these flags besides its usual ones."""
    return playwright.chromium.launch(executable_path=chromium_path(), args=[*CHROMIUM_FLAGS, *flags])


def camera_flags(video: Path) -> tuple[str, ...]:
    """Let Chromium play a video as its camera, again and again, and allow every page to use it."""
    return (
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={video}",
    )


@contextmanager
def serving(
    *, wait: bool = True, secrets: Path | None = None, log: Path | None = None, **settings: str
) -> Iterator[str]:
    """``streamlit run streamlit_app.py`` on a free port, ended on leaving; yields its address.

    Args:
        wait: until the server answers.
        secrets: the server's secrets file; without it there is none, not even that of the person who runs the tests.
        log: a file for what the server prints.
        settings: more options of the server, such as ``enableAgentApi="true"``.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    options = {"port": port, "headless": "true"} | settings
    with open(log or os.devnull, "wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", f"--secrets.files={secrets or NO_SECRETS}"]
            + [f"--server.{name}={value}" for name, value in options.items()],
            cwd=ROOT,
            stdout=output,
            stderr=output,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        if wait:
            _wait(f"{address}/_stcore/health")
        yield address
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def waiting_run(name: str, owner: str = "") -> Iterator[runs.Run]:
    """A run of this owner that waits for its turn; its lock is held, as its process would hold it."""
    run = runs.create(name, tiny_config().model_copy(update={"owner": owner}))
    with runs.run_lock(run.path):
        yield run


def _wait(url: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
