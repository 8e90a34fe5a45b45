"""Middleware that adds two scripts and ``frame.css`` to the HTML of every page, before Streamlit's own script."""

from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SCRIPTS = [Path(__file__).with_name(name) for name in ("history.js", "sidebar.js")]
STYLE = Path(__file__).with_name("frame.css")
HEAD = b"<head>"
FILES = ("/media/", "/static/", "/component/", "/_stcore/", "/auth/")
"""Parts of paths that are not those of pages."""
VALIDATORS = (b"if-none-match", b"if-modified-since", b"range", b"if-range")
"""Request headers that could be answered with less than the whole page, or with one of an earlier version."""


class HeadMiddleware:
    """Insert scripts and style at the start of the head of the pages; everything else passes unchanged."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        scripts = b"".join(b"<script>\n" + script.read_bytes() + b"</script>" for script in SCRIPTS)
        self._script = scripts + b"<style>\n" + STYLE.read_bytes() + b"</style>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _asks_for_page(scope):
            await self.app(scope, receive, send)
            return
        start: Message | None = None  # of an HTML response, until its body is complete
        body = b""

        async def send_with_script(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start" and _is_page(message):
                start = message
                return
            if start is None or message["type"] != "http.response.body":
                await send(message)
                return
            body += message.get("body", b"")
            if message.get("more_body", False):
                return
            page = body.replace(HEAD, HEAD + self._script, 1)
            headers = MutableHeaders(scope=start)
            for name in ("etag", "last-modified", "accept-ranges"):  # they are those of the file without the script
                del headers[name]
            if scope["method"] == "HEAD":
                del headers["content-length"]
            else:
                headers["content-length"] = str(len(page))
            await send(start)
            await send({"type": "http.response.body", "body": page})

        dropped = (*VALIDATORS, b"accept-encoding")  # a compressed page cannot be changed
        headers = [(name, value) for name, value in scope["headers"] if name not in dropped]
        await self.app({**scope, "headers": headers}, receive, send_with_script)


def _asks_for_page(scope: Scope) -> bool:
    """Return whether a browser requests a page of the app, not a file: a report to download is HTML as well."""
    files = any(part in scope["path"] for part in FILES)
    return not files and "text/html" in Headers(scope=scope).get("accept", "")


def _is_page(message: Message) -> bool:
    """Return whether the response that this message starts is an uncompressed HTML page."""
    headers = Headers(raw=message["headers"])
    return headers.get("content-type", "").startswith("text/html") and "content-encoding" not in headers
