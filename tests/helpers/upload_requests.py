"""Uploads to the middleware that receives them, without a server: for its tests and for ``benchmarks.app.fuzz``."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from streamlit import config
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.web.server.starlette.starlette_app_utils import generate_xsrf_token_string
from streamlit.web.server.starlette.starlette_server_config import XSRF_COOKIE_NAME

from pages.server import upload_middleware
from pages.server.upload_middleware import UploadMiddleware
from pages.server.upload_store import Ledger, StoredUpload

FORM = "multipart/form-data; boundary=cut"
HEAD = (
    b'--cut\r\nContent-Disposition: form-data; name="file"; filename="a.zip"\r\nContent-Type: application/zip\r\n\r\n'
)
TAIL = b"\r\n--cut--\r\n"


class Uploads:
    """The part of a server that receives uploads.

    Attributes:
        manager: holds the records of the files, as in a real server.
        connected: ids of the sessions whose browser is connected.
    """

    def __init__(self) -> None:
        self.manager = MemoryUploadedFileManager("/_stcore/upload_file")
        self.connected: set[str] = set()
        self.ledger = Ledger(self.manager, lambda session: session in self.connected)

    def files(self) -> list[StoredUpload]:
        """Return the stored files of all sessions."""
        stored = [record for files in self.manager.file_storage.values() for record in files.values()]
        return [record for record in stored if isinstance(record, StoredUpload)]

    def held(self) -> int:
        """Return the bytes of all stored files."""
        return sum(record.file.size for record in self.files())

    def close(self, session: str) -> None:
        """End a session, as when its browser has gone for long."""
        self.connected.discard(session)
        self.manager.remove_session_files(session)

    async def put(
        self,
        session: str,
        body: Iterable[bytes] | AsyncIterator[bytes],
        *,
        name: str = "a",
        content_type: str = FORM,
        length: int | None = None,
        address: str = "192.0.2.1",
        token: bool = True,
    ) -> int:
        """Upload a body, and return the status of the answer.

        Args:
            session: id of the session; it is connected.
            body: the pieces of the request.
            name: id of the file.
            content_type: the request's header.
            length: what the request declares; None for a request of pieces.
            address: where it comes from.
            token: whether it has the page's token.
        """
        self.connected.add(session)
        secret = generate_xsrf_token_string() if token else ""
        headers = [(b"content-type", content_type.encode()), (b"x-xsrftoken", secret.encode())]
        headers.append((b"cookie", f"{XSRF_COOKIE_NAME}={secret}".encode()))
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        scope = {
            "type": "http",
            "method": "PUT",
            "path": f"/_stcore/upload_file/{session}/{name}",
            "headers": headers,
            "client": (address, 5),
        }
        statuses = []

        async def pieces() -> AsyncIterator[dict]:
            if isinstance(body, AsyncIterator):
                async for piece in body:
                    yield {"type": "http.request", "body": piece, "more_body": True}
            else:
                for piece in body:
                    await asyncio.sleep(0)  # other uploads go on
                    yield {"type": "http.request", "body": piece, "more_body": True}
            yield {"type": "http.request", "body": b"", "more_body": False}

        messages = pieces()

        async def send(message: dict) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        await UploadMiddleware(_no_app)(scope, messages.__anext__, send)
        return statuses[0]


def form(content: bytes) -> list[bytes]:
    """Return the pieces of the form in which a browser sends a file."""
    return [HEAD, *(content[start : start + 2**16] for start in range(0, len(content), 2**16)), TAIL]


@contextmanager
def uploads() -> Iterator[Uploads]:
    """Replace the running server's uploads by those of this process; at the end, no file may be left on the disk.

    ``VIT_DEMO`` and ``VIT_DATA`` apply as to a server.
    """
    one = Uploads()
    original, most = upload_middleware.ledger, config.get_option("server.maxUploadSize")
    upload_middleware.ledger = lambda: one.ledger
    upload_middleware.limit_uploads()
    try:
        yield one
        for session in {*one.connected, *one.manager.file_storage}:
            one.close(session)
        left = [path for path in incoming_files() if path.is_file()]
        assert not left, f"{len(left)} files are left"
    finally:
        upload_middleware.ledger = original
        config.set_option("server.maxUploadSize", most)
        upload_middleware.upload_folder.close()


def incoming_files() -> list[Path]:
    """Return the files in the folder of uploads."""
    folder = upload_middleware.upload_folder
    return list(folder.path.iterdir()) if folder.path is not None and folder.path.is_dir() else []


async def _no_app(scope: dict, receive: object, send: object) -> None:
    raise AssertionError(f"{scope['path']} went on to Streamlit")
