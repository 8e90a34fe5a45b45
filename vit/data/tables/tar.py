"""Find the members of an uncompressed tar file: names, places and sizes, read from the headers alone.

Python's ``tarfile`` keeps an object for every member and reads extended headers of any length; a shard of WebDataset
may have a hundred thousand members, and its headers are untrusted. Links, devices and sparse files are passed over, and
no name is ever used as a path.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from vit.errors import DataError

_BLOCK = 512
_EXTENDED_MAX = 2**16
"""Longest extended header. Only names are read from it."""


class Member(NamedTuple):
    """A regular file of a tar file: its name, the place of its content, and its length in bytes."""

    name: str
    offset: int
    size: int


def members(path: Path) -> Iterator[Member]:
    """Yield the regular files of a tar file in their order.

    Raises:
        DataError: the file is compressed, damaged, truncated, or no tar file.
    """
    end = path.stat().st_size
    with path.open("rb") as file:
        at, long_name = 0, ""
        while at + _BLOCK <= end:
            header = file.read(_BLOCK)
            if not header.strip(b"\0"):
                return
            if not _is_header(header):
                raise _damaged(path, header if at == 0 else b"")
            size, kind = _number(header[124:136]), header[156:157]
            start = at + _BLOCK
            if size < 0 or start + size > end:
                raise DataError(f"{path.name} is truncated: use a complete copy of the file.")
            if kind in b"Lx":
                long_name = _extended_name(file, kind, size, path) or long_name
            elif kind != b"g":  # a header for all members, which has no name
                if kind in b"0\0" and not header[:100].rstrip(b"\0").endswith(b"/"):
                    yield Member(long_name or _name(header), start, size)
                long_name = ""
            at = start + -(-size // _BLOCK) * _BLOCK
            file.seek(at)
        if at == 0:
            raise _damaged(path, b"")


def _is_header(header: bytes) -> bool:
    """Return whether the checksum of a header, which counts itself as spaces, is right."""
    try:
        return _number(header[148:156]) == sum(header[:148]) + 8 * 32 + sum(header[156:])
    except ValueError:
        return False


def _number(field: bytes) -> int:
    """Return a number in octal digits, or in GNU's binary notation for large ones.

    Raises:
        ValueError: it is neither.
    """
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    return int(field.split(b"\0")[0].strip() or b"0", 8)


def _name(header: bytes) -> str:
    name, prefix = (header[low:high].split(b"\0")[0] for low, high in ((0, 100), (345, 500)))
    if header[257:262] == b"ustar" and header[262:263] == b"\0" and prefix:
        name = prefix + b"/" + name
    return name.decode("utf-8", "replace")


def _extended_name(file: BinaryIO, kind: bytes, size: int, path: Path) -> str:
    """Return the long name in an extended header; empty if it holds other things."""
    if size > _EXTENDED_MAX:
        raise DataError(f"{path.name} has an entry with a header of {size:,} bytes: write it again.")
    content = file.read(size)
    if kind == b"L":
        return content.rstrip(b"\0").decode("utf-8", "replace")
    while content:  # records such as b"19 path=photo.jpg\n", each with its own length
        length, _, rest = content.partition(b" ")
        if not length.isdigit() or not len(length) + 1 < int(length) <= len(content):
            raise _damaged(path, b"")
        record, content = rest[: int(length) - len(length) - 1], content[int(length) :]
        key, _, value = record.rstrip(b"\n").partition(b"=")
        if key == b"path":
            return value.decode("utf-8", "replace")
        if key == b"size" or key.startswith(b"GNU.sparse"):
            raise DataError(f"{path.name} has an entry that is larger than it says or has holes: write it again.")
    return ""


def _damaged(path: Path, start: bytes) -> DataError:
    if start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
        return DataError(f"{path.name} is compressed: unpack it to an ordinary .tar first (gunzip for .gz).")
    return DataError(f"{path.name} is damaged, or is no tar file: use a complete copy of the file.")
