"""The settings of the running server, and its middleware."""

import http.client
import json
import re
import socket
import tomllib
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import psutil
import pytest
from starlette.requests import HTTPConnection
from streamlit import config
from websockets.exceptions import InvalidStatus

from pages.server.limits import DemoLimits, owner_mark
from pages.server.middleware import name_refused, origin_refused
from pages.server.visitor_cookie import VISITOR_COOKIE, visitor_mark
from tests.helpers.serving import ROOT, serving, waiting_run
from tests.helpers.tabs import XSRF, tab, websocket, xsrf_token

MB = 1024 * 1024
DOCUMENT = {"Sec-Fetch-Dest": "document", "Accept": "text/html,*/*"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Empty folders of runs and data, for the servers of this module."""
    folder = tmp_path_factory.mktemp("server")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIT_CHECKPOINTS", str(folder / "checkpoints"))
        patch.setenv("VIT_DATA", str(folder / "data"))
        yield folder


@pytest.fixture(scope="module")
def server(folders) -> str:
    """Return the address of a server with default settings except for its port."""
    with serving() as address:
        yield address


@pytest.fixture(scope="module")
def demo_server(folders) -> str:
    """The address of a demo that takes uploads of one megabyte, with a run of the visitor "A..." and one of "B..."."""
    secrets = folders / "secrets.toml"
    secrets.write_text("[demo]\nupload_mb = 1\n")
    first, second = (owner_mark("cookie", letter * 32) for letter in "AB")
    with waiting_run("of-a", first), waiting_run("of-b", second), serving(secrets=secrets) as address:
        yield address


def ask(address: str, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None):
    """The answer to one request, of which nothing is put right: path and headers go out as they are."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    answer.content = answer.read()
    connection.close()
    return answer


def upload(address: str, session: str, content: bytes, headers: dict[str, str], name: str = "a"):
    body = (
        b'--cut\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n'
        b"Content-Type: image/png\r\n\r\n" + content + b"\r\n--cut--\r\n"
    )
    headers = {"Content-Type": "multipart/form-data; boundary=cut"} | headers
    return ask(address, "PUT", f"/_stcore/upload_file/{session}/{name}", headers, body)


def xsrf_headers(token: str) -> dict[str, str]:
    return {"X-Xsrftoken": token, "Cookie": f"{XSRF}={token}"}


# What it listens on, and to


def listening(port: int) -> set[str]:
    """The addresses on which the servers of these tests listen, at this port."""
    return {
        connection.laddr.ip
        for process in psutil.Process().children(recursive=True)
        for connection in process.net_connections("tcp")
        if connection.laddr.port == port and connection.status == psutil.CONN_LISTEN
    }


def test_it_listens_on_the_loopback_address_alone(server):
    port = urlsplit(server).port
    assert listening(port) == {"127.0.0.1"}
    others = {
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET and not address.address.startswith("127.")
    }
    for address in others:
        with pytest.raises(OSError, match=r"refused|timed out|unreachable"):
            socket.create_connection((address, port), timeout=5)


def test_with_another_address_it_answers_to_any_name(folders, monkeypatch):
    monkeypatch.setenv("STREAMLIT_SERVER_ADDRESS", "0.0.0.0")
    with serving() as address:
        assert listening(urlsplit(address).port) == {"0.0.0.0"}
        assert ask(address, "GET", "/", {"Host": "machine.uni.example"}).status == 200


def test_localhost_reaches_it(server):
    port = urlsplit(server).port
    assert ask(f"http://localhost:{port}", "GET", "/attention").status == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8501", "127.0.0.1.evil.example", "10.0.0.1", "", "[zz"])
def test_a_request_for_another_name_is_refused_with_what_to_do(server, host):
    answer = ask(server, "GET", "/attention?run=a", {"Host": host})
    assert answer.status == 421
    assert b"--server.allowedHosts=" in answer.content
    assert host.encode().partition(b":")[0] in answer.content or "[" in host


def test_a_websocket_of_another_name_or_of_another_sites_page_is_refused(server):
    token = xsrf_token(server)
    for options, status in (
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://localhost:1"}, 403),  # whatever else runs on this machine
        ({"origin": "null"}, 403),
        ({"host": "evil.example", "origin": "http://evil.example"}, 421),
    ):
        host = options.pop("host", None)
        with socket.create_connection(("127.0.0.1", urlsplit(server).port)) as plain:
            address = f"http://{host}:80" if host else server
            with pytest.raises(InvalidStatus) as refusal, websocket(address, token=token, sock=plain, **options):
                pass
        assert refusal.value.response.status_code == status
        assert b"start" in refusal.value.response.body
    with websocket(server, token=token), websocket(server, token=token, origin=None):
        pass  # its own page, and a program


@pytest.mark.parametrize(
    ("address", "allowed", "host", "right"),
    [
        ("127.0.0.1", [], "localhost:8501", True),  # also through ssh -L
        ("127.0.0.1", [], "127.0.0.1:9000", True),
        ("127.0.0.1", [], "[::1]:8501", True),
        ("localhost", [], "explorer.uni.example", False),
        ("127.0.0.1", [], "localhost@evil.example", False),
        ("127.0.0.1", ["explorer.uni.example"], "explorer.uni.example", True),  # behind a proxy
        ("127.0.0.1", ["explorer.uni.example"], "evil.example", False),
        ("127.0.0.1", ["*"], "anything.example", True),
        ("0.0.0.0", [], "machine.uni.example:8501", True),
        ("0.0.0.0", ["machine.uni.example"], "evil.example", False),
        (None, [], "machine.uni.example", True),
    ],
)
def test_the_names_that_it_answers_to_follow_from_where_it_listens_and_what_is_allowed(address, allowed, host, right):
    before = {key: config.get_option(key) for key in ("server.address", "server.allowedHosts")}
    config.set_option("server.address", address)
    config.set_option("server.allowedHosts", allowed)
    try:
        headers = [(b"host", host.encode()), (b"origin", b"https://" + host.encode())]
        connection = HTTPConnection({"type": "http", "path": "/", "headers": headers})
        assert (name_refused(connection) == "") is right
        assert origin_refused(connection) == ""
        health = {"type": "http", "path": "/_stcore/health", "headers": headers}
        assert name_refused(HTTPConnection(health)) == ""
    finally:
        for key, value in before.items():
            config.set_option(key, value)


# What it takes, and gives


def test_uploads_need_the_token_of_the_page_and_end_at_the_limit(server):
    token, other = xsrf_token(server), xsrf_token(server)
    with tab(server, "train", token=token) as page:
        assert upload(server, page.session, b"x", {}).status == 403
        assert upload(server, page.session, b"x", {"Cookie": f"{XSRF}={token}"}).status == 403
        assert upload(server, page.session, b"x", {"X-Xsrftoken": other, "Cookie": f"{XSRF}={token}"}).status == 403
        assert upload(server, page.session, b"x", xsrf_headers(token)).status == 204
        path = f"/_stcore/upload_file/{page.session}/b"
        large = xsrf_headers(token) | {"Content-Length": str(1024 * MB + 1)}
        assert ask(server, "PUT", path, large).status == 413  # by what it says, before it has come
    assert upload(server, "nobody", b"x", xsrf_headers(token)).status == 400


def test_no_other_site_may_read_its_answers(server):
    answer = ask(server, "GET", "/_stcore/host-config", {"Origin": "https://evil.example"})
    settings = json.loads(answer.content)
    assert settings["allowedOrigins"] == []
    assert settings["useExternalAuthToken"] is False
    for path in ("/_stcore/host-config", "/_stcore/health", "/", "/media/x"):
        assert (
            ask(server, "GET", path, {"Origin": "https://evil.example"}).getheader("Access-Control-Allow-Origin")
            is None
        )


@pytest.mark.parametrize(
    "path",
    [
        "/media/../../streamlit_app.py",
        "/media/%2e%2e/%2e%2e/streamlit_app.py",
        "/component/x/%2e%2e/%2e%2e/streamlit_app.py",
        "/_stcore/bidi-components/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/static/..%2f..%2f..%2fconfig.py",
        "/app/static/../streamlit_app.py",
        "/.streamlit/secrets.toml",
        "//etc/passwd",
        "/%5c%5cserver%5cshare",
    ],
)
def test_no_path_climbs_out_of_what_it_serves(server, path):
    answer = ask(server, "GET", path)
    page = ask(server, "GET", "/").content
    assert answer.status in (400, 403, 404) or answer.content == page  # a page of the app that there is not


def test_every_answer_has_the_headers_that_keep_a_browser_from_guessing_and_telling(server):
    for path in ("/", "/_stcore/health", "/_stcore/host-config", "/media/none"):
        answer = ask(server, "GET", path)
        assert answer.getheader("X-Content-Type-Options") == "nosniff"
        assert answer.getheader("Referrer-Policy") == "same-origin"


# The visitor's cookie


def visitor_cookies(answer) -> list[str]:
    return [value for value in answer.headers.get_all("set-cookie") or [] if value.startswith(VISITOR_COOKIE)]


def test_the_users_own_machine_sets_no_cookie(server):
    assert visitor_cookies(ask(server, "GET", "/train", DOCUMENT)) == []


def test_a_demo_marks_a_browser_once_with_the_page_that_it_asks_for(demo_server):
    answers = [
        ask(demo_server, "GET", "/train?follow=x", DOCUMENT),
        ask(demo_server, "GET", "/", {"Accept": "text/html"}),  # a browser that does not say what for
    ]
    for answer in answers:
        (cookie,) = visitor_cookies(answer)
        assert re.fullmatch(VISITOR_COOKIE + r"=[\w-]{32}; .*", cookie)
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
        assert "Secure" not in cookie
    assert len({visitor_cookies(answer)[0] for answer in answers}) == 2
    assets = ["/_stcore/health", "/_stcore/host-config", "/favicon.png", "/media/x", "/manifest.json"]
    with ThreadPoolExecutor(4) as pool:  # as a first page is loaded
        answers = pool.map(
            lambda path: ask(demo_server, "GET", path, {"Sec-Fetch-Dest": "script", "Accept": "*/*"}), assets
        )
    assert not any(visitor_cookies(answer) for answer in answers)


def test_a_mark_is_kept_and_what_cannot_be_one_is_replaced(demo_server):
    def set_for(value: str) -> list[str]:
        return visitor_cookies(ask(demo_server, "GET", "/", DOCUMENT | {"Cookie": f"{VISITOR_COOKIE}={value}"}))

    assert set_for("A" * 32) == []
    for value in ("", "short", "A" * 33, "A" * 31 + "!", '"' + "A" * 30 + '"'):
        assert len(set_for(value)) == 1
        assert visitor_mark({VISITOR_COOKIE: value}) == ""


def test_a_mark_travels_under_https_alone_where_the_proxy_says_so(demo_server):
    answer = ask(demo_server, "GET", "/", DOCUMENT | {"X-Forwarded-Proto": "https"})
    assert all("; Secure" in value for value in answer.headers.get_all("set-cookie"))
    assert visitor_cookies(answer)


def test_the_pages_know_a_visitor_by_the_mark(demo_server):
    for cookies, seen in (({VISITOR_COOKIE: "A" * 32}, b"of-a"), ({VISITOR_COOKIE: "B" * 32}, b"of-b"), ({}, None)):
        with tab(demo_server, "runs", cookies=cookies) as page:
            assert b"Runs" in page.drawn
            assert [name for name in (b"of-a", b"of-b") if name in page.drawn] == ([seen] if seen else [])


# What a demo holds for strangers


def test_a_demo_takes_its_own_uploads_size_and_holds_so_many_at_a_time(demo_server):
    token = xsrf_token(demo_server)
    with tab(demo_server, "train", token=token) as page:
        assert upload(demo_server, page.session, bytes(MB + 1), xsrf_headers(token)).status == 413
        large = bytes(MB - 1000)
        answers = [upload(demo_server, page.session, large, xsrf_headers(token), f"{n}").status for n in range(4)]
        assert answers == [204, 204, 503, 503]
    with tab(demo_server, "train", token=token) as page:  # another session has room
        assert upload(demo_server, page.session, large, xsrf_headers(token)).status == 204


def test_a_demo_closes_its_metrics(demo_server, server):
    assert ask(demo_server, "GET", "/_stcore/metrics").status == 404
    assert ask(server, "GET", "/_stcore/metrics").status == 200


# What is written for operators


def test_the_example_of_secrets_names_every_bound_of_a_demo_with_its_usual_value():
    text = (ROOT / ".streamlit" / "secrets.example.toml").read_text()
    table = tomllib.loads(text)
    assert table == {}  # the example file switches nothing on
    table = tomllib.loads(re.sub(r"^#(?=[\[\w])", "", text, flags=re.MULTILINE))
    assert set(table) == {"demo", "auth", "sign_in"}
    assert DemoLimits(**table["demo"]) == DemoLimits()
    assert set(table["demo"]) == set(DemoLimits.model_fields)
