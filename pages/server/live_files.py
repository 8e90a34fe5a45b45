"""Serve what a browser needs to run a network itself: the modules of exported pages and their runtime.

The files are the same for everyone, so browsers keep them: their address contains a hash of their content.
"""

import gzip
import hashlib
import re
from functools import cache

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from vit.exports.web_page import runtime
from vit.exports.web_page.build import modules

PLACE = "vit-live"
"""The folder in the addresses, next to the pages."""
_NAMES = ("engine", "preprocess", "orientation", "attention_rows")
_TARGET = re.compile(rf"/{PLACE}/(?P<version>[0-9a-f]+)/(?P<name>[a-z_]+\.[a-z]+)$")
_IMPORT = re.compile(r'from "(\w+)"')


class LiveFilesMiddleware:
    """Answer requests for the files; all other requests go on."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        target = _TARGET.search(scope["path"]) if scope["type"] == "http" else None
        await (self.app if target is None else _answer(target["name"]))(scope, receive, send)


def _answer(name: str) -> Response:
    if name not in files():
        return PlainTextResponse("There is no such file.\n", status_code=404)
    packed, kind = files()[name]
    headers = {"content-encoding": "gzip", "cache-control": "public, max-age=31536000, immutable"}
    return Response(packed, media_type=kind, headers=headers)


@cache
def files() -> dict[str, tuple[bytes, str]]:
    """Return the gzipped content and the type of each file by its name."""
    found = {f"{name}.js": _with_addresses(modules()[name]) for name in _NAMES}
    found["runtime.js"] = runtime.module("wasm")
    packed = {name: (gzip.compress(content, mtime=0), "text/javascript") for name, content in found.items()}
    return packed | {"runtime.wasm": (runtime.wasm("wasm"), "application/wasm")}


@cache
def folder() -> str:
    """Return the address of the files' folder, relative to the app's pages."""
    digest = hashlib.sha256(b"".join(content for content, _ in files().values()))
    return f"{PLACE}/{digest.hexdigest()[:16]}"


def _with_addresses(module: bytes) -> bytes:
    """Return a module that imports others by their addresses; in an exported page, it imports them by their names."""
    return _IMPORT.sub(r'from "./\1.js"', module.decode()).encode()
