"""Exported web pages in a real browser: open one, refuse every request, and run its modules on arrays of numpy."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page

_RUN = """async ([pixels, mask]) => {
  const { openNetwork, readManifest } = await import("engine")
  const network = await openNetwork(readManifest())
  const numbers = (text) => new Float32Array(Uint8Array.from(atob(text), (it) => it.charCodeAt(0)).buffer)
  const text = (values) => {
    if (!values) return null
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    let found = ""
    for (let at = 0; at < bytes.length; at += 32768) found += String.fromCharCode(...bytes.subarray(at, at + 32768))
    return btoa(found)
  }
  const begun = performance.now()
  const { logits, attention } = await network.run(numbers(pixels), { headMask: mask && numbers(mask) })
  return [text(logits), text(attention), performance.now() - begun]
}"""

_PREPARE = """async ([content, preparation]) => {
  const { openPicture, prepare } = await import("preprocess")
  const bytes = Uint8Array.from(atob(content), (it) => it.charCodeAt(0))
  const { pixels, shown } = prepare(await openPicture(new Blob([bytes])), preparation)
  const text = (values) => {
    let found = ""
    for (let at = 0; at < values.length; at += 32768) found += String.fromCharCode(...values.subarray(at, at + 32768))
    return btoa(found)
  }
  return [text(new Uint8Array(pixels.buffer)), text(shown.data)]
}"""


class Complaints(list[str]):
    """What went wrong in a page: requests, errors, and messages on the console."""


@contextmanager
def opened(browser: Browser, address: str, **context: Any) -> Iterator[tuple[Page, Complaints]]:
    """Open an exported page. Every request but that for the page itself is refused and noted."""
    complaints = Complaints()
    within = browser.new_context(**context)
    within.set_default_timeout(120_000)

    def refuse(route) -> None:
        if route.request.url == address:
            route.continue_()
        else:
            complaints.append(f"request: {route.request.url[:200]}")
            route.abort()

    within.route("**/*", refuse)
    page = within.new_page()
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    try:
        page.goto(address)
        yield page, complaints
    finally:
        within.close()


@contextmanager
def static_server(folder: Path) -> Iterator[str]:
    """Serve the files of a folder; yields the address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def run_network(
    page: Page, pixels: np.ndarray, mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None, float]:
    """Run the network of the page on one image ``(c h w)``: logits, attention (flat), and milliseconds."""
    given = [_text(array) for array in (pixels, mask)]
    logits, attention, milliseconds = page.evaluate(_RUN, given)
    return _floats(logits), None if attention is None else _floats(attention), milliseconds


def prepare(page: Page, content: bytes, preparation: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Prepare an image file in the page: the pixels ``(3 h w)`` float32, and the square ``(h w 3)`` uint8."""
    size = preparation["image_size"]
    pixels, shown = page.evaluate(_PREPARE, [base64.b64encode(content).decode(), preparation])
    square = np.frombuffer(base64.b64decode(shown), np.uint8).reshape(size, size, 4)
    assert (square[..., 3] == 255).all()
    return _floats(pixels).reshape(3, size, size), square[..., :3]


def _text(array: np.ndarray | None) -> str | None:
    return None if array is None else base64.b64encode(np.ascontiguousarray(array, np.float32).tobytes()).decode()


def _floats(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.float32)
