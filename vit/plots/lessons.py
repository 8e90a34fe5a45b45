"""Figures of the lessons: what was measured from several seeds, and a person's own runs beside it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from vit.pictures.colours import PALETTE
from vit.plots.base import figure, literal, told

MEASURED, YOURS, KNOWS_NOTHING = "Measured", "Yours", "A map that knows nothing"
_ROW = 44  # pixels of a line
_LEGEND = {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "xanchor": "left"}
_SERIES = (("blue", "circle"), ("orange", "square"), ("green", "triangle-up"))


class Own(NamedTuple):
    """One run of a person: its name and what it reached."""

    name: str
    value: float


class Dot(NamedTuple):
    """One line of :func:`measured_dots`, or one point of :func:`measured_lines`.

    Attributes:
        low, high: the range over seeds.
        own: a person's runs of the same settings.
        chance: whether it knows nothing.
    """

    title: str
    mean: float
    low: float
    high: float
    own: Sequence[Own] = ()
    chance: bool = False


def measured_dots(dots: Sequence[Dot], *, quantity: str, form: str = ".0%", guessing: float | None = None) -> go.Figure:
    """A line for each thing that was measured, the first on top: mean, range over seeds, and a person's own runs.

    Args:
        quantity: what is measured, with its unit.
        form: of a number, in d3's notation.
        guessing: where a guess without looking would stand; a dotted line.
    """
    traces = []
    for name, chance, colour, symbol in (
        (MEASURED, False, "blue", "circle"),
        (KNOWS_NOTHING, True, "grey", "square"),
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
                "y": [literal(dot.title) for dot in shown],
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
                "y": [literal(dot.title) for dot, _ in own],
                "marker": {"size": 11, "symbol": "diamond-open", "color": PALETTE["vermilion"], "line": {"width": 2}},
                "customdata": [told(run.name) for _, run in own],
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
            "title": {"text": literal(quantity)},
            "tickformat": form,
            "range": [min(ends) - pad, max(ends) + pad],
            "fixedrange": True,
            "zeroline": False,
        },
        yaxis={
            "autorange": "reversed",
            "fixedrange": True,
            "automargin": True,
            "categoryarray": [literal(dot.title) for dot in dots],
        },
    )


def measured_lines(
    series: Mapping[str, Mapping[int, Dot]], *, quantity: str, across: str, form: str = ".0%"
) -> go.Figure:
    """A line for each thing that was measured at several amounts, the range over seeds at each, own runs as outlines.

    Args:
        series: by title, then by amount; amounts stand at equal distances.
        across: what the amounts are.
    """
    traces = []
    for (title, points), (colour, symbol) in zip(series.items(), _SERIES, strict=False):
        places = [f"{amount:,}" for amount in points]
        dots = list(points.values())
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": literal(title),
                "x": places,
                "y": [dot.mean for dot in dots],
                "error_y": _range(dots) | {"color": PALETTE[colour]},
                "marker": {"size": 10, "symbol": symbol},
                "line": {"color": PALETTE[colour]},
                "hovertemplate": f"{literal(title)}, %{{x}}: %{{y:{form}}}<extra></extra>",
            }
        )
        own = [(place, run) for place, dot in zip(places, dots, strict=True) for run in dot.own]
        if own:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": literal(f"{YOURS}: {title}"),
                    "x": [place for place, _ in own],
                    "y": [run.value for _, run in own],
                    "marker": {"size": 13, "symbol": f"{symbol}-open", "color": PALETTE[colour], "line": {"width": 2}},
                    "customdata": [told(run.name) for _, run in own],
                    "hovertemplate": f"%{{customdata}}: %{{y:{form}}}<extra></extra>",
                }
            )
    return figure(
        traces,
        height=360,
        margin={"l": 0, "r": 24, "t": 8, "b": 0},
        showlegend=True,
        legend=_LEGEND,
        xaxis={"title": {"text": literal(across)}, "type": "category", "fixedrange": True},
        yaxis={"title": {"text": literal(quantity)}, "tickformat": form, "fixedrange": True, "zeroline": False},
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
    """A dotted line, and its name at the foot of it."""
    grey = PALETTE["grey"]
    line = {"type": "line", "x0": at, "x1": at, "yref": "paper", "y0": 0, "y1": 1}
    words = {"x": at, "yref": "paper", "y": 0, "text": "guessing", "font": {"color": grey}, "showarrow": False}
    return (
        [line | {"line": {"color": grey, "dash": "dot", "width": 1.5}}],
        [words | {"xanchor": "left", "yanchor": "bottom", "xshift": 4}],
    )
