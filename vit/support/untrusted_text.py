"""Text from elsewhere on a screen: what people called classes, files and runs, harmless there and as they wrote it.

Names are kept as they are; they are made fit only where they are shown. :func:`shown` holds what is true of every
screen, and each medium adds its own quoting: :func:`as_html` here, Plotly in :mod:`vit.plots.base`, Markdown with the
pages. Nothing in a name is ever taken for a path: folders and files get theirs from :mod:`vit.data.files.zips`.
"""

import re
import unicodedata
from html import escape

from vit.errors import SettingsError

MARKS_MAX = 4
"""Accents on one letter; a tower of them would cover the lines around it."""

CLASS_NAME_MAX = 1000
"""Characters of a class's name; a folder's has 255 bytes at most."""

UNSHOWABLE = "\ufffd"
_JOINERS = "\u200c\u200d"  # which Persian, and families of emoji, are written with
_NO_FORMULA = "\u2060"
_ISOLATE, _END = "\u2068", "\u2069"
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_PLAIN_ASCII = re.compile(r"[ -~]*")


def shown(text: object, most: int | None = None) -> str:
    """A text in one line, without what would act on the text around it.

    Control characters are replaced, invisible ones and those that turn the writing direction dropped, accents bounded.
    What is written from right to left is isolated, so that it does not change places with a number beside it.

    Args:
        most: columns of a fixed-width font; in a longer text the middle gives way to an ellipsis.
    """
    line = _line(text, most)
    if any(it > "\u0590" and unicodedata.bidirectional(it) in ("R", "AL", "AN") for it in line):
        return f"{_ISOLATE}{line}{_END}"
    return line


def bare(text: object, most: int | None = None) -> str:
    """:func:`shown` for what knows nothing of writing direction and joined characters: pictures and terminals."""
    return _line(text, most).translate(dict.fromkeys(map(ord, _JOINERS)))


def on_terminal(text: object) -> str:
    """A text of several lines, without what a terminal would take for a command."""
    return "\n".join(_tamed(line) for line in str(text).replace("\r\n", "\n").split("\n"))


def as_html(text: object, most: int | None = None) -> str:
    """:func:`shown`, in HTML: as the content of an element, or of an attribute in quotes."""
    return escape(shown(text, most))


def as_markdown(text: object, most: int | None = None) -> str:
    """:func:`shown`, in Markdown that HTML may stand in, as hubs and forges show it."""
    escaped = re.sub(r"([\\`*_{}\[\]()#+\-.!|$~^=:@])", r"\\\1", escape(shown(text, most), quote=False))
    # An unseen joiner keeps addresses from becoming links, which escapes do not.
    return re.sub(r"(www(?=\\\.)|\\[:@])", "\\1\u2060", escaped, flags=re.IGNORECASE)


def in_cell(text: object) -> str:
    """:func:`shown` in a table that a spreadsheet may open: an unseen mark keeps it from being taken for a formula."""
    line = shown(text)
    return _NO_FORMULA + line if is_formula(line) else line


def is_formula(text: str) -> bool:
    """Whether a spreadsheet would take a text for a formula, which may call programs."""
    return text.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


def lines_of(text: object, width: int, most: int) -> list[str]:
    """:func:`shown` in ``most`` lines of ``width`` columns, broken at spaces where there are any."""
    left, lines = _line(text, width * most), []
    while left:
        cut = max(1, _fitting(left, width))
        space = left.rfind(" ", 0, cut + 1) if cut < len(left) else -1
        cut = space if space > 0 else cut
        lines.append(shown(left[:cut]))
        left = left[cut:].strip()
    return lines


def is_reserved(text: str) -> bool:
    """Whether Windows gives the name to a device, so that no file or folder there can have it."""
    return _DEVICE.fullmatch(text) is not None


def is_unicode(text: str) -> bool:
    """Whether a text is characters alone; a file's name may hold bytes that are none."""
    return not any("\ud800" <= it <= "\udfff" for it in text)


def check_unicode(text: str) -> str:
    """The text itself, where it can be written into a file.

    Raises:
        SettingsError: it is not characters alone.
    """
    if not is_unicode(text):
        raise SettingsError(f"The name {text[:60]!r} is not in UTF-8: rename it.")
    return text


def check_classes(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names themselves, where classes can be called so.

    Raises:
        SettingsError: one is not characters alone, empty or endless, or two are the same.
    """
    seen: set[str] = set()
    for name in map(check_unicode, names):
        if not 1 <= len(name) <= CLASS_NAME_MAX:
            raise SettingsError(f"A class cannot be called {name[:60]!r}: take 1 to {CLASS_NAME_MAX} characters.")
        if name in seen:
            raise SettingsError(f"The class {name[:60]!r} stands twice in class_names: call one of the two otherwise.")
        seen.add(name)
    return names


def columns(text: str) -> int:
    """How many columns of a fixed-width font a text takes: Chinese characters and emoji are two wide, accents none."""
    return sum(map(_width, text))


def _line(text: object, most: int | None) -> str:
    line = " ".join(str(text).split())
    if not _PLAIN_ASCII.fullmatch(line):
        line = _tamed(line).strip(" " + _JOINERS) or UNSHOWABLE
    return line if most is None else _shortened(line, most)


def _tamed(line: str) -> str:
    kept, marks = [], 0
    for it in line:
        kind = unicodedata.category(it)
        if kind in ("Cc", "Cs") and it != "\t":  # Cs: half a character
            it = UNSHOWABLE
        elif kind == "Cf" and it not in _JOINERS:
            continue
        marks = marks + 1 if kind in ("Mn", "Me") or it in _JOINERS else 0
        if marks <= MARKS_MAX:
            kept.append(it)
    return "".join(kept)


def _shortened(line: str, most: int) -> str:
    if columns(line) <= most:
        return line
    head = line[: _fitting(line, (most - 1) - (most - 1) // 3)]
    tail = line[len(line) - _fitting(line[::-1], (most - 1) // 3) :]
    while tail and _width(tail[0]) == 0:  # an accent without its letter
        tail = tail[1:]
    return f"{head.rstrip(' ' + _JOINERS)}…{tail.lstrip()}"


def _fitting(line: str, most: int) -> int:
    """How many characters of the beginning fit."""
    width = 0
    for place, it in enumerate(line):
        width += _width(it)
        if width > most:
            return place
    return len(line)


def _width(it: str) -> int:
    if it in _JOINERS or unicodedata.category(it) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(it) in "WF" else 1
