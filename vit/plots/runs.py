"""Compare runs: curves as Vega-Lite specs, and accuracy by cost as a Plotly figure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

import plotly.graph_objects as go

from vit.pictures.colours import PALETTE
from vit.plots.base import escaped, figure
from vit.plots.curves import POINTS_MAX, dataset, domain, subsample
from vit.support.durations import duration
from vit.support.untrusted_text import shown

COMPARED_MAX = len(PALETTE)
"""Maximum number of compared runs: one per colour."""

INK = PALETTE["grey"]
"""Colour of names in a figure, readable on a light and a dark page."""

TRAINING, VALIDATION = "Training", "Validation"
_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross")
_KIND_COLOURS = ("blue", "vermilion", "orange", "green", "purple")


class Point(Protocol):
    """The data of a run in :func:`cost_scatter`."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def device(self) -> str: ...

    @property
    def parameters(self) -> int: ...

    @property
    def seconds(self) -> float | None: ...

    @property
    def val_accuracy(self) -> float | None: ...


def compared_curves(
    histories: Mapping[str, Iterable[dict]], what: Literal["loss", "accuracy"], *, x: str = "epoch", ink: str = INK
) -> dict:
    """Return a Vega-Lite spec of several runs by epoch: training dashed, validation solid, one colour per run.

    The name of each run is at the right edge, beside the end of its curve.

    Args:
        histories: the lines of ``metrics.jsonl`` of each run, by its name; at most :data:`COMPARED_MAX` runs.
        what: the quantity, as measured at the end of each epoch.
        x: the horizontal axis, ``"epoch"`` or ``"seconds"``.
        ink: colour of the names.
    """
    limit = (POINTS_MAX - len(histories)) // (2 * max(1, len(histories)))
    points = [
        {"x": line[x], "value": line[field], "run": name, "split": split}
        for name, lines in histories.items()
        for line in subsample(_epochs(lines), limit)
        for field, split in ((f"train_{what}", TRAINING), (f"val_{what}", VALIDATION))
        if line.get(field) is not None
    ]
    spec = _spec(points, list(histories), x, what.capitalize(), "%" if what == "accuracy" else "~g")
    dashes = {"domain": [VALIDATION, TRAINING], "range": [[1, 0], [5, 4]]}
    spec["encoding"]["strokeDash"] = {"field": "split", "type": "nominal", "scale": dashes, "legend": None}
    spec["encoding"]["tooltip"].insert(1, {"field": "split", "type": "nominal", "title": "Images"})
    return _layers(spec, ink)


def gap_curves(histories: Mapping[str, Iterable[dict]], *, x: str = "epoch", ink: str = INK) -> dict:
    """Return a Vega-Lite spec of training accuracy minus validation accuracy by epoch for several runs.

    Args:
        histories: as in :func:`compared_curves`.
        x: the horizontal axis, ``"epoch"`` or ``"seconds"``.
        ink: colour of the names.
    """
    limit = (POINTS_MAX - len(histories)) // max(1, len(histories))
    points = [
        {"x": line[x], "value": line["train_accuracy"] - line["val_accuracy"], "run": name}
        for name, lines in histories.items()
        for line in subsample(_epochs(lines), limit)
        if line.get("train_accuracy") is not None and line.get("val_accuracy") is not None
    ]
    spec = _spec(points, list(histories), x, "Training minus validation accuracy", "+%")
    rule = {"type": "rule", "color": PALETTE["grey"], "aria": False}
    zero = {"mark": rule, "data": {"values": [{}]}, "encoding": _ZERO}
    spec["encoding"]["y"]["scale"]["domain"] = domain("value", zero=True)  # the rule must be in the picture
    return _layers(spec, ink, zero)


_LINE = {"type": "line", "strokeWidth": 2, "point": {"size": 22, "filled": True}}
_ZERO = {"y": {"datum": 0}}
_HEIGHT, _PLOT_HEIGHT = 340, 260
"""Pixels of a chart, and about as many without the horizontal axis."""

_LABEL_HEIGHT = 15
"""Pixels between two names at the right edge."""

_LABEL_COLUMNS, _SHORT_COLUMNS = 20, 12
"""Columns of a name at the right edge, and on a narrow screen."""

_NARROW = "windowSize()[0] < 640"
_NOT_A_LABEL = "!isValid(datum.label)"


def _epochs(lines: Iterable[dict]) -> list[dict]:
    return [line for line in lines if line.get("event") == "epoch"]


def _layers(spec: dict, ink: str, *below: dict) -> dict:
    """Return a spec with its curves and the names of the runs as layers, above some others."""
    encoding = spec.pop("encoding")
    # Titles and fields only: an axis has the scale of the curves.
    at_name = {name: {key: encoding[name][key] for key in ("field", "type", "title")} for name in ("x", "y")}
    leader = {name: field | {"field": f"from_{name}"} for name, field in at_name.items()}
    leader |= {"x2": {"field": "x"}, "y2": {"field": "value"}, "color": encoding["color"]}
    text = {
        "condition": {"test": _NARROW, "field": "short", "type": "nominal"},
        "field": "label",
        "type": "nominal",
    }
    labels = {"transform": [{"filter": "isValid(datum.label)"}]}
    return spec | {
        "layer": [
            *below,
            {"transform": [{"filter": _NOT_A_LABEL}], "mark": _LINE, "encoding": encoding},
            labels
            | {
                "mark": {"type": "rule", "strokeDash": [1, 3], "strokeWidth": 1.5, "opacity": 0.8, "aria": False},
                "encoding": leader,
            },
            labels
            | {
                "mark": {"type": "point", "shape": "square", "filled": True, "size": 90, "opacity": 1, "xOffset": 9},
                "encoding": at_name | {"color": encoding["color"]},
            },
            labels
            | {
                "mark": {"type": "text", "align": "left", "baseline": "middle", "dx": 18, "fontSize": 12, "color": ink},
                "encoding": at_name | {"text": text},
            },
        ],
    }


def _end_labels(points: Sequence[dict]) -> list[dict]:
    """Return a point for the name of each run: at the right edge, near the height of its curve's end, without overlap.

    Args:
        points: the points of the curves in ascending order of ``x``. The end of a curve is the last point on validation
            images, or the last point if there are none.
    """
    if not points:
        return []
    ends: dict[str, dict] = {}
    for point in points:
        if point.get("split", VALIDATION) == VALIDATION or point["run"] not in ends:
            ends[point["run"]] = point
    values = [point["value"] for point in points]
    low, high = min(values), max(values)
    gap = _LABEL_HEIGHT / _PLOT_HEIGHT * ((high - low) or 1.0)
    heights = spread([end["value"] for end in ends.values()], gap, low, high)
    right = max(point["x"] for point in points)
    return [
        {
            "x": right,
            "value": height,
            "run": name,
            "label": shown(name, _LABEL_COLUMNS),
            "short": shown(name, _SHORT_COLUMNS),
            "from_x": end["x"],
            "from_y": end["value"],
        }
        for (name, end), height in zip(ends.items(), heights, strict=True)
    ]


def spread(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return the values moved apart, so that no two are closer than ``gap``, between ``low`` and ``high`` if they fit.

    Neighbours that are too close are placed around their mean. The order of the values stays.
    """
    clusters: list[list[float]] = []  # the sum of the wanted places of the first value of each cluster, and its size
    for place in sorted(values):
        clusters.append([min(max(place, low), high), 1])
        while len(clusters) > 1 and _start(clusters[-2], gap) + clusters[-2][1] * gap > _start(clusters[-1], gap):
            total, count = clusters.pop()
            clusters[-1] = [clusters[-1][0] + total, clusters[-1][1] + count]
    placed = []
    for cluster in clusters:
        length = (cluster[1] - 1) * gap
        start = max(low, min(_start(cluster, gap), high - length))
        placed += [start + index * gap for index in range(int(cluster[1]))]
    for index in range(1, len(placed)):  # clusters that the bounds have moved
        placed[index] = max(placed[index], placed[index - 1] + gap)
    order = sorted(range(len(values)), key=lambda index: values[index])
    result = [0.0] * len(values)
    for index, height in zip(order, placed, strict=True):
        result[index] = height
    return result


def _start(cluster: Sequence[float], gap: float) -> float:
    """Return where the first value of a cluster is placed, so that the mean of its values stays."""
    total, count = cluster
    return total / count - (count - 1) * gap / 2


_UNITS = ((7200, 3600, "h"), (120, 60, "min"), (0, 1, "s"))
"""Seconds from which a unit is used, its length in seconds, and its name."""


def _in_unit(points: list[dict], x: str) -> tuple[list[dict], str]:
    """Return the points with times in a unit that gives small numbers, and the title of the axis."""
    if x == "epoch":
        return points, "Epoch"
    longest = max((point["x"] for point in points), default=0)
    length, unit = next((length, unit) for least, length, unit in _UNITS if longest >= least)
    return [point | {"x": point["x"] / length} for point in points], f"Training time ({unit})"


def _spec(points: list[dict], names: list[str], x: str, y: str, y_format: str) -> dict:
    points, title = _in_unit(points, x)
    colours = {"domain": names, "range": list(PALETTE.values())[: len(names)]}
    return dataset(points + _end_labels(points)) | {
        "height": _HEIGHT,
        "encoding": {
            "x": {
                "field": "x",
                "type": "quantitative",
                "title": title,
                "axis": {"format": "~s"} | ({"tickMinStep": 1} if x == "epoch" else {}),
                "scale": {"domain": domain("x", zero=x == "seconds"), "nice": False},
            },
            "y": {
                "field": "value",
                "type": "quantitative",
                "title": y,
                "axis": {"format": y_format},
                "scale": {"domain": domain("value"), "nice": True},
            },
            "color": {"field": "run", "type": "nominal", "title": None, "scale": colours, "legend": None},
            "tooltip": [
                {"field": "run", "type": "nominal", "title": "Run"},
                {"field": "x", "type": "quantitative", "title": title, "format": ",.3~r"},
                {"field": "value", "type": "quantitative", "title": y, "format": y_format.replace("%", ".1%")},
            ],
        },
    }


def cost_scatter(points: Iterable[Point], cost: Literal["parameters", "seconds"], kinds: Sequence[str]) -> go.Figure:
    """Draw validation accuracy of runs against their parameters or seconds of training on a logarithmic axis.

    Args:
        points: runs; those without an accuracy or a cost are left out.
        cost: the horizontal axis.
        kinds: all kinds of network; each keeps its colour and symbol whichever others are shown.
    """
    drawn = [point for point in points if point.val_accuracy is not None and getattr(point, cost)]
    traces = [
        _trace([point for point in drawn if point.kind == kind], kind, cost, place) for place, kind in enumerate(kinds)
    ]
    title = {"parameters": "Parameters", "seconds": "Training time"}[cost]
    ticks = {"dtick": 1, "tickformat": "~s"} if cost == "parameters" else _TIMES
    return figure(
        [trace for trace in traces if trace["x"]],
        height=360,
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        xaxis={"type": "log", "title": {"text": title}, "fixedrange": True}
        | ticks
        | _decades([getattr(point, cost) for point in drawn]),
        yaxis={
            "title": {"text": "Validation accuracy"},
            "tickformat": ".0%",
            "fixedrange": True,
            "automargin": True,
            "autorangeoptions": {"minallowed": 0, "maxallowed": 1.01},
        },
    )


_MARKS = {"1 s": 1, "10 s": 10, "1 min": 60, "10 min": 600, "1 h": 3600, "10 h": 36000, "4 days": 345600}
_TIMES = {"tickvals": list(_MARKS.values()), "ticktext": list(_MARKS)}


def _trace(points: Sequence[Point], kind: str, cost: str, place: int) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": kind,
        "x": [getattr(point, cost) for point in points],
        "y": [point.val_accuracy for point in points],
        "customdata": [
            [escaped(point.name), escaped(point.device), f"{point.parameters:,}", duration(point.seconds or 0)]
            for point in points
        ],
        "marker": {
            "size": 12,
            "opacity": 0.85,
            "symbol": _SYMBOLS[place],
            "color": PALETTE[_KIND_COLOURS[place]],
        },
        "hovertemplate": "<b>%{customdata[0]}</b><br>accuracy: %{y:.1%}<br>parameters: %{customdata[2]}<br>"
        "trained for: %{customdata[3]} on %{customdata[1]}<extra></extra>",
    }


def _decades(values: Sequence[float]) -> dict[str, Any]:
    """Return the range of a logarithmic axis, from the power of ten below the values to the one above."""
    if not values:
        return {}
    return {"range": [math.floor(math.log10(min(values)) - 0.02), math.ceil(math.log10(max(values)) + 0.02)]}
