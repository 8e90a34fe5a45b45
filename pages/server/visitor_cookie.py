"""The cookie that identifies a browser on a demo."""

import re
import secrets
from collections.abc import Mapping
from http.cookies import SimpleCookie

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pages.server import sign_in_rules
from pages.server.limits import demo_limits

VISITOR_COOKIE = "vit_visitor"
VISITOR_MARK = re.compile(r"[A-Za-z0-9_-]{32}")
COOKIE_SECONDS = 180 * 24 * 3600


class VisitorCookieMiddleware:
    """Set the cookie that identifies a visitor of a demo when a browser without one opens a page.

    On a server with sign-in, the account identifies the visitor and no cookie is set.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = not _asks_for_page(scope) or visitor_mark(HTTPConnection(scope).cookies)
        if known or demo_limits() is None or sign_in_rules.is_required():
            await self.app(scope, receive, send)
            return

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append(
                    "set-cookie", cookie(VISITOR_COOKIE, secrets.token_urlsafe(24), COOKIE_SECONDS)
                )
            await send(message)

        await self.app(scope, receive, send_with_cookie)


def visitor_mark(cookies: Mapping[str, str]) -> str:
    """Return the mark in a browser's cookie; empty if it has none or an invalid one."""
    value = cookies.get(VISITOR_COOKIE, "")
    return value if VISITOR_MARK.fullmatch(value) else ""


def cookie(name: str, value: str, seconds: int) -> str:
    """Return a Set-Cookie header that is hidden from scripts and other sites' requests; 0 seconds delete it."""
    jar = SimpleCookie({name: value})
    jar[name].update({"path": "/", "max-age": str(seconds), "samesite": "Lax"})
    jar[name]["httponly"] = True
    return jar.output(header="").strip()


def _asks_for_page(scope: Scope) -> bool:
    """Return whether a browser requests a document, not one of its resources."""
    if scope["type"] != "http" or scope["method"] != "GET":
        return False
    headers = HTTPConnection(scope).headers
    wanted = headers.get("sec-fetch-dest")
    return wanted in ("document", "iframe", "frame") if wanted else "text/html" in headers.get("accept", "")
