"""A browser's tab without the browser: the websocket that Streamlit's page opens, and what comes over it."""

import http.cookiejar
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect

XSRF = "_streamlit_xsrf"


def xsrf_token(address: str) -> str:
    """A token against cross-site requests, from the cookie that the server sets."""
    jar = http.cookiejar.CookieJar()
    urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar)).open(f"{address}/_stcore/health").close()
    return next(cookie.value for cookie in jar if cookie.name == XSRF)


@contextmanager
def websocket(
    address: str, *, token: str = "", cookies: Mapping[str, str] | None = None, **options
) -> Iterator[ClientConnection]:
    """The websocket of a page at ``address``; further options are those of ``websockets.sync.client.connect``."""
    header = "; ".join(f"{name}={value}" for name, value in {XSRF: token, **(cookies or {})}.items())
    with connect(
        f"ws://{urlsplit(address).netloc}/_stcore/stream",
        **{"origin": address, "max_size": None, "open_timeout": 30} | options,
        additional_headers={"Cookie": header},
        subprotocols=["streamlit", token] if token else ["streamlit"],
    ) as socket:
        yield socket


@dataclass
class Tab:
    """What a page has shown: its session, everything that was drawn, as bytes, and the names of its elements."""

    session: str
    drawn: bytes
    elements: list[str]


@contextmanager
def tab(address: str, page: str = "", *, cookies: Mapping[str, str] | None = None, token: str = "") -> Iterator[Tab]:
    """A tab that stays open, once the script of ``page`` is through."""
    with websocket(address, token=token or xsrf_token(address), cookies=cookies) as socket:
        message = BackMsg()
        message.rerun_script.page_name = page
        socket.send(message.SerializeToString())
        result = Tab("", b"", [])
        while True:
            answer = ForwardMsg.FromString(socket.recv(timeout=60))
            kind = answer.WhichOneof("type")
            if kind == "new_session":
                result.session = answer.new_session.initialize.session_id
            elif kind == "delta":
                result.drawn += answer.delta.SerializeToString()
                if answer.delta.WhichOneof("type") == "new_element":
                    result.elements.append(answer.delta.new_element.WhichOneof("type"))
            elif kind == "script_finished":
                break
        yield result
