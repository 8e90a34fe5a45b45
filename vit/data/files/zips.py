"""Read untrusted zip files: check their entries before anything is expanded, and count bytes while expanding."""

import re
import secrets
import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from filelock import FileLock, Timeout

from vit.data.files.file_names import is_hidden
from vit.data.files.zip_names import read_names
from vit.errors import DataError
from vit.support.untrusted_text import is_reserved

BYTES_MAX = 8 * 10**9
RATIO_MAX = 100
"""Largest expansion. Photographs hardly compress; a file that grows a hundredfold is made to fill disk and memory."""
RATIO_FREE_BYTES = 32 * 2**20
"""The ratio is not checked below this size."""
ENTRIES_MAX = 200_000
DIRECTORY_BYTES_MAX = 64 * 2**20
"""Size of a zip's central directory, which is read into memory as a whole."""

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Other methods may need gigabytes to unpack a few bytes (LZMA) or expand a thousandfold (bzip2)."""
_ARCHIVE_SUFFIXES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".tbz2", ".txz", ".jar")
_UNWANTED = re.compile(r'[\x00-\x1f\x7f<>:"|?*]')
_NAME_MAX = 200
_ENTRY = b"PK\x01\x02"
_HEADER_BYTES = 30
_TEMPORARY = ".unpacking"

_BROKEN = (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, ValueError, struct.error, OverflowError)
"""Exceptions of the standard library for a damaged zip."""


Parts = tuple[str, ...]


class Member(NamedTuple):
    """A visible file or folder of a zip, with a name that is safe to create."""

    parts: Parts
    info: zipfile.ZipInfo

    @property
    def is_dir(self) -> bool:
        return self.info.is_dir()


def check_expansion(found: list[Member], name: str, packed: int, bytes_max: int = BYTES_MAX) -> None:
    """Check the declared sizes of the members; what is read of a member never exceeds its declared size.

    Args:
        found: the members.
        name: name of the zip in messages.
        packed: size of the zip in bytes.
        bytes_max: limit of the expanded size.

    Raises:
        DataError: the zip expands to more than the limit, or to far more than its own size.
    """
    total = sum(member.info.file_size for member in found)
    if total > bytes_max:
        raise too_large(name, bytes_max)
    if total > RATIO_FREE_BYTES and total > RATIO_MAX * packed:
        raise bomb(name)


def too_large(name: str, limit: int) -> DataError:
    """Return the error for a zip that expands to more than the limit."""
    size = f"{limit / 1e9:.1f} GB" if limit >= 1e9 else f"{limit / 1e6:,.0f} MB"
    return DataError(f"{name} expands to more than {size}: leave images out, or make them smaller.")


def bomb(name: str) -> DataError:
    """Return the error for a zip that expands to far more than its own size."""
    return DataError(f"{name} expands to over {RATIO_MAX} times its size: pack photographs, not a bomb.")


@contextmanager
def temporary_folder(folder: Path) -> Iterator[Path]:
    """Create a temporary folder in ``folder``, and delete it at the end unless it was renamed.

    Temporary folders that killed processes left are deleted too.

    Raises:
        OSError: the folder cannot be created.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for lock in folder.glob(f".*{_TEMPORARY}.lock"):
        _remove_unheld(lock)
    path = folder / f".{secrets.token_hex(8)}{_TEMPORARY}"
    lock = path.with_name(f"{path.name}.lock")
    with FileLock(lock):
        try:
            path.mkdir()
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            lock.unlink(missing_ok=True)


def _remove_unheld(lock: Path) -> None:
    """Remove a temporary folder if no process holds its lock."""
    try:
        with FileLock(lock, timeout=0):
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink(missing_ok=True)
    except (Timeout, OSError):
        pass


def open_zip(source: Path | BinaryIO, name: str, entries_max: int = ENTRIES_MAX) -> zipfile.ZipFile:
    """Open a zip after checking the size of its central directory.

    Raises:
        DataError: it is not a zip, is damaged, or has too many entries.
    """
    try:
        if isinstance(source, Path):
            with source.open("rb") as file:
                _check_directory(file, name, entries_max)
        else:
            _check_directory(source, name, entries_max)
        return zipfile.ZipFile(source)
    except DataError:  # DataError is a ValueError, which _BROKEN includes
        raise
    except _BROKEN as error:
        raise DataError(f"{name} is not a zip file, or it is damaged: pack the folder of images again.") from error
    except OSError as error:
        raise DataError(f"{name} cannot be opened: {error.strerror or error}.") from error


def members(archive: zipfile.ZipFile, name: str) -> list[Member]:
    """Return the visible members of a zip.

    Raises:
        DataError: a member would be written outside the folder or over another one, is a link, a device or an archive,
            is encrypted or uses a rare compression, or shares its bytes with another member.
    """
    infos = archive.infolist()
    _check_apart(infos, name)
    found: list[Member] = []
    for info, path in zip(infos, read_names(infos).names, strict=True):
        parts = _safe_parts(info, path, name)
        if parts and not any(is_hidden(part) for part in parts):
            if not info.is_dir() and parts[-1].lower().endswith(_ARCHIVE_SUFFIXES):
                raise nested(name, parts[-1])
            found.append(Member(parts, info))
    _check_names(found, name)
    return found


def _check_apart(infos: list[zipfile.ZipInfo], name: str) -> None:
    """Raise a DataError if two entries share bytes of the file, as in a zip bomb (Fifield 2019)."""
    places = sorted((info.header_offset, info.header_offset + _HEADER_BYTES + info.compress_size) for info in infos)
    if any(end > start for (_, end), (start, _) in pairwise(places)):
        raise DataError(f"{name} contains entries that overlap, which no ordinary zip has: pack it again.")


def _check_names(found: list[Member], name: str) -> None:
    """Raise a DataError if names differ only in upper and lower case, or one is both a file and a folder."""
    spelled: dict[Parts, Parts] = {}
    folders: set[Parts] = set()
    for member in found:
        inner = member.parts if member.is_dir else member.parts[:-1]
        places = [inner[:depth] for depth in range(1, len(inner) + 1)] if inner not in folders else []
        for parts in places if member.is_dir else [*places, member.parts]:
            other = spelled.setdefault(tuple(part.casefold() for part in parts), parts)
            if other is parts or (other == parts and parts in folders and parts in places):
                continue
            both = "/".join(other)[:80]
            both = repr(both) if other == parts else f"{both!r} and {'/'.join(parts)[:80]!r}"
            raise DataError(f"{name} contains two files of the same name, {both}: rename one and pack it again.")
        folders.update(places)


def chunks(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, size: int = 2**20, name: str = "The file"
) -> Iterator[bytes]:
    """Yield the content of a member in pieces, regardless of its declared length; errors call it ``name``.

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
    """Return the content of a member, at most its first ``limit + 1`` bytes.

    Raises:
        DataError: it is damaged.
    """
    return next(chunks(archive, info, limit + 1), b"")


def nested(name: str, member: str) -> DataError:
    """Return the error for an archive within the archive."""
    return DataError(f"{name} contains another archive, {member!r}: unpack it and zip the folders of images.")


def _safe_parts(info: zipfile.ZipInfo, path: str, name: str) -> Parts:
    path = path.replace("\\", "/")
    kind = stat.S_IFMT(info.external_attr >> 16)
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if path.startswith("/") or re.match(r"[A-Za-z]:", path) or ".." in parts:
        raise DataError(f"{name} contains a file outside its folder, {path[:80]!r}: pack it again.")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise DataError(f"{name} contains a link or a special file, {path[:80]!r}: pack the images themselves.")
    if info.flag_bits & 0x1:
        raise DataError(f"{name} is encrypted: pack it without a password.")
    if info.compress_type not in _METHODS:
        raise DataError(f"{name} uses a compression method that is not supported: pack it again as an ordinary zip.")
    parts = tuple(_safe_part(part) for part in parts)
    if len(parts) > 16 or any(len(part.encode("utf-8", "replace")) > _NAME_MAX for part in parts):
        raise DataError(f"{name} contains a name that is too long, {path[:80]!r}: shorten it and pack again.")
    return parts


def _safe_part(part: str) -> str:
    """Return the name with characters replaced so that every file system accepts it."""
    part = _UNWANTED.sub("_", unicodedata.normalize("NFC", part))
    if not is_hidden(part):
        part = re.sub(r"[ .]$", "_", part)
    return f"_{part}" if is_reserved(part) else part


def _check_directory(file: BinaryIO, name: str, entries_max: int) -> None:
    """Raise a DataError if the central directory is too large for memory, by its size or its number of entries."""
    end = file.seek(0, 2)
    start = max(0, end - 65_557 - 20)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise zipfile.BadZipFile("no end record")
    size = struct.unpack_from("<L", tail, at + 12)[0]
    behind = start + at
    if tail[max(0, at - 20) : at].startswith(b"PK\x06\x07"):  # zip64: an earlier record has the true size
        behind -= 20 + 56
        file.seek(max(0, behind))
        record = file.read(56)
        size = struct.unpack_from("<Q", record, 40)[0] if record.startswith(b"PK\x06\x06") else 2**64
    if size > DIRECTORY_BYTES_MAX:
        raise DataError(f"{name} contains too many files: split it.")
    file.seek(max(0, behind - size))
    count = file.read(size).count(_ENTRY)
    file.seek(0)
    if count > entries_max:
        raise DataError(f"{name} contains {count:,} files, but at most {entries_max:,} are allowed: leave some out.")


def slug(name: str) -> str:
    """Return a safe folder name for a file's name: ``My Photos (1).zip`` -> ``my-photos-1``."""
    stem = PurePosixPath(name.replace("\\", "/")).name
    stem = re.sub(r"\.zip$", "", stem, flags=re.IGNORECASE)
    ascii_stem = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_stem).strip("-")[:48].strip("-") or "images"
