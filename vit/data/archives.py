"""Zip files of strangers: what they hold is judged before a byte is expanded, and counted while it is."""

import lzma
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from vit.errors import DataError

DIRECTORY_BYTES_MAX = 256 * 2**20
"""Of a zip's table of contents, which is read into memory as a whole."""

HIDDEN = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini", "ehthumbs.db", "$RECYCLE.BIN"})
_ARCHIVE_SUFFIXES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".tbz2", ".txz", ".jar")
_UNWANTED = re.compile(r'[\x00-\x1f\x7f<>:"|?*]')
_NAME_MAX = 200

_BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, EOFError, ValueError, struct.error)
"""What a damaged zip makes the standard library raise."""


class Member(NamedTuple):
    """A visible file or folder of a zip, with a name that is safe to create."""

    parts: tuple[str, ...]
    info: zipfile.ZipInfo

    @property
    def is_dir(self) -> bool:
        return self.info.is_dir()


def is_hidden(part: str) -> bool:
    """Whether a file or folder of this name is the operating system's and not the user's."""
    return part.startswith(".") or part in HIDDEN


def open_zip(source: Path | BinaryIO, name: str) -> zipfile.ZipFile:
    """Open a zip, its table of contents bounded.

    Raises:
        DataError: not a zip, or damaged.
    """
    try:
        if isinstance(source, Path):
            with source.open("rb") as file:
                _check_directory(file, name)
        else:
            _check_directory(source, name)
        return zipfile.ZipFile(source)
    except DataError:  # a ValueError, too
        raise
    except _BROKEN as error:
        raise DataError(f"{name} is not a zip file, or a damaged one: pack the folder of images again.") from error
    except OSError as error:
        raise DataError(f"{name} cannot be opened: {error.strerror or error}.") from error


def members(archive: zipfile.ZipFile, name: str) -> list[Member]:
    """The visible members of a zip.

    Raises:
        DataError: a member would land outside the folder, is a link or a device, is encrypted, or an archive itself.
    """
    found = []
    for info in archive.infolist():
        parts = _safe_parts(info, name)
        if parts and not any(is_hidden(part) for part in parts):
            if not info.is_dir() and parts[-1].lower().endswith(_ARCHIVE_SUFFIXES):
                raise nested(name, parts[-1])
            found.append(Member(parts, info))
    return found


def chunks(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, size: int = 2**20, name: str = "The file"
) -> Iterator[bytes]:
    """Content of a member, called ``name`` in the error, piece by piece, whatever length it declares.

    Raises:
        DataError: it is damaged.
    """
    try:
        with archive.open(info) as file:
            while chunk := file.read(size):
                yield chunk
    except (*_BROKEN, OSError) as error:
        raise DataError(f"{name} is damaged within the zip: pack it again.") from error


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> bytes:
    """Content of a member, the first ``limit + 1`` bytes of it at most.

    Raises:
        DataError: it is damaged.
    """
    return next(chunks(archive, info, limit + 1), b"")


def nested(name: str, member: str) -> DataError:
    """The error for an archive within the archive."""
    return DataError(f"{name} holds another archive, {member!r}: unpack it and zip the folders of images.")


def _safe_parts(info: zipfile.ZipInfo, name: str) -> tuple[str, ...]:
    path = info.filename.replace("\\", "/")
    kind = stat.S_IFMT(info.external_attr >> 16)
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if path.startswith("/") or re.match(r"[A-Za-z]:", path) or ".." in parts:
        raise DataError(f"{name} holds a file that would land outside its folder, {path[:80]!r}: pack it again.")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise DataError(f"{name} holds a link or a special file, {path[:80]!r}: pack the images themselves.")
    if info.flag_bits & 0x1:
        raise DataError(f"{name} is encrypted: pack it without a password.")
    parts = tuple(_UNWANTED.sub("_", unicodedata.normalize("NFC", part)) for part in parts)
    if len(parts) > 16 or any(len(part.encode("utf-8", "replace")) > _NAME_MAX for part in parts):
        raise DataError(f"{name} holds a name that is too long, {path[:80]!r}: shorten it and pack again.")
    return parts


def _check_directory(file: BinaryIO, name: str) -> None:
    """Refuse a table of contents that would fill the memory, by the size that the zip's last record declares."""
    end = file.seek(0, 2)
    start = max(0, end - 65_557 - 20)
    file.seek(start)
    tail = file.read()
    file.seek(0)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise zipfile.BadZipFile("no end record")
    size = struct.unpack_from("<L", tail, at + 12)[0]
    locator = tail[at - 20 : at] if at >= 20 else b""
    if locator.startswith(b"PK\x06\x07"):  # zip64: the true size stands in another record, right before
        file.seek(max(0, start + at - 20 - 56))
        record = file.read(56)
        file.seek(0)
        size = struct.unpack_from("<Q", record, 40)[0] if record.startswith(b"PK\x06\x06") else 2**64
    if size > DIRECTORY_BYTES_MAX:
        raise DataError(f"{name} holds too many files: split it.")


def slug(name: str) -> str:
    """A file's name as a safe folder name: ``My Photos (1).zip`` -> ``my-photos-1``."""
    stem = PurePosixPath(name.replace("\\", "/")).name
    stem = re.sub(r"\.zip$", "", stem, flags=re.IGNORECASE)
    ascii_stem = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_stem).strip("-")[:48].strip("-") or "images"
