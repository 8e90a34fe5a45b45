"""Security middleware: allowed host names, origins of websockets, and response headers that Streamlit lacks."""

import ipaddress
import re
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config
from streamlit.web.server.server_util import is_allowed_origin
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

HEALTH = "/_stcore/health"


class SecurityMiddleware:
    """Refuse requests for other host names and websockets of other sites, and add response headers.

    Another site can let its own name resolve to this machine and so reach a server that only listens on the loopback
    address (DNS rebinding). The host name in the request reveals that.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        app, sentence = self.app, name_refused(connection)
        if sentence:
            app = PlainTextResponse(sentence + "\n", status_code=421)
        elif scope["type"] == "websocket" and (sentence := origin_refused(connection)):
            app = PlainTextResponse(sentence + "\n", status_code=403)

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                _complete(MutableHeaders(scope=message), secure=scope["scheme"] in ("https", "wss"))
            await send(message)

        await app(scope, receive, send_with_headers)


def name_refused(connection: HTTPConnection) -> str:
    """Return why a request for another host name is refused and how to allow it; empty if the name is allowed.

    Allowed are the names in ``server.allowedHosts``. If that is empty: loopback names on a server that listens on a
    loopback address, and any name on another server. The health check is always allowed.
    """
    hosts = connection.headers.getlist("host")
    host = hosts[0] if len(hosts) == 1 else ""
    if connection.scope["path"].endswith(HEALTH):
        return ""
    if config.get_option("server.allowedHosts"):
        allowed = is_host_allowed(host)
    else:
        allowed = not is_loopback(config.get_option("server.address") or "") or is_loopback(_hostname(host))
    if allowed:
        return ""
    shown = re.sub(r"[^A-Za-z0-9.:_\[\]-]", "?", _hostname(host))[:100] or "another name"
    names = ", ".join(config.get_option("server.allowedHosts")) or "localhost and 127.0.0.1"
    return (
        f"This server answers to {names}, not to {shown}. If it should (behind a proxy or through a tunnel), start it "
        f"with --server.allowedHosts={shown}, once for each name."
    )


def origin_refused(connection: HTTPConnection) -> str:
    """Return why a websocket from another site's page is refused; empty if it comes from this server's page or no page.

    Streamlit's own check asks a service on the internet for this machine's address, and allows every page on localhost.
    """
    origin = connection.headers.get("origin")
    if origin is None or not config.get_option("server.enableCORS"):
        return ""
    site = urlsplit(origin)
    address = config.get_option("browser.serverAddress") or ""
    if (
        site.netloc == connection.headers.get("host")
        or is_allowed_origin(origin)
        or (site.hostname == address.lower() and not is_loopback(address))
    ):
        return ""
    return (
        "This server accepts no connection from another site's page. If it is behind a proxy, let the proxy forward "
        "the "
        "Host header, or start the server with --server.corsAllowedOrigins=https://NAME."
    )


def is_loopback(name: str) -> bool:
    """Return whether a host name or an address is a loopback one."""
    name = name.strip("[]").lower().rstrip(".")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def _hostname(host: str) -> str:
    """Return the name in a Host header; empty if the header is invalid."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises a ValueError if it is not a number
    except ValueError:
        return ""
    plain = parts.hostname is not None and not (parts.username or parts.password or parts.path or parts.query)
    return parts.hostname or "" if plain else ""


def _complete(headers: MutableHeaders, *, secure: bool) -> None:
    """Add missing headers; with https, mark all cookies as Secure."""
    headers.setdefault("x-content-type-options", "nosniff")
    headers.setdefault("referrer-policy", "same-origin")
    if secure:
        cookies = [value for name, value in headers.items() if name == "set-cookie"]
        del headers["set-cookie"]
        for value in cookies:
            marked = re.search(r";\s*secure\s*(;|$)", value, re.IGNORECASE)
            headers.append("set-cookie", value if marked else f"{value}; Secure")
