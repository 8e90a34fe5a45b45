"""What the server does before Streamlit sees a request: it gives each browser a mark of its own."""

import secrets
from http.cookies import SimpleCookie

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

VISITOR_COOKIE = "vit_visitor"
COOKIE_SECONDS = 180 * 24 * 3600


class VisitorCookie:
    """Sets the cookie by which a demo tells visitors apart, where a browser has none yet."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or VISITOR_COOKIE in HTTPConnection(scope).cookies:
            await self.app(scope, receive, send)
            return

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("set-cookie", _cookie(secure=scope["scheme"] == "https"))
            await send(message)

        await self.app(scope, receive, send_with_cookie)


def _cookie(*, secure: bool) -> str:
    cookie = SimpleCookie({VISITOR_COOKIE: secrets.token_urlsafe(24)})
    cookie[VISITOR_COOKIE].update({"path": "/", "max-age": COOKIE_SECONDS, "httponly": True, "samesite": "Lax"})
    if secure:
        cookie[VISITOR_COOKIE]["secure"] = True
    return cookie.output(header="").strip()
