"""Read the names of zip entries: in UTF-8 where the bytes are UTF-8, else in the code page of the packing program.

An entry says that its name is in UTF-8 by a flag (bit 11) or by the Unicode path field 0x7075 (APPNOTE 4.6.9).
Programs on Linux and macOS write UTF-8 without either. Old programs on Windows write the code page of the system,
which the file does not name, so it is guessed from all such names together.
"""

import logging
import struct
import zipfile
import zlib
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

UTF8_FLAG = 0x800
_UNICODE_PATH = 0x7075
_STANDARD = "cp437"
_PAGES = {
    "gb18030": "Chinese",
    "cp932": "Japanese",
    "cp949": "Korean",
    "big5": "traditional Chinese",
    "cp866": "Cyrillic, DOS",
    "cp1251": "Cyrillic, Windows",
    "cp437": "Latin, DOS",
    "cp1252": "Latin, Windows",
    "cp852": "Central European, DOS",
    "cp1250": "Central European, Windows",
    "cp737": "Greek, DOS",
    "cp1253": "Greek, Windows",
    "cp862": "Hebrew, DOS",
    "cp1255": "Hebrew, Windows",
    "cp1256": "Arabic, Windows",
    "cp874": "Thai",
}
"""The code pages that are considered. Of pages that fit equally well, the first one is chosen."""
_COMMON = {
    "gb18030": (("gb2312", 0xB0A1, 0xD7F9),),
    "cp932": (("cp932", 0x829F, 0x8396), ("cp932", 0x889F, 0x9872)),
    "cp949": (("euc_kr", 0xB0A1, 0xC8FE),),
    "big5": (("big5", 0xA440, 0xC67E),),
}
"""The ranges of codes with the frequent characters of the East Asian pages (level 1 of their standards)."""
_ACCENTED_MAX = 0.5
"""Largest share of letters beyond ASCII in names of a Latin alphabet."""
_BYTES = 20_000
"""Bytes of names that the guess looks at."""
_CLOSE = 0.1
_UNRANKED = 0.2
"""Disorder of a page that charset-normalizer does not rank."""


class Names(NamedTuple):
    """The names of the entries of a zip, in their order, and a sentence about a guess; empty if nothing was guessed."""

    names: list[str]
    remark: str


def read_names(infos: Iterable[zipfile.ZipInfo]) -> Names:
    """Return the names of the entries of a zip."""
    found = [_known(info) for info in infos]
    unknown = [name for name in found if isinstance(name, bytes)]
    page = _guess(unknown) if unknown else _STANDARD
    names = [name if isinstance(name, str) else name.decode(page, "replace") for name in found]
    if page == _STANDARD:
        return Names(names, "")
    example = next(read for raw, read in zip(found, names, strict=True) if isinstance(raw, bytes)).rstrip("/")
    return Names(
        names,
        f"The zip does not say how its names are written: they are read as {_PAGES[page]} ({page}), such as "
        f"{example[-60:]}.",
    )


def _known(info: zipfile.ZipInfo) -> str | bytes:
    """Return the name of an entry, or its bytes if their encoding is not known."""
    name = info.orig_filename.partition("\0")[0]
    if name.isascii():
        raw = name.encode()
    elif info.flag_bits & UTF8_FLAG:
        return name
    else:
        raw = name.encode(_STANDARD)  # zipfile decodes all names without the flag so
    if (own := _unicode_path(info.extra, raw)) is not None:
        return own
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _unicode_path(extra: bytes, raw: bytes) -> str | None:
    """Return the name in the field 0x7075; None if there is none, or if it belongs to another name."""
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        body = extra[at + 4 : at + 4 + size]
        if kind == _UNICODE_PATH and len(body) > 5 and body[0] == 1:
            try:
                name = body[5:].decode().partition("\0")[0]
            except UnicodeDecodeError:
                return None
            return name if struct.unpack_from("<L", body, 1)[0] == zlib.crc32(raw) and name else None
        at += 4 + size
    return None


def _guess(names: list[bytes]) -> str:
    """Return the code page in which these names make most sense."""
    sample = b"\n".join(dict.fromkeys(part for name in names for part in name.split(b"/") if not part.isascii()))
    sample = sample[:_BYTES].rpartition(b"\n")[0] if len(sample) > _BYTES else sample
    if _sense(sample.decode(_STANDARD), _STANDARD) == 1:
        return _STANDARD
    from charset_normalizer import from_bytes

    logging.getLogger("charset_normalizer").setLevel(logging.ERROR)
    chaos = {match.encoding: match.chaos for match in from_bytes(sample, cp_isolation=list(_PAGES), threshold=0.5)}
    best = (0, 0.0, _STANDARD)
    for page in _PAGES:
        try:
            b"\n".join(names).decode(page)
        except UnicodeDecodeError:
            continue
        # How usual the characters are counts most, then how disordered charset-normalizer finds the text.
        found = (-round(_sense(sample.decode(page), page) / _CLOSE), round(chaos.get(page, _UNRANKED), 1), page)
        best = min(best, found, key=lambda item: item[:2])
    return best[2]


def _sense(text: str, page: str) -> float:
    """Return the share of the characters beyond ASCII that are usual for this page, from 0 to 1."""
    beyond = [character for character in text if not character.isascii()]
    if not beyond:
        return 0.0
    if page in _COMMON:
        return sum(_is_common(character, page) for character in beyond) / len(beyond)
    share = sum(_is_letter(character) for character in beyond) / len(beyond)
    if all(character < "\u0250" for character in beyond):
        ascii_letters = sum(character.isascii() and character.isalpha() for character in text)
        return share if len(beyond) <= _ACCENTED_MAX * (len(beyond) + ascii_letters) else share / 4
    alphabets = {_alphabet(character) for character in beyond if character.isalpha()}
    return share / len(alphabets or {0}) / (1 + _unlike_words(text))


def _is_letter(character: str) -> bool:
    return (character.isalpha() and character not in "ƒªº") or "\u0e31" <= character <= "\u0e4e"  # the marks of Thai


def _is_common(character: str, page: str) -> bool:
    for encoding, low, high in _COMMON[page]:
        try:
            code = int.from_bytes(character.encode(encoding), "big")
        except UnicodeEncodeError:
            continue
        if low <= code <= high:
            return True
    return False


def _alphabet(character: str) -> int:
    """Return a number for the block of letters: Latin, Greek, Cyrillic, Hebrew, Arabic, Thai or another."""
    ends = (0x250, 0x370, 0x400, 0x530, 0x590, 0x600, 0x700, 0xE00, 0xE80)
    return sum(ord(character) >= end for end in ends)


def _unlike_words(text: str) -> int:
    """Return how often a letter follows that does not occur in a word: a capital, or one of another alphabet."""
    pairs = [(a, b) for a, b in pairwise(text) if a.isalpha() and b.isalpha()]
    return sum(a.isascii() != b.isascii() or (a.islower() and b.isupper() and not a.isascii()) for a, b in pairs)
