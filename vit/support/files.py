"""Files that survive a crash: written beside, flushed with their folder, renamed once; and lines cut short by one."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEADER_MAX = 2**24
"""Bytes of a safetensors header that are read; those of a network of 48 blocks are a hundred thousand."""


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or a loss of power, meets the old one or the new one and never a part."""
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, 0o644)  # a temporary file is its owner's alone
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def overwrite(path: Path, data: bytes) -> None:
    """Write over an existing file, in the room that it has: for a disk that takes no new one. A crash may damage it."""
    with path.open("r+b") as file:
        file.write(data)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())


def remove_remains(folder: Path) -> None:
    """Remove what :func:`write_atomic` of a killed process left beside; only who alone writes there may call it."""
    for file in folder.glob(".*.*-*"):
        file.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Flush a folder's entries to disk, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def free_bytes(folder: Path) -> int:
    """Return the free bytes on the disk of a folder, which need not exist yet."""
    folder = folder.absolute()
    return shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free


def tail(path: Path, size: int) -> bytes:
    """The last bytes of a file, ``size`` at most; none where it does not exist or cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - size))
            return file.read(size)
    except OSError:
        return b""


def safetensors_metadata(path: Path) -> dict[str, str]:
    """The texts in the header of a safetensors file, without its tensors; none where there is no such header.

    The layout is 8 bytes, the header's length as a little-endian number, and then the header as JSON.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            found = json.loads(file.read(length))["__metadata__"] if length <= HEADER_MAX else {}
            return {str(name): text for name, text in found.items() if isinstance(text, str)}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def json_lines(data: bytes) -> Iterator[dict[str, Any]]:
    """The objects of a JSON lines file; a line that a crash cut short is left out."""
    for line in data.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value
