"""Figures of faithfulness: deletion and insertion curves, and the advantage of methods over control maps."""

from collections.abc import Sequence
from itertools import cycle, groupby, product
from typing import Literal, NamedTuple

import numpy as np
import plotly.graph_objects as go

from vit.pictures.colours import PALETTE
from vit.plots.base import figure

CurveKind = Literal["deletion", "insertion"]
CurveRole = Literal["method", "chance", "untrained"]

_COLOURS = ("blue", "orange", "green", "vermilion", "sky", "purple")
_SYMBOLS = (("solid", "circle"), ("dash", "diamond"))  # used once all colours with the first style are taken
_CHANCE_DASHES = ("dash", "dashdot", "longdash")
_AXIS_TITLES: dict[CurveKind, str] = {
    "deletion": "Share of patches covered, most relevant first",
    "insertion": "Share of patches shown, most relevant first",
}
_SHARES = {
    "tickformat": ".0%",
    "tickvals": [0, 0.2, 0.4, 0.6, 0.8, 1],
    "range": [-0.01, 1.01],
    "fixedrange": True,
    "zeroline": False,
}
_MARGIN = {"l": 0, "r": 20, "t": 8, "b": 0}  # right: half of the last tick's label
_ROW = 20  # pixels of a line of the forest plot


class Curve(NamedTuple):
    """A mean curve over images, with the interval of each point.

    Attributes:
        title: name in the legend.
        role: a method, a control map, or a method with untrained weights.
        mean: ``(s)``.
        low: lower end of the interval, ``(s)``.
        high: upper end of the interval, ``(s)``.
    """

    title: str
    role: CurveRole
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Comparison(NamedTuple):
    """Mean advantage of a method over a control map on one measure, with its interval."""

    measure: str
    method: str
    against: str
    mean: float
    low: float
    high: float


def faithfulness_curves(curves: Sequence[Curve], shares: np.ndarray, kind: CurveKind) -> go.Figure:
    """Draw mean curves: methods in colour, control maps grey and dashed, untrained weights grey, thin and dotted.

    Args:
        curves: the curves, in the order of the legend.
        shares: ``(s)``, the share of patches at each point.
        kind: whether patches are covered or shown.
    """
    looks, dashes = cycle(product(_SYMBOLS, _COLOURS)), cycle(_CHANCE_DASHES)
    traces, named = [], False
    for curve in curves:
        untrained = curve.role == "untrained"
        if curve.role == "method":
            (dash, symbol), colour = next(looks)
            line: dict[str, object] = {"color": PALETTE[colour], "width": 2.5, "dash": dash}
        else:
            symbol = "circle"
            dots: dict[str, object] = {"width": 1, "dash": "dot"} if untrained else {"dash": next(dashes)}
            line = {"color": PALETTE["grey"]} | dots
        traces.append(
            {
                "type": "scatter",
                "mode": "lines" if untrained else "lines+markers",
                "name": "Methods with untrained weights" if untrained else curve.title,
                "legendgroup": curve.role if untrained else curve.title,
                "showlegend": not (untrained and named),
                "x": shares.tolist(),
                "y": np.asarray(curve.mean).tolist(),
                "line": line,
                "marker": {"size": 5, "symbol": symbol},
                "customdata": np.stack([curve.low, curve.high], axis=-1).tolist(),
                "hovertemplate": f"{curve.title}<br>%{{x:.0%}}: %{{y:.3f}} "
                "[%{customdata[0]:.3f}, %{customdata[1]:.3f}]<extra></extra>",
            }
        )
        named = named or untrained
    return figure(
        traces,
        height=520,
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        margin=_MARGIN,
        xaxis={**_SHARES, "title": {"text": _AXIS_TITLES[kind]}},
        yaxis={"title": {"text": "Mean probability of the class"}, "rangemode": "tozero", "fixedrange": True},
    )


def image_curve(shares: np.ndarray, probabilities: np.ndarray, kind: CurveKind) -> go.Figure:
    """Draw one image's curve, probabilities ``(s)`` over shares of patches ``(s)``, with the area under it filled."""
    trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": shares.tolist(),
        "y": np.asarray(probabilities).tolist(),
        "fill": "tozeroy",
        "line": {"color": PALETTE["blue"], "width": 2.5},
        "hovertemplate": "%{x:.0%}: %{y:.3f}<extra></extra>",
    }
    return figure(
        [trace],
        height=260,
        margin=_MARGIN,
        xaxis={**_SHARES, "title": {"text": _AXIS_TITLES[kind]}},
        yaxis={"title": {"text": "Probability of the class"}, "range": [0, 1.03], "fixedrange": True},
    )


def advantage_forest(comparisons: Sequence[Comparison]) -> go.Figure:
    """Draw the advantage of each method over its best control as a forest plot: mean, interval, and a line at zero.

    Args:
        comparisons: grouped by measure.
    """
    states = {
        "better than chance": ("green", "circle", lambda it: it.low > 0),
        "no better: the interval includes zero": ("grey", "circle-open", lambda it: it.low <= 0 <= it.high),
        "worse than the best control map": ("vermilion", "x", lambda it: it.high < 0),
    }
    places, ticks = [], []
    for measure, group in groupby(comparisons, key=lambda it: it.measure):
        ticks.append(f"<b>{measure}</b>")
        for it in group:
            places.append(len(ticks))
            ticks.append(it.method)
    traces = []
    for name, (colour, symbol, belongs) in states.items():
        chosen = [(place, it) for place, it in zip(places, comparisons, strict=True) if belongs(it)]
        means: list[float | None] = [it.mean for _, it in chosen]
        rows: list[int | None] = [place for place, _ in chosen]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": means or [None],  # a trace without points is missing from the legend
                "y": rows or [None],
                "marker": {
                    "color": PALETTE[colour],
                    "symbol": symbol,
                    "size": 10,
                    "line": {"width": 2 if symbol.endswith("open") else 0},
                },
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [it.high - it.mean for _, it in chosen],
                    "arrayminus": [it.mean - it.low for _, it in chosen],
                    "thickness": 2,
                    "width": 0,
                },
                "customdata": [[it.low, it.high, it.method, it.measure, it.against] for _, it in chosen],
                "hovertemplate": "%{customdata[2]}, %{customdata[3]}<br>%{x:+.3f} [%{customdata[0]:+.3f}, "
                "%{customdata[1]:+.3f}]<br>compared with: %{customdata[4]}<extra></extra>",
            }
        )
    return figure(
        traces,
        height=_ROW * len(ticks) + 110,
        showlegend=True,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        xaxis={
            "title": {"text": "Advantage over the best control map"},
            "zeroline": True,
            "zerolinewidth": 2,
            "zerolinecolor": PALETTE["grey"],
            "fixedrange": True,
        },
        yaxis={
            "tickvals": list(range(len(ticks))),
            "ticktext": ticks,
            "range": [len(ticks) - 0.5, -0.5],
            "fixedrange": True,
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
        },
    )
