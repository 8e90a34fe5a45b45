"""Check image files before decoding: small files can be made that need gigabytes or minutes to decode.

Decoders protect themselves against few of them. This module estimates the cost of decoding from the headers, and
removes parts that do not affect the pixels (profiles, comments, later frames of an animation).
"""

import re
import struct
from typing import NamedTuple

from vit.errors import DataError

SCANS_MAX = 10**9
"""Pixels times scans of a progressive JPEG: each scan visits all pixels, even if it has few bytes."""
PIECES_MAX = 100_000
"""Chunks of a PNG, blocks before the image of a GIF, strips or tiles of a TIFF."""
SLOW_BYTES_MAX = 3 * 2**20
SLOW_PIXELS_MAX = 4_000_000
"""Limits for the variants of BMP and PPM that Pillow decodes value by value in Python."""
_SCANS_OF_ANY_MAX = 1000
_VALUES_MAX = 2**20
_TILE_PIXELS_MAX = 2**24

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_END = b"\xff\xd9"
_JPEG_KEPT = {0xE0, 0xEE}
"""Application segments that are kept: JFIF and Adobe, which define the colours."""
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")
_ORIENTATION = 0x0112
_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_TIFF_BYTES = (1, 2, 6, 7)
_STRIPS, _TILES, _TILE_WIDTH, _TILE_LENGTH = 273, 324, 322, 323


class Checked(NamedTuple):
    """A file whose headers were checked.

    Attributes:
        data: the bytes to decode.
        turn: the EXIF orientation; 0 if there is none.
        ended: False for a JPEG without an end mark, which was added to ``data``. Its last pixels may be missing.
    """

    data: bytes
    turn: int = 0
    ended: bool = True


def check_and_strip(data: bytes, name: str) -> Checked:
    """Return the bytes to decode, and what the headers say.

    Raises:
        DataError: decoding would cost far more than for any normal image of this size.
    """
    try:
        if data.startswith(b"\xff\xd8"):
            return _jpeg(data, name)
        if data.startswith(_PNG):
            return _png(data, name)
        if re.match(rb"(II|MM)(\0\*|\*\0|\+\0)", data):
            _tiff(data, name)
        elif data.startswith(b"MM\0+"):  # Pillow and libtiff interpret this header differently
            raise _costly(name)
        elif data.startswith((b"GIF87a", b"GIF89a")):
            _gif(data, name)
        elif data.startswith(b"BM"):
            _bmp(data, name)
        elif re.match(rb"P[0-6fFy]", data):
            _ppm(data, name)
    except (struct.error, IndexError):  # a truncated header, which the decoder reports
        pass
    return Checked(data)


def orientation(exif: bytes) -> int:
    """Return the orientation in an EXIF block, 0 if there is none; nothing else of the block is read."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return 0
    try:
        (start,) = struct.unpack_from(f"{order}L", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for at in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", exif, at)
            if tag == _ORIENTATION:
                return struct.unpack_from(f"{order}{'L' if kind == 4 else 'H'}", exif, at + 8)[0]
    except struct.error:
        pass
    return 0


def _costly(name: str) -> DataError:
    return DataError(f"{name} would take far too long to decode: save it again as JPEG or PNG.")


def _jpeg(data: bytes, name: str) -> Checked:
    """Return a JPEG without its metadata, which may be longer than the image, and count its scans."""
    kept: list[bytes | memoryview] = [b"\xff\xd8"]
    view, turn, pixels, scans, at = memoryview(data), 0, 0, 0, 2
    exif = False  # whether the first EXIF block was found; later ones are ignored
    for _ in range(PIECES_MAX):
        found = _MARKER.search(data, at)
        if scans and found is None:
            last = bytes(kept[-1]).removesuffix(b"\xff")
            return Checked(b"".join([*kept[:-1], last, _END]), turn, ended=False)
        if found is None or found[1] == _END[1:]:
            return Checked(b"".join(kept) if scans else data, turn)
        marker, start = found[1][0], found.end()
        if marker in (0x01, 0xD8):
            at = start
            continue
        (length,) = struct.unpack_from(">H", data, start) if start + 2 <= len(data) else (2,)
        at = start + max(2, length)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and start + 7 <= len(data):
            height, width = struct.unpack_from(">HH", data, start + 3)
            pixels = max(pixels, width * height)
        if marker == 0xDA:
            scans += 1
            if scans == 1:
                kept.append(view[found.start() :])  # the rest of the file
            if scans * pixels > SCANS_MAX or scans > _SCANS_OF_ANY_MAX:
                break
        elif not scans:
            body = data[start + 2 : at]
            if marker == 0xE1 and not turn:
                if not body.startswith(b"Exif\0\0"):
                    turn = _turn_of_xmp(body)
                elif not exif:
                    exif, turn = True, orientation(body)
            if marker in _JPEG_KEPT or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
                kept.append(view[found.start() : at])
    raise _costly(name)


def _turn_of_xmp(body: bytes) -> int:
    found = re.search(rb'tiff:Orientation(?:="|>)([1-8])', body)
    return int(found[1]) if found else 0


def _png(data: bytes, name: str) -> Checked:
    """Return a PNG without texts and profiles, which may expand to gigabytes, and without animation frames."""
    kept: list[bytes | memoryview] = [_PNG]
    view, exif, at = memoryview(data), b"", len(_PNG)
    for _ in range(PIECES_MAX):
        if at + 8 > len(data):
            break
        length, kind = struct.unpack_from(">L4s", data, at)
        if kind in _PNG_KEPT:
            kept.append(view[at : at + 12 + length])
        elif kind == b"eXIf" and not exif:
            exif = data[at + 8 : at + 8 + length]
        at += 12 + length
        if kind == b"IEND":
            break
    else:
        raise _costly(name)
    return Checked(b"".join(kept), orientation(exif))


def _tiff(data: bytes, name: str) -> None:
    """Check the first directory for tables that would fill the memory and for tiles larger than an image."""
    order, big = ("<" if data[:2] == b"II" else ">"), b"+" in data[2:4]
    (start,) = struct.unpack_from(f"{order}Q", data, 8) if big else struct.unpack_from(f"{order}L", data, 4)
    (count,) = struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, start)
    head, entry, value = (8, f"{order}HHQ", 12) if big else (2, f"{order}HHL", 8)
    size = 2 * value - 4
    if count > 2**16:
        raise _costly(name)
    total, tile = 0, {_TILE_WIDTH: 0, _TILE_LENGTH: 0}
    for at in range(start + head, start + head + size * count, size):
        tag, kind, number = struct.unpack_from(entry, data, at)
        total += number * _TIFF_SIZES.get(kind, 1)
        if tag in tile:
            found = struct.unpack_from(f"{order}{'H' if kind == 3 else 'L'}", data, at + value)[0]
            tile[tag] = max(tile[tag], found)
        if (
            total > 2 * len(data) + 2**20
            or (kind not in _TIFF_BYTES and number > _VALUES_MAX)
            or (tag in (_STRIPS, _TILES) and number > PIECES_MAX)
            or tile[_TILE_WIDTH] * tile[_TILE_LENGTH] > _TILE_PIXELS_MAX
        ):
            raise _costly(name)


def _gif(data: bytes, name: str) -> None:
    """Check the number of blocks before the first image, each of which is read separately."""
    flags = data[10]
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    for _ in range(PIECES_MAX):
        if data[at] != 0x21:  # not an extension
            return
        at += 2
        while size := data[at]:
            at += 1 + size
            if at > 2**20 * 8:
                raise _costly(name)
        at += 1
    raise _costly(name)


def _bmp(data: bytes, name: str) -> None:
    size, width, height = struct.unpack_from("<Lll", data, 14)
    run_length = size >= 40 and struct.unpack_from("<L", data, 30)[0] in (1, 2)
    if run_length and (len(data) > SLOW_BYTES_MAX or abs(width * height) > SLOW_PIXELS_MAX):
        raise _costly(name)


def _ppm(data: bytes, name: str) -> None:
    kind, head = data[1:2], data[2 : 2**16]
    tokens = re.sub(rb"#[^\r\n]*", b" ", head).split(maxsplit=4)
    if len(tokens) < (2 if kind in b"14" else 3):  # Pillow would read an endless comment byte by byte
        raise DataError(f"{name} is a damaged image and cannot be decoded.")
    raw = kind in b"4fF" or (kind in b"56" and tokens[2] == b"255") or (kind == b"5" and tokens[2] == b"65535")
    if not raw and len(data) > SLOW_BYTES_MAX:
        raise _costly(name)
