"""Download files with retries; an interrupted download is resumed."""

import hashlib
import http.client
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from vit.errors import DataError

TIMEOUT_SECONDS = 30
ATTEMPTS = 4
BACKOFF_SECONDS = 0.5
"""Pause before the second attempt; doubled before each further attempt."""

_BLOCK = 2**18
_ROOM = 3
"""Free disk space that a download needs, in multiples of its size: the archive, its content, and a reserve."""
_TEMPORARY_STATUS = (408, 425, 429)
"""HTTP statuses after which a later attempt may succeed, as after server errors (5xx)."""
_BROKEN = (http.client.HTTPException, TimeoutError, ConnectionError)
"""Errors of a connection that was established and then failed."""


class Archive(NamedTuple):
    """A file to download: its address, its path below the root, and its MD5 or SHA-256 checksum."""

    url: str
    path: str
    md5: str = ""
    sha256: str = ""


class Unreachable(DataError):
    """No connection to the server can be made, so other files cannot be downloaded either."""


class _Temporary(Exception):
    """An attempt failed, but a later one may succeed.

    Attributes:
        error: the error to raise after the last attempt.
        restart: whether the part downloaded so far cannot be used.
    """

    def __init__(self, error: DataError, restart: bool = False) -> None:
        self.error, self.restart = error, restart


def fetch_archive(title: str, archive: Archive, root: Path, before: int = 0) -> Iterator[tuple[int, int]]:
    """Download an archive of the data set ``title`` to its path below ``root``; a partial file is resumed.

    Yields:
        bytes downloaded so far, including ``before``, and the size of this archive.

    Raises:
        DataError: there is no connection, the file is no longer offered, there is too little disk space, or the content
            differs from the published file and is removed. A partial download is kept.
    """
    path = root / archive.path
    path.parent.mkdir(parents=True, exist_ok=True)
    done = size = 0
    if not _is_whole(path, archive):
        for attempt in range(ATTEMPTS):
            try:
                for done, size in _transfer(title, archive.url, path):
                    yield before + done, size
                break
            except _Temporary as failure:
                if failure.restart:
                    path.unlink()
                yield before + done, size  # so that the caller can stop
                _pause(attempt, failure)
        if not _is_whole(path, archive):
            path.unlink()
            raise DataError(
                f"The download of {title} is not the published file (its checksum differs): try again later."
            )
    size = path.stat().st_size
    yield before + size, size


def fetch_bytes(url: str, limit: int, stop: threading.Event) -> bytes:
    """Download a small file and return its content.

    Args:
        url: address of the file.
        limit: at most one byte more than this is read.
        stop: if set, a failed attempt is not repeated.

    Raises:
        Unreachable: there is no connection.
        DataError: the server does not deliver the file, or only a part of it.
    """
    for attempt in range(ATTEMPTS):
        try:
            with _opened("The file", url) as response:
                size = int(response.headers.get("Content-Length") or 0)
                content = response.read(limit + 1)
            if len(content) < min(size, limit):
                raise _Temporary(DataError(f"The file broke off after {len(content):,} of {size:,} bytes: try again."))
            return content
        except _Temporary as failure:
            _pause(attempt, failure, stop)
    raise AssertionError("the last attempt either returns or raises")


def _is_whole(path: Path, archive: Archive) -> bool:
    if not path.exists():
        return False
    kind, digest = ("sha256", archive.sha256) if archive.sha256 else ("md5", archive.md5)
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest() == digest


def _transfer(title: str, url: str, path: Path) -> Iterator[tuple[int, int]]:
    """Make one attempt; yield bytes downloaded so far and bytes in total."""
    done = path.stat().st_size if path.exists() else 0
    with _opened(title, url, start=done) as response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:  # the server sends the whole file nevertheless
            done = 0
        size = done + int(response.headers.get("Content-Length") or 0)
        if (size - done) * _ROOM > (free := shutil.disk_usage(path.parent).free):
            raise DataError(
                f"{title} needs {(size - done) * _ROOM / 2**30:.1f} GB of disk space and {free / 2**30:.1f} GB are "
                "free: free some space, or set VIT_DATA to a folder on another disk."
            )
        with path.open("ab" if done else "wb") as file:
            while block := response.read(_BLOCK):
                file.write(block)
                done += len(block)
                yield done, size
    if done < size:
        raise _Temporary(DataError(f"The download of {title} broke off after {done:,} of {size:,} bytes: try again."))


@contextmanager
def _opened(what: str, url: str, start: int = 0) -> Iterator[http.client.HTTPResponse]:
    """Open an address, and translate errors of the connection and of the server."""
    headers = {"User-Agent": "vit"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS) as response:
            yield response
    except urllib.error.HTTPError as error:
        beyond = error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        if beyond or error.code >= 500 or error.code in _TEMPORARY_STATUS:
            sentence = f"{what} cannot be downloaded from {url} now (HTTP status {error.code}): try again later."
            raise _Temporary(DataError(sentence), restart=beyond) from error
        raise DataError(f"{what} is no longer at {url} (HTTP status {error.code}).") from error
    except _BROKEN as error:
        raise _Temporary(DataError(_connection_sentence(what, url, error))) from error
    except urllib.error.URLError as error:
        raise _Temporary(Unreachable(_connection_sentence(what, url, error.reason))) from error


def _connection_sentence(what: str, url: str, reason: object) -> str:
    return f"{what} cannot be downloaded from {url} ({reason}): check the connection and try again."


def _pause(attempt: int, failure: _Temporary, stop: threading.Event | None = None) -> None:
    """Wait before the next attempt; after the last one, raise the failure."""
    if attempt + 1 == ATTEMPTS or (stop or threading.Event()).wait(BACKOFF_SECONDS * 2**attempt):
        raise failure.error from failure.__cause__
