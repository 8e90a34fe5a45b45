"""The middleware that adds scripts and a style to the pages, for history and sidebar, and to nothing else."""

import asyncio

import pytest
from starlette.responses import HTMLResponse, PlainTextResponse

from pages.server.head_middleware import SCRIPTS, STYLE, HeadMiddleware

PAGE = "<!DOCTYPE html><html><head><script>first()</script></head><body>é</body></html>"


def answer(path: str, response, *, method: str = "GET", accept: str = "text/html,*/*", **headers: str):
    """Return status, headers and body of a request through the middleware, and the headers that the app got."""
    got, messages = {}, []

    async def app(scope, receive, send):
        got.update({name.decode(): value.decode() for name, value in scope["headers"]})
        await response(scope, receive, send)

    async def receive():
        return {"type": "http.request"}

    async def send(message):
        messages.append(message)

    given = {"accept": accept, **{name.replace("_", "-"): value for name, value in headers.items()}}
    raw = [(name.encode(), value.encode()) for name, value in given.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": raw, "query_string": b""}
    asyncio.run(HeadMiddleware(app)(scope, receive, send))
    start = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
    return messages[0]["status"], start, b"".join(one.get("body", b"") for one in messages[1:]).decode(), got


@pytest.mark.parametrize("path", ["/", "/attention", "/app/lesson-heads"])
def test_a_page_gets_the_scripts_before_all_others_and_no_mark_of_the_file_on_disk(path):
    response = HTMLResponse(PAGE, headers={"etag": '"of the file"', "last-modified": "yesterday"})
    status, headers, body, asked = answer(path, response, if_none_match='"of the file"', accept_encoding="gzip")
    assert status == 200
    assert all(body.index(script.read_text()) < body.index("first()") for script in (*SCRIPTS, STYLE))
    assert body.endswith("<body>é</body></html>")
    assert int(headers["content-length"]) == len(body.encode())
    assert not {"etag", "last-modified"} & set(headers)
    assert not {"if-none-match", "accept-encoding"} & set(asked)


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/media/report.html", "text/html,*/*"),
        ("/_stcore/health", "text/html"),
        ("/static/index.js", "text/html,*/*"),
        ("/attention", "*/*"),
    ],
)
def test_a_file_is_left_as_it_is(path, accept):
    _, headers, body, asked = answer(
        path, HTMLResponse(PAGE, headers={"etag": '"1"'}), accept=accept, range="bytes=0-1"
    )
    assert body == PAGE
    assert headers["etag"] == '"1"'
    assert asked["range"] == "bytes=0-1"


def test_other_responses_to_a_browser_are_left_as_they_are():
    assert answer("/attention", PlainTextResponse("Sign in first."))[2] == "Sign in first."


def test_a_head_request_gets_no_length_of_another_body():
    status, headers, body, _ = answer("/attention", HTMLResponse(""), method="HEAD")
    assert (status, body) == (200, "")
    assert "content-length" not in headers
