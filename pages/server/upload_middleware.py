"""Limit the memory that uploads take on a demo: Streamlit keeps an upload in memory before a page sees it."""

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit import config, runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager

from pages.server import secrets
from pages.server.limits import MB, DemoLimits, in_force
from vit.errors import SettingsError

UPLOADS = "/_stcore/upload_file/"
HELD_OF_SESSION, HELD = 2, 10
"""Memory of one session and of all sessions together, as multiples of the largest upload."""


class UploadLimitMiddleware:
    """On a demo, refuse an upload if its session or the server already holds too much; elsewhere do nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self.app
        if scope["type"] == "http" and scope["method"] == "PUT" and UPLOADS in scope["path"]:
            limits = demo_limits()
            session = scope["path"].partition(UPLOADS)[2].partition("/")[0]
            if limits is not None and _full(session, limits):
                app = PlainTextResponse("There is no room for more uploads now: try again later.\n", status_code=503)
        await app(scope, receive, send)


def demo_limits() -> DemoLimits | None:
    """Return the limits of this demo, with defaults if they cannot be read; None on the user's own machine."""
    try:
        return in_force(secrets.table("demo"))
    except SettingsError:
        return DemoLimits()


def limit_uploads() -> None:
    """Set the server's largest upload to that of the demo."""
    limits = demo_limits()
    if limits is not None:
        most = min(limits.upload_mb, config.get_option("server.maxUploadSize"))
        config.set_option("server.maxUploadSize", most)


def _full(session: str, limits: DemoLimits) -> bool:
    manager = runtime.get_instance().uploaded_file_mgr
    if not isinstance(manager, MemoryUploadedFileManager):  # files that are not in memory need no limit here
        return False
    held = {key: sum(len(file.data) for file in files.values()) for key, files in list(manager.file_storage.items())}
    bytes_max = limits.upload_mb * MB
    return held.get(session, 0) >= HELD_OF_SESSION * bytes_max or sum(held.values()) >= HELD * bytes_max
