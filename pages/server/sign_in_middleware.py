"""Middleware that completes Streamlit's sign-in.

It protects uploads and files from people who are not signed in, returns people to the link that they opened, and turns
a failed sign-in into a message on the page.
"""

import json
import logging
from collections.abc import Mapping
from urllib.parse import quote, unquote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config
from streamlit.auth_util import get_cookie_with_chunks
from streamlit.url_util import make_url_path
from streamlit.web.server.server_util import AUTH_COOKIE_NAME, get_cookie_secret
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value

from pages.server import sign_in_rules
from pages.server.visitor_cookie import cookie
from vit.errors import SettingsError

RETURN_COOKIE = "vit_return"
RETURN_SECONDS = 600
FAILED_COOKIE = "vit_sign_in_failed"
FAILED_SECONDS = 20
LINK_LENGTH = 2000
CHECK = "Check [auth] in the server's secrets, and that this machine reaches the provider."
PRIVATE = ("/_stcore/upload_file/", "/_stcore/metrics", "/media/")
"""Prefixes of paths that need a sign-in; all other paths serve the program, which is public."""


class SignInMiddleware:
    """Protect private paths and handle the sign-in; does nothing on a server without sign-in."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        logging.getLogger("streamlit.web.server.starlette.starlette_auth_routes").addFilter(_one_line)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not sign_in_rules.is_required():
            await self.app(scope, receive, send)
            return
        request = HTTPConnection(scope)
        path = scope["path"].removeprefix(make_url_path(_base(), "").rstrip("/"))
        if path.startswith(PRIVATE) and not _may_enter(request.cookies):
            await PlainTextResponse("Sign in first.\n", status_code=401)(scope, receive, send)
        elif path == "/auth/login":
            await self._log_in(request, scope, receive, send)
        elif path == "/oauth2callback":
            await self._return_from_provider(request, scope, receive, send)
        else:
            await self.app(scope, receive, _unframed(send))

    async def _log_in(self, request: HTTPConnection, scope: Scope, receive: Receive, send: Send) -> None:
        """Redirect to the provider with the link in a cookie; if the provider cannot be reached, back to the page."""
        link, failed = _link_of_page(request), False

        async def watch(message: Message) -> None:
            nonlocal failed
            if message["type"] == "http.response.start":
                failed = message["status"] >= 400
                if not failed:
                    MutableHeaders(scope=message).append(
                        "set-cookie", cookie(RETURN_COOKIE, quote(link, safe=""), RETURN_SECONDS)
                    )
            if not failed:
                await send(message)

        try:
            await self.app(scope, receive, watch)
        except Exception as error:
            logging.getLogger(__name__).error("Signing in failed: %s: %s. %s", type(error).__name__, error, CHECK)
            failed = True
        if failed:
            answer = RedirectResponse(link, status_code=303)
            answer.raw_headers.append((b"set-cookie", cookie(FAILED_COOKIE, "1", FAILED_SECONDS).encode()))
            await answer(scope, receive, send)

    async def _return_from_provider(self, request: HTTPConnection, scope: Scope, receive: Receive, send: Send) -> None:
        """Redirect from the provider to the link that was opened, whether or not the sign-in succeeded."""
        link = _own_link(unquote(request.cookies.get(RETURN_COOKIE, "")))
        tried = {"code", "error"} & set(request.query_params)  # a sign-out returns here, too

        async def redirect(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                fresh = [value for value in headers.getlist("set-cookie") if value.startswith(f"{AUTH_COOKIE_NAME}=")]
                succeeded = any(not value.startswith(f'{AUTH_COOKIE_NAME}=""') for value in fresh)
                if tried:
                    headers["location"] = link
                headers.append("set-cookie", cookie(RETURN_COOKIE, "", 0))
                failed = bool(tried) and not succeeded
                headers.append("set-cookie", cookie(FAILED_COOKIE, "1" * failed, FAILED_SECONDS * failed))
            await send(message)

        await self.app(scope, receive, redirect)


def _base() -> str:
    return config.get_option("server.baseUrlPath") or ""


def _link_of_page(request: HTTPConnection) -> str:
    """Return path and query of the page that a request comes from, by its Referer; the first page if unknown."""
    page = urlsplit(request.headers.get("referer", ""))
    if page.netloc != request.headers.get("host"):
        return _own_link("")
    return _own_link(page.path + (f"?{page.query}" if page.query else ""))


def _own_link(link: str) -> str:
    """Return ``link`` if it leads to a page of this server, and otherwise the first page."""
    plain = link.startswith("/") and not link.startswith("//") and "\\" not in link and link.isprintable()
    return link if plain and len(link) <= LINK_LENGTH else make_url_path(_base(), "/")


def _may_enter(cookies: Mapping[str, str]) -> bool:
    """Return whether the cookie of Streamlit's sign-in belongs to an account that may use this server."""

    def signed(name: str) -> bytes | None:
        value = cookies.get(name)
        return decode_signed_value(get_cookie_secret(), name, value) if value else None

    try:
        rules = sign_in_rules.required()
        claims = json.loads(get_cookie_with_chunks(signed, AUTH_COOKIE_NAME) or b"{}")
    except (SettingsError, ValueError):
        return False
    return rules is not None and claims.get("is_logged_in") is True and not sign_in_rules.refusal(claims, rules)


def _unframed(send: Send) -> Send:
    """Forbid other sites to show the pages in a frame; Streamlit's sign-in does not work in frames anyway."""

    async def send_unframed(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).setdefault("content-security-policy", "frame-ancestors 'self'")
        await send(message)

    return send_unframed


def _one_line(record: logging.LogRecord) -> bool:
    """Log an error of the provider as one line instead of a traceback."""
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        record.msg, record.args = f"{record.getMessage()} {type(error).__name__}: {error}. {CHECK}", ()
        record.exc_info = record.exc_text = None
    return True
