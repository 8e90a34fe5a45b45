"""Receive uploads on the disk, in place of Streamlit, which keeps them in memory."""

import asyncio
import logging
import re
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import lru_cache

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit import config, runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.web.server.server_util import is_xsrf_enabled
from streamlit.web.server.starlette.starlette_app_utils import validate_xsrf_token
from streamlit.web.server.starlette.starlette_server_config import XSRF_COOKIE_NAME

from pages.server.addresses import address_mark
from pages.server.limits import DemoLimits, demo_limits
from pages.server.upload_form import FileForm, FormError
from pages.server.upload_store import Charge, FileOnDisk, Ledger, NoRoom, StoredUpload, UploadFolder

UPLOADS = "/_stcore/upload_file/"
TARGET = re.compile(rf"{UPLOADS}(?P<session>[^/]+)/(?P<file>[^/]+)$")
FRAMING = 2**16
"""Bytes that a form may have beside its file."""
BLOCK = 2**20
"""Bytes that are collected before they are written."""
SPARE_BYTES = 200 * 10**6
"""Free space on the disk that no upload may take."""
IDLE_SECONDS = 30.0
"""Seconds without a byte after which an upload is given up."""
SLOWEST = 4000
"""Bytes per second below which a demo gives an upload up: it would hold its space for hours."""


class Refused(Exception):
    """Raised when an upload is refused, with the HTTP status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


NO_ROOM = "There is no room for more uploads now: try again later."
TOO_LARGE = "This file is too large."
NO_FORM = "An upload is a form with one file."


class UploadMiddleware:
    """Receive the files that browsers upload; all other requests go to Streamlit."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "PUT" or UPLOADS not in scope["path"]:
            await self.app(scope, receive, send)
            return
        answer = Response(status_code=204)
        try:
            await _receive(Request(scope, receive))
        except Refused as refused:
            answer = PlainTextResponse(f"{refused}\n", status_code=refused.status)
        await answer(scope, receive, send)


def limit_uploads() -> None:
    """Set the server's largest upload to that of the demo."""
    limits = demo_limits()
    if limits is not None:
        most = min(limits.upload_mb, config.get_option("server.maxUploadSize"))
        config.set_option("server.maxUploadSize", most)


upload_folder = UploadFolder()


@lru_cache(maxsize=1)
def _ledger_of(server: runtime.Runtime) -> Ledger:
    manager = server.uploaded_file_mgr
    assert isinstance(manager, MemoryUploadedFileManager)
    return Ledger(manager, server.is_active_session)


def ledger() -> Ledger:
    """Return the ledger of the running server."""
    return _ledger_of(runtime.get_instance())


@dataclass(frozen=True)
class _Bounds:
    """What one upload may take.

    Attributes:
        limits: those of the demo; None without limits.
        largest: bytes of the largest file.
        declared: bytes of the request; None if the browser does not say.
    """

    limits: DemoLimits | None
    largest: int
    declared: int | None


async def _receive(request: Request) -> None:
    """Receive one upload and give it to its session.

    Raises:
        Refused: the request is invalid, or there is no room.
    """
    target = TARGET.search(request.scope["path"])
    if target is None:
        raise Refused(404, "There is no such address.")
    sent, expected = request.headers.get("x-xsrftoken"), request.cookies.get(XSRF_COOKIE_NAME)
    if is_xsrf_enabled() and not validate_xsrf_token(sent, expected):
        raise Refused(403, "The token of the page is missing or invalid.")
    books = ledger()
    session = target["session"]
    if not books.is_connected(session):
        raise Refused(400, "The page of this upload is closed.")
    length = request.headers.get("content-length")
    bounds = _Bounds(
        demo_limits(),
        config.get_option("server.maxUploadSize") * 2**20,
        int(length) if length is not None and length.isdecimal() else None,
    )
    if (bounds.declared or 0) > bounds.largest:  # with its form, like Streamlit
        raise Refused(413, TOO_LARGE)
    try:
        mark = address_mark(request) if bounds.limits else ""
        with books.reserve(session, mark, bounds.declared or 0, bounds.limits) as charge:
            record = await _write(request, target["file"], books, charge, bounds)
            books.keep(charge, record.file)
            books.manager.add_file(session, record)
    except NoRoom:
        raise Refused(503, NO_ROOM) from None
    except OSError as error:
        logging.getLogger(__name__).error("An upload cannot be written to the disk: %s", error)
        raise Refused(507, "The server cannot store this file.") from error


async def _write(request: Request, file_id: str, books: Ledger, charge: Charge, bounds: _Bounds) -> StoredUpload:
    """Write the file in a request to the disk.

    Raises:
        Refused: the request is not a form with one file, too large, too slow, or ends early.
        NoRoom: there is less space than was expected.
        OSError: the disk cannot be written.
    """
    try:
        form = FileForm(request.headers.get("content-type", ""))
    except FormError:
        raise Refused(400, NO_FORM) from None
    file = upload_folder.new_file()
    try:
        await _write_file(request, form, file, books, charge, bounds)
        if not books.is_connected(charge.session):  # nothing would delete the file
            raise Refused(400, "The page of this upload was closed.")
    except BaseException:
        file.delete()
        raise
    record = StoredUpload(file_id=file_id, name=form.name, type=form.type, data=b"")
    record.file = file
    return record


async def _write_file(
    request: Request, form: FileForm, file: FileOnDisk, books: Ledger, charge: Charge, bounds: _Bounds
) -> None:
    if shutil.disk_usage(file.path.parent).free < (bounds.declared or 0) + SPARE_BYTES:
        raise Refused(507, "The disk of this server is full.")
    received, begin = 0, time.monotonic()
    with await asyncio.to_thread(file.path.open, "xb") as target:
        async for chunk in _body(request):
            received += len(chunk)
            if received > bounds.largest + FRAMING:
                raise Refused(413, TOO_LARGE)
            books.grow(charge, received, bounds.limits)
            if bounds.limits and received < SLOWEST * (time.monotonic() - begin - IDLE_SECONDS):
                raise Refused(408, "This upload is too slow.")
            try:
                form.feed(chunk)
            except FormError:
                raise Refused(400, NO_FORM) from None
            if form.waiting >= BLOCK:
                file.size += await asyncio.to_thread(target.write, form.take())
        file.size += await asyncio.to_thread(target.write, form.take())
    if not form.complete:
        raise Refused(400, NO_FORM)
    if file.size > bounds.largest:
        raise Refused(413, TOO_LARGE)


async def _body(request: Request) -> AsyncIterator[bytes]:
    """Yield the pieces of a request's body.

    Raises:
        Refused: the browser has gone, or sends nothing for :data:`IDLE_SECONDS`.
    """
    more = True
    while more:
        try:
            message = await asyncio.wait_for(request.receive(), IDLE_SECONDS)
        except TimeoutError:
            raise Refused(408, "This upload stopped.") from None
        if message["type"] == "http.disconnect":
            raise Refused(400, "The browser has gone.")
        more = message.get("more_body", False)
        yield message.get("body", b"")
