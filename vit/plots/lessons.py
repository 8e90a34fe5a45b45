"""Figures of the lessons: measurements over several seeds, and the visitor's own runs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go

from vit.pictures.colours import PALETTE
from vit.plots.base import escaped, figure, hover_name
from vit.plots.curves import POINTS, POINTS_MAX, dataset, subsample

MEASURED, YOURS, CONTROL = "Measured", "Your runs", "Control map"
ACCURACY = "Accuracy on new scenes"
_ROW = 44  # pixels of a row
_STRIP_ROW = 46  # of accuracy_strip, whose axis and title take 60 more
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
        mean: the value, or the mean over seeds.
        low: lower end of its interval.
        high: upper end of its interval.
        own: the visitor's runs with the same settings.
        chance: whether it is a control map.
    """

    title: str
    mean: float
    low: float
    high: float
    own: Sequence[Own] = ()
    chance: bool = False


class Reached(NamedTuple):
    """The accuracy of one run in :func:`accuracy_strip`.

    Attributes:
        row: title of the row.
        label: name of the run.
        value: its accuracy.
        low: lower end of the interval; the accuracy itself without an interval.
        high: upper end of the interval.
        running: whether the run still trains.
        place: from 0 to 1, where the dot is within the height of the row.
    """

    row: str
    label: str
    value: float
    low: float
    high: float
    running: bool
    place: float = 0.5


def live_curves(histories: Mapping[str, Iterable[dict]], epochs: int) -> dict:
    """Return a Vega-Lite spec of the accuracy by epoch of a lesson's runs, on an axis of the planned length.

    Args:
        histories: the lines of ``metrics.jsonl`` of each run, by its title.
        epochs: the largest number of epochs of the runs.
    """
    colours = list(PALETTE.values())
    points = [
        {"x": line["epoch"], "value": line["val_accuracy"], "run": title}
        for title, lines in histories.items()
        for line in subsample([line for line in lines if line.get("event") == "epoch"], POINTS_MAX // len(histories))
        if line.get("val_accuracy") is not None
    ]
    return dataset(points) | {
        "height": 340,
        "mark": {"type": "line", "strokeWidth": 2, "point": {"size": 22, "filled": True}},
        "encoding": {
            "x": {
                "field": "x",
                "type": "quantitative",
                "title": "Epoch",
                "axis": {"tickMinStep": 1},
                "scale": {"domain": [0, epochs], "nice": False},
            },
            "y": {
                "field": "value",
                "type": "quantitative",
                "title": ACCURACY,
                "axis": {"format": "%"},
                "scale": {"domain": _from_zero("value"), "nice": True},
            },
            "color": {
                "field": "run",
                "type": "nominal",
                "title": None,
                "scale": {
                    "domain": list(histories),
                    "range": [colours[i % len(colours)] for i in range(len(histories))],
                },
                "legend": {"orient": "top", "columns": 2, "symbolType": "stroke", "labelLimit": 260},
            },
            "tooltip": [
                {"field": "run", "type": "nominal", "title": "Network"},
                {"field": "x", "type": "quantitative", "title": "Epoch"},
                {"field": "value", "type": "quantitative", "title": "Accuracy", "format": ".1%"},
            ],
        },
    }


def accuracy_strip(reached: Sequence[Reached], titles: Sequence[str], *, guessing: float) -> dict:
    """Return a Vega-Lite spec with a row per title and a dot per run, hollow while it trains, with its interval.

    Args:
        reached: the runs.
        titles: the rows, from top to bottom, those without a run too.
        guessing: the accuracy of random guessing, drawn as a dotted line.
    """
    points = [one._asdict() | {"state": "still training" if one.running else "ended"} for one in reached]
    row: dict[str, Any] = {
        "field": "row",
        "type": "nominal",
        "title": None,
        "scale": {"domain": list(titles)},
        "axis": {"labelExpr": "split(datum.label, ', ')", "labelLimit": 200, "ticks": False, "domain": False},
    }
    place = {"field": "place", "type": "quantitative", "scale": {"domain": [0, 1]}}
    accuracy = {
        "field": "value",
        "type": "quantitative",
        "title": ACCURACY,
        "axis": {"format": "%"},
        "scale": {"domain": _from_zero("high"), "nice": True},
    }
    tooltip = [
        {"field": "label", "type": "nominal", "title": "Run"},
        {"field": "row", "type": "nominal", "title": "Network"},
        {"field": "value", "type": "quantitative", "title": "Accuracy", "format": ".1%"},
        {"field": "state", "type": "nominal", "title": "State"},
    ]
    shared = {"y": row, "yOffset": place, "tooltip": tooltip}
    hollow = {"test": "datum.running", "value": "transparent"}
    colour = PALETTE["vermilion"]
    dot = {"type": "point", "shape": "circle", "size": 70, "stroke": colour, "strokeWidth": 2, "opacity": 1}
    return dataset(points) | {
        "height": _STRIP_ROW * len(titles) + 60,
        "layer": [
            {
                "mark": {"type": "rule", "color": PALETTE["grey"], "strokeDash": [2, 3], "aria": False},
                "encoding": {"x": {"datum": guessing, "type": "quantitative"}},
            },
            {
                "mark": {"type": "rule", "color": colour, "strokeWidth": 2},
                "encoding": shared | {"x": accuracy | {"field": "low"}, "x2": {"field": "high"}},
            },
            {
                "mark": dot,
                "encoding": shared | {"x": accuracy, "fill": {"condition": hollow, "value": colour}},
            },
        ],
    }


def measured_dots(dots: Sequence[Dot], *, quantity: str, form: str = ".0%", guessing: float | None = None) -> go.Figure:
    """Draw one row per measurement, the first on top: mean, interval, and the visitor's own runs.

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
    """Draw a line for each series with the interval at each amount, and the visitor's runs as outlines.

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


def _from_zero(field: str) -> list[Any]:
    """Return the domain of accuracies as an expression: from 0 to the largest one, and to a half at least."""
    largest = f"extent(pluck(data('{POINTS}'), '{field}'))[1]"
    return [0, {"expr": f"length(data('{POINTS}')) ? max(0.5, {largest}) : 1"}]


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
