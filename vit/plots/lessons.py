"""Figures of the lessons: measurements over several seeds, and the visitor's own runs."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from vit.pictures.colours import PALETTE
from vit.plots.base import escaped, figure, hover_name

MEASURED, YOURS, CONTROL = "Measured", "Your runs", "Control map"
_ROW = 44  # pixels of a row
_LEGEND = {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "xanchor": "left"}
_SERIES = (("blue", "circle"), ("orange", "square"), ("green", "triangle-up"))


class Own(NamedTuple):
    """A run of the visitor: its name and its value."""

    name: str
    value: float


class Dot(NamedTuple):
    """One row of :func:`measured_dots`, or one point of :func:`measured_lines`.

    Attributes:
        title: the name of the row.
        mean: mean over seeds.
        low: smallest value over seeds.
        high: largest value over seeds.
        own: the visitor's runs with the same settings.
        chance: whether it is a control map.
    """

    title: str
    mean: float
    low: float
    high: float
    own: Sequence[Own] = ()
    chance: bool = False


def measured_dots(dots: Sequence[Dot], *, quantity: str, form: str = ".0%", guessing: float | None = None) -> go.Figure:
    """Draw one row per measurement, the first on top: mean, range over seeds, and the visitor's own runs.

    Args:
        dots: the rows.
        quantity: title of the horizontal axis, with the unit.
        form: d3 format of the values.
        guessing: the value of random guessing, drawn as a dotted line.
    """
    traces = []
    for name, chance, colour, symbol in (
        (MEASURED, False, "blue", "circle"),
        (CONTROL, True, "grey", "square"),
    ):
        shown = [dot for dot in dots if dot.chance is chance]
        if not shown:
            continue
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [dot.mean for dot in shown],
                "y": [escaped(dot.title) for dot in shown],
                "error_x": _range(shown) | {"color": PALETTE[colour]},
                "marker": {"size": 11, "symbol": symbol, "color": PALETTE[colour]},
                "hovertemplate": f"%{{y}}: %{{x:{form}}}<extra></extra>",
            }
        )
    own = [(dot, run) for dot in dots for run in dot.own]
    if own:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": YOURS,
                "x": [run.value for _, run in own],
                "y": [escaped(dot.title) for dot, _ in own],
                "marker": {"size": 11, "symbol": "diamond-open", "color": PALETTE["vermilion"], "line": {"width": 2}},
                "customdata": [hover_name(run.name) for _, run in own],
                "hovertemplate": f"%{{customdata}}: %{{x:{form}}}<extra></extra>",
            }
        )
    line, words = ([], []) if guessing is None else _guessing(guessing)
    ends = [end for dot in dots for end in (dot.low, dot.high, *(run.value for run in dot.own))]
    ends += [] if guessing is None else [guessing]
    pad = 0.06 * (max(ends) - min(ends)) or 0.05
    return figure(
        traces,
        height=70 + _ROW * len(dots),
        margin={"l": 0, "r": 24, "t": 8, "b": 0},
        showlegend=len(traces) > 1,
        legend=_LEGEND,
        shapes=line,
        annotations=words,
        xaxis={
            "title": {"text": escaped(quantity)},
            "tickformat": form,
            "range": [min(ends) - pad, max(ends) + pad],
            "fixedrange": True,
            "zeroline": False,
        },
        yaxis={
            "autorange": "reversed",
            "fixedrange": True,
            "automargin": True,
            "categoryarray": [escaped(dot.title) for dot in dots],
        },
    )


def measured_lines(
    series: Mapping[str, Mapping[int, Dot]], *, quantity: str, across: str, form: str = ".0%"
) -> go.Figure:
    """Draw a line for each series with the range over seeds at each amount, and the visitor's runs as outlines.

    Args:
        series: points by title, then by amount; amounts are drawn at equal distances.
        quantity: title of the vertical axis.
        across: title of the horizontal axis.
        form: d3 format of the values.
    """
    traces = []
    for (title, points), (colour, symbol) in zip(series.items(), _SERIES, strict=False):
        places = [f"{amount:,}" for amount in points]
        dots = list(points.values())
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": escaped(title),
                "x": places,
                "y": [dot.mean for dot in dots],
                "error_y": _range(dots) | {"color": PALETTE[colour]},
                "marker": {"size": 10, "symbol": symbol},
                "line": {"color": PALETTE[colour]},
                "hovertemplate": f"{escaped(title)}, %{{x}}: %{{y:{form}}}<extra></extra>",
            }
        )
        own = [(place, run) for place, dot in zip(places, dots, strict=True) for run in dot.own]
        if own:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": escaped(f"{YOURS}: {title}"),
                    "x": [place for place, _ in own],
                    "y": [run.value for _, run in own],
                    "marker": {"size": 13, "symbol": f"{symbol}-open", "color": PALETTE[colour], "line": {"width": 2}},
                    "customdata": [hover_name(run.name) for _, run in own],
                    "hovertemplate": f"%{{customdata}}: %{{y:{form}}}<extra></extra>",
                }
            )
    return figure(
        traces,
        height=360,
        margin={"l": 0, "r": 24, "t": 8, "b": 0},
        showlegend=True,
        legend=_LEGEND,
        xaxis={"title": {"text": escaped(across)}, "type": "category", "fixedrange": True},
        yaxis={"title": {"text": escaped(quantity)}, "tickformat": form, "fixedrange": True, "zeroline": False},
    )


def _range(dots: Sequence[Dot]) -> dict:
    return {
        "type": "data",
        "symmetric": False,
        "array": [dot.high - dot.mean for dot in dots],
        "arrayminus": [dot.mean - dot.low for dot in dots],
        "thickness": 2,
        "width": 6,
    }


def _guessing(at: float) -> tuple[list[dict], list[dict]]:
    """Return a dotted line and its label."""
    grey = PALETTE["grey"]
    line = {"type": "line", "x0": at, "x1": at, "yref": "paper", "y0": 0, "y1": 1}
    words = {"x": at, "yref": "paper", "y": 0, "text": "random guessing", "font": {"color": grey}, "showarrow": False}
    return (
        [line | {"line": {"color": grey, "dash": "dot", "width": 1.5}}],
        [words | {"xanchor": "left", "yanchor": "bottom", "xshift": 4}],
    )
