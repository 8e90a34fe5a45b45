"""Files from the web: with retries, and going on where an earlier try ended."""

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
"""Before the second attempt; doubled before each further one."""

_BLOCK = 2**18
_ROOM = 3
"""Free disk space a download needs, in its own size: the archive, its content, and some."""
_PASSING = (408, 425, 429)
"""Refusals that may be over a moment later, as errors of the server (5xx) may."""
_BROKEN = (http.client.HTTPException, TimeoutError, ConnectionError)
"""What a connection that was made and then fails raises."""


class Archive(NamedTuple):
    """A file to fetch: its address, its place below the root, and its checksum of one of two kinds."""

    url: str
    path: str
    md5: str = ""
    sha256: str = ""


class Unreachable(DataError):
    """No connection to the server can be made, so there is no use in asking it for other files."""


class _Passing(Exception):
    """An attempt failed in a way that another may not.

    Attributes:
        error: what to say when no attempt is left.
        restart: whether what came so far is of no use.
    """

    def __init__(self, error: DataError, restart: bool = False) -> None:
        self.error, self.restart = error, restart


def fetch_archive(title: str, archive: Archive, root: Path, before: int = 0) -> Iterator[tuple[int, int]]:
    """Fetch an archive of the data set ``title`` to its place below ``root``; what lies there already is gone on from.

    Yields:
        bytes fetched so far, those ``before`` included, and the size of this archive.

    Raises:
        DataError: no connection, not there any more, too little disk space, or other content than the published one,
            which is removed then. What came before a connection broke is kept.
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
            except _Passing as failure:
                if failure.restart:
                    path.unlink()
                yield before + done, size  # whoever counts along may want to stop
                _pause(attempt, failure)
        if not _is_whole(path, archive):
            path.unlink()
            raise DataError(
                f"The download of {title} is not the published file (its checksum differs): try again later."
            )
    size = path.stat().st_size
    yield before + size, size


def fetch_bytes(url: str, limit: int, stop: threading.Event) -> bytes:
    """The content of a small file.

    Args:
        limit: no more than this and one byte are read.
        stop: once set, a failed attempt is not repeated.

    Raises:
        Unreachable: no connection.
        DataError: the server does not hand out the file, or only a part of it.
    """
    for attempt in range(ATTEMPTS):
        try:
            with _opened("The file", url) as response:
                size = int(response.headers.get("Content-Length") or 0)
                content = response.read(limit + 1)
            if len(content) < min(size, limit):
                raise _Passing(DataError(f"The file broke off after {len(content):,} of {size:,} bytes: try again."))
            return content
        except _Passing as failure:
            _pause(attempt, failure, stop)
    raise AssertionError("the last attempt either returns or raises")


def _is_whole(path: Path, archive: Archive) -> bool:
    if not path.exists():
        return False
    kind, digest = ("sha256", archive.sha256) if archive.sha256 else ("md5", archive.md5)
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest() == digest


def _transfer(title: str, url: str, path: Path) -> Iterator[tuple[int, int]]:
    """One attempt; yields bytes fetched so far and bytes in all."""
    done = path.stat().st_size if path.exists() else 0
    with _opened(title, url, start=done) as response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:  # the server sends the whole file all the same
            done = 0
        size = done + int(response.headers.get("Content-Length") or 0)
        if (size - done) * _ROOM > (free := shutil.disk_usage(path.parent).free):
            raise DataError(
                f"{title} needs {(size - done) * _ROOM / 2**30:.1f} GB of disk space and {free / 2**30:.1f} GB are "
                "free: make room, or set VIT_DATA to another disk."
            )
        with path.open("ab" if done else "wb") as file:
            while block := response.read(_BLOCK):
                file.write(block)
                done += len(block)
                yield done, size
    if done < size:
        raise _Passing(DataError(f"The download of {title} broke off after {done:,} of {size:,} bytes: try again."))


@contextmanager
def _opened(what: str, url: str, start: int = 0) -> Iterator[http.client.HTTPResponse]:
    """The answer of the server; all that goes wrong while it is read becomes one of our errors."""
    headers = {"User-Agent": "vit"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS) as response:
            yield response
    except urllib.error.HTTPError as error:
        beyond = error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        if beyond or error.code >= 500 or error.code in _PASSING:
            refused = DataError(f"{what} cannot be had from {url} now (the server says {error.code}): try again later.")
            raise _Passing(refused, restart=beyond) from error
        raise DataError(f"{what} is not at {url} any more (the server says {error.code}).") from error
    except (urllib.error.URLError, *_BROKEN) as error:
        made = isinstance(error, _BROKEN)
        reason = error if made else error.reason
        sentence = f"{what} cannot be downloaded from {url} ({reason}): check the connection and try again."
        raise _Passing(DataError(sentence) if made else Unreachable(sentence)) from error


def _pause(attempt: int, failure: _Passing, stop: threading.Event | None = None) -> None:
    """Wait before the next attempt; raises the failure where there is none."""
    if attempt + 1 == ATTEMPTS or (stop or threading.Event()).wait(BACKOFF_SECONDS * 2**attempt):
        raise failure.error from failure.__cause__
