"""The outer door: own names only, websockets from own pages only, the headers that Streamlit leaves out."""

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
    """Refuses other names and other sites' websockets; completes the headers of every answer.

    A page of another site may have its own name resolve to this machine, and so speak to a server that listens on the
    loopback address alone (DNS rebinding). The name it asks for gives it away.
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
    """Why a request for another name is refused, and what to do about it; empty where the name is right.

    Right are the names in ``server.allowedHosts``. Where there are none: the loopback names on a server that listens
    on a loopback address, any name on another. Whether the server is alive, anybody may ask.
    """
    hosts = connection.headers.getlist("host")
    host = hosts[0] if len(hosts) == 1 else ""
    if connection.scope["path"].endswith(HEALTH):
        return ""
    if config.get_option("server.allowedHosts"):
        right = is_host_allowed(host)
    else:
        right = not is_loopback(config.get_option("server.address") or "") or is_loopback(_hostname(host))
    if right:
        return ""
    shown = re.sub(r"[^A-Za-z0-9.:_\[\]-]", "?", _hostname(host))[:100] or "another name"
    names = ", ".join(config.get_option("server.allowedHosts")) or "localhost and 127.0.0.1"
    return (
        f"This server answers to {names}, not to {shown}. If it should, behind a proxy or through a tunnel, start it "
        f"with --server.allowedHosts={shown}, once for each name."
    )


def origin_refused(connection: HTTPConnection) -> str:
    """Why a websocket that another site's page opens is refused; empty where it is this server's page, or no page.

    Streamlit would ask a service on the internet for this machine's address before it says no, and says yes to
    whatever else runs on localhost.
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
        "This server takes no connection from another site's page. If it stands behind a proxy, let the proxy pass on "
        "the Host header, or start the server with --server.corsAllowedOrigins=https://NAME."
    )


def is_loopback(name: str) -> bool:
    """Whether a host name or an address is this machine's own loopback."""
    name = name.strip("[]").lower().rstrip(".")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def _hostname(host: str) -> str:
    """The name in a Host header; empty where the header is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises where it is no number
    except ValueError:
        return ""
    plain = parts.hostname is not None and not (parts.username or parts.password or parts.path or parts.query)
    return parts.hostname if plain else ""


def _complete(headers: MutableHeaders, *, secure: bool) -> None:
    """Add what Streamlit leaves out; under https, no cookie ever travels in the clear."""
    headers.setdefault("x-content-type-options", "nosniff")
    headers.setdefault("referrer-policy", "same-origin")
    if secure:
        cookies = [value for name, value in headers.items() if name == "set-cookie"]
        del headers["set-cookie"]
        for value in cookies:
            marked = re.search(r";\s*secure\s*(;|$)", value, re.IGNORECASE)
            headers.append("set-cookie", value if marked else f"{value}; Secure")
