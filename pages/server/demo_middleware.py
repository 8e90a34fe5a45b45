"""What a public demo closes, and where its visitors come from."""

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from pages.server.addresses import pass_on
from pages.server.limits import demo_limits

METRICS = "/_stcore/metrics"


class DemoMiddleware:
    """On a demo, close the server's metrics and tell the pages the visitor's address; elsewhere do nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self.app
        if scope["type"] == "http" and scope["path"].rstrip("/").endswith(METRICS) and demo_limits() is not None:
            app = PlainTextResponse("There is no such address.\n", status_code=404)
        elif scope["type"] == "websocket" and demo_limits() is not None:
            pass_on(HTTPConnection(scope))
        await app(scope, receive, send)
