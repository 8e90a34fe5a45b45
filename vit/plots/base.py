"""Shared parts of the Plotly figures: the layout, the colour scale and escaped text."""

from html import escape
from typing import Any

import plotly.graph_objects as go

from vit.pictures.colours import SEQUENTIAL
from vit.support.untrusted_text import lines_of, shown

SCALE = [[index / (len(SEQUENTIAL) - 1), colour] for index, colour in enumerate(SEQUENTIAL)]
"""Colour scale of amounts, in Plotly's format."""

NAME_COLUMNS = 26
HOVER_COLUMNS, HOVER_LINES = 48, 8

_BARE = {"margin": {"l": 0, "r": 0, "t": 8, "b": 0}, "showlegend": False, "dragmode": False}


def figure(traces: list[dict], **layout: Any) -> go.Figure:
    """Build a figure from plain dicts, which is about 40 times as fast as Plotly Express.

    Labels of an axis that do not fit yet stay: margins are 0 until the labels are measured, and if a browser hid all of
    them in between, it would place the title of the axis at minus infinity.
    """
    axes = {
        name: {"ticklabeloverflow": "allow", **axis}
        for name, axis in layout.items()
        if name.startswith(("xaxis", "yaxis"))
    }
    return go.Figure({"data": traces, "layout": {**_BARE, **layout, **axes}}, skip_invalid=True)


def escaped(text: object, most: int | None = None) -> str:
    """Escape text so that Plotly shows it unchanged: HTML, ``%{...}`` templates and formulas in ``$``.

    Args:
        text: any object, shown as its string.
        most: number of columns; a longer text is shortened in the middle with an ellipsis.
    """
    return _quoted(shown(text, most))


def short_name(name: object) -> str:
    """Escape a name and shorten it to fit beside an axis or in a legend."""
    return escaped(name, NAME_COLUMNS)


def hover_name(name: object) -> str:
    """Escape a name for hover text and break it into lines; only extremely long names are shortened."""
    return "<br>".join(map(_quoted, lines_of(name, HOVER_COLUMNS, HOVER_LINES)))


def _quoted(text: str) -> str:
    return escape(text).replace("$", "&#36;").replace("%", "&#37;")
