"""Numbers and terms as text."""

from datetime import UTC, datetime

from vit.support.durations import duration
from vit.terms import GLOSSARY, heading


def about(seconds: float) -> str:
    """Return an estimated duration, rounded: "about 15 s", "about 4 min 30 s" or "about 2 h 5 min"."""
    step = 5 if seconds < 60 else 10 if seconds < 600 else 60
    return f"about {duration(max(step, step * round(seconds / step)))}"


def age(created: str, now: datetime) -> str:
    """Return the age of something, such as "3 days ago"; empty if the time is unknown or in the future.

    Args:
        created: an ISO time; without a time zone it is UTC.
        now: the present, with a time zone.
    """
    try:
        begun = datetime.fromisoformat(created)
    except ValueError:
        return ""
    seconds = (now - (begun if begun.tzinfo else begun.replace(tzinfo=UTC))).total_seconds()
    if seconds < 0:
        return ""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            number = int(seconds // length)
            return f"{number:,} {unit}{'s' if number > 1 else ''} ago"
    return "just now"


def count(number: float) -> str:
    """Return a number such as "940", "617 k" or "5.2 M"."""
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return f"{number:.0f}"


def quantity(number: int, thing: str, plural: str = "s") -> str:
    """Return a number with its noun, such as "1 head" or "1,200 heads"; ``plural`` is the ending of the plural."""
    return f"{number:,} {thing}{plural if number != 1 else ''}"


def size(number: float) -> str:
    """Return a number of bytes such as "640 MB" or "1.2 GB"."""
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{max(1, number / 1e6):.0f} MB"


def term(*names: str, here: str = "") -> str:
    """Return the explanations of glossary terms, for the ``help`` of a control, a heading or a caption.

    Args:
        names: terms of :data:`vit.terms.GLOSSARY`.
        here: text before the terms, which holds only for this control.
    """
    parts = [here] if here else []
    for name in names:
        words, formula = GLOSSARY[name]
        parts.append(f"**{heading(name)}**: {words}" + (f"  \n${formula}$" if formula else ""))
    return "\n\n".join(parts)
