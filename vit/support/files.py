"""Write files so that they survive a crash, and read files that a crash may have truncated."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEADER_MAX = 2**24
"""Longest safetensors header that is read; a network of 48 blocks has about 100,000 bytes."""


def write_atomic(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file under a temporary name, flush it and rename it, so that no reader ever sees a part of it.

    Args:
        path: the file.
        data: its content.
        durable: flush the file and its folder to the disk. Without it a crash of the machine may leave an empty file.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # temporary files are readable only by their owner
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def overwrite(path: Path, data: bytes) -> None:
    """Overwrite an existing file in place, which also works on a full disk. A crash may damage the file."""
    with path.open("r+b") as file:
        file.write(data)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())


def remove_temporary_files(folder: Path) -> None:
    """Remove the temporary files that :func:`write_atomic` left when its process was killed.

    Call this only while no other process writes into the folder.
    """
    for file in folder.glob(".*.*-*"):
        file.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Flush a folder's entries to disk, if the system supports it."""
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
    """Return the last bytes of a file, at most ``size``; no bytes if it does not exist or cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - size))
            return file.read(size)
    except OSError:
        return b""


def safetensors_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file without reading its tensors; empty if the header is invalid.

    The file starts with the header's length (8 bytes, little-endian), and then the header as JSON.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            found = json.loads(file.read(length))["__metadata__"] if length <= HEADER_MAX else {}
            return {str(name): text for name, text in found.items() if isinstance(text, str)}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def json_lines(data: bytes) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON lines file; lines that a crash has truncated are left out."""
    for line in data.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value
