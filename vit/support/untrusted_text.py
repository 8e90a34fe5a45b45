"""Escape untrusted names of classes, files and runs for HTML, Markdown, terminals and tables.

Names are stored unchanged and escaped only where they are shown. :func:`shown` does what every screen needs, and each
medium adds its own escapes: :func:`as_html` and :func:`as_markdown` here, Plotly in :mod:`vit.plots.base`. No name is
used as a path; :mod:`vit.data.files.zips` makes safe names for folders and files.
"""

import re
import unicodedata
from html import escape

from vit.errors import SettingsError

MARKS_MAX = 4
"""Accents on one letter; more of them would cover the lines above and below."""

CLASS_NAME_MAX = 1000
"""Characters of a class name."""

UNSHOWABLE = "\ufffd"
_JOINERS = "\u200c\u200d"  # used in Persian and in composed emoji
_NO_FORMULA = "\u2060"
_ISOLATE, _END = "\u2068", "\u2069"
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_PLAIN_ASCII = re.compile(r"[ -~]*")


def shown(text: object, most: int | None = None) -> str:
    """Return a text in one line, without characters that affect the text around it.

    Control characters are replaced, invisible characters and changes of the writing direction are removed, and accents
    are limited. Right-to-left text is isolated, so that a number next to it does not move.

    Args:
        text: the untrusted text.
        most: columns of a fixed-width font; the middle of a longer text is replaced by an ellipsis.
    """
    line = _line(text, most)
    if any(it > "\u0590" and unicodedata.bidirectional(it) in ("R", "AL", "AN") for it in line):
        return f"{_ISOLATE}{line}{_END}"
    return line


def bare(text: object, most: int | None = None) -> str:
    """Return :func:`shown` for images and terminals, which do not support writing direction and joined characters."""
    return _line(text, most).translate(dict.fromkeys(map(ord, _JOINERS)))


def on_terminal(text: object) -> str:
    """Return a text of several lines without terminal control sequences."""
    return "\n".join(_tamed(line) for line in str(text).replace("\r\n", "\n").split("\n"))


def as_html(text: object, most: int | None = None) -> str:
    """Return :func:`shown` for HTML: the content of an element or of a quoted attribute."""
    return escape(shown(text, most))


def as_markdown(text: object, most: int | None = None) -> str:
    """Return :func:`shown` for Markdown that allows HTML, as on GitHub or Hugging Face."""
    escaped = re.sub(r"([\\`*_{}\[\]()#+\-.!|$~^=:@])", r"\\\1", escape(shown(text, most), quote=False))
    # Escapes do not keep addresses from becoming links; an invisible joiner does.
    return re.sub(r"(www(?=\\\.)|\\[:@])", "\\1\u2060", escaped, flags=re.IGNORECASE)


def in_cell(text: object) -> str:
    """Return :func:`shown` for a table cell; an invisible character keeps spreadsheets from running it as a formula."""
    line = shown(text)
    return _NO_FORMULA + line if is_formula(line) else line


def is_formula(text: str) -> bool:
    """Return whether a spreadsheet would treat a text as a formula, which may call programs."""
    return text.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


def lines_of(text: object, width: int, most: int) -> list[str]:
    """Return :func:`shown` in at most ``most`` lines of ``width`` columns, broken at spaces if possible."""
    left, lines = _line(text, width * most), []
    while left:
        cut = max(1, _fitting(left, width))
        space = left.rfind(" ", 0, cut + 1) if cut < len(left) else -1
        cut = space if space > 0 else cut
        lines.append(shown(left[:cut]))
        left = left[cut:].strip()
    return lines


def is_reserved(text: str) -> bool:
    """Return whether Windows reserves the name for a device, so that no file or folder can have it."""
    return _DEVICE.fullmatch(text) is not None


def is_unicode(text: str) -> bool:
    """Return whether a text is valid Unicode; the name of a file may contain bytes that are not."""
    return not any("\ud800" <= it <= "\udfff" for it in text)


def check_unicode(text: str) -> str:
    """Return the text if it is valid Unicode.

    Raises:
        SettingsError: it is not.
    """
    if not is_unicode(text):
        raise SettingsError(f"The name {text[:60]!r} is not in UTF-8: rename it.")
    return text


def check_classes(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names if they are valid class names.

    Raises:
        SettingsError: a name is not valid Unicode, empty or too long, or two names are the same.
    """
    seen: set[str] = set()
    for name in map(check_unicode, names):
        if not 1 <= len(name) <= CLASS_NAME_MAX:
            raise SettingsError(f"A class cannot be called {name[:60]!r}: use 1 to {CLASS_NAME_MAX} characters.")
        if name in seen:
            raise SettingsError(f"The class {name[:60]!r} is twice in class_names: rename one of the two.")
        seen.add(name)
    return names


def columns(text: str) -> int:
    """Return the width of a text in columns of a fixed-width font: 2 for Chinese and emoji, 0 for accents."""
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
        if kind in ("Cc", "Cs") and it != "\t":  # Cs: half of a surrogate pair
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
    while tail and _width(tail[0]) == 0:  # an accent that has lost its letter
        tail = tail[1:]
    return f"{head.rstrip(' ' + _JOINERS)}…{tail.lstrip()}"


def _fitting(line: str, most: int) -> int:
    """Return how many characters of the beginning fit into ``most`` columns."""
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
