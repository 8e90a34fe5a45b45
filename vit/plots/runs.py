"""Compare runs: curves as Vega-Lite specs, and accuracy by cost as a Plotly figure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

import plotly.graph_objects as go

from vit.pictures.colours import PALETTE
from vit.plots.base import escaped, figure
from vit.plots.curves import POINTS_MAX, dataset, domain, subsample

COMPARED_MAX = len(PALETTE)
"""Maximum number of compared runs: one per colour."""

TRAINING, VALIDATION = "Training", "Validation"
_AXES = {"epoch": "Epoch", "seconds": "Seconds of training"}
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
    histories: Mapping[str, Iterable[dict]], what: Literal["loss", "accuracy"], *, x: str = "epoch"
) -> dict:
    """Return a Vega-Lite spec of several runs by epoch: training dashed, validation solid, one colour per run.

    Args:
        histories: the lines of ``metrics.jsonl`` of each run, by its name; at most :data:`COMPARED_MAX` runs.
        what: the quantity, as measured at the end of each epoch.
        x: the horizontal axis, ``"epoch"`` or ``"seconds"``.
    """
    limit = POINTS_MAX // (2 * max(1, len(histories)))
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
    return spec | {"mark": _LINE}


def gap_curves(histories: Mapping[str, Iterable[dict]], *, x: str = "epoch") -> dict:
    """Return a Vega-Lite spec of training accuracy minus validation accuracy by epoch for several runs."""
    limit = POINTS_MAX // max(1, len(histories))
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
    # The rule has no run and no x value, so the encoding of the lines must not apply to it.
    spec["layer"] = [zero, {"mark": _LINE, "encoding": spec.pop("encoding")}]
    return spec


_LEGEND = {"legend": {"orient": "top", "symbolType": "stroke", "symbolSize": 400, "labelLimit": 260}}
_LINE = {"type": "line", "strokeWidth": 2, "point": {"size": 22, "filled": True}}
_ZERO = {"y": {"datum": 0}}


def _epochs(lines: Iterable[dict]) -> list[dict]:
    return [line for line in lines if line.get("event") == "epoch"]


def _spec(points: list[dict], names: list[str], x: str, y: str, y_format: str) -> dict:
    colours = {"domain": names, "range": list(PALETTE.values())[: len(names)]}
    return dataset(points) | {
        "height": 280,
        "encoding": {
            "x": {
                "field": "x",
                "type": "quantitative",
                "title": _AXES[x],
                "axis": {"tickMinStep": 1, "format": "~s"},
                "scale": {"domain": domain("x", zero=x == "seconds"), "nice": False},
            },
            "y": {
                "field": "value",
                "type": "quantitative",
                "title": y,
                "axis": {"format": y_format},
                "scale": {"domain": domain("value"), "nice": True},
            },
            "color": {"field": "run", "type": "nominal", "title": None, "scale": colours} | _LEGEND,
            "tooltip": [
                {"field": "run", "type": "nominal", "title": "Run"},
                {"field": "x", "type": "quantitative", "title": _AXES[x], "format": ",.0f"},
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
    shown = [point for point in points if point.val_accuracy is not None and getattr(point, cost)]
    traces = [
        _trace([point for point in shown if point.kind == kind], kind, cost, place) for place, kind in enumerate(kinds)
    ]
    title = {"parameters": "Parameters", "seconds": "Seconds of training"}[cost]
    return figure(
        [trace for trace in traces if trace["x"]],
        height=360,
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        xaxis={"type": "log", "title": {"text": title}, "fixedrange": True, "dtick": 1, "tickformat": "~s"}
        | _decades([getattr(point, cost) for point in shown]),
        yaxis={
            "title": {"text": "Validation accuracy"},
            "tickformat": ".0%",
            "fixedrange": True,
            "automargin": True,
            "autorangeoptions": {"minallowed": 0, "maxallowed": 1.01},
        },
    )


def _trace(points: Sequence[Point], kind: str, cost: str, place: int) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": kind,
        "x": [getattr(point, cost) for point in points],
        "y": [point.val_accuracy for point in points],
        "customdata": [
            [escaped(point.name), escaped(point.device), f"{point.parameters:,}", f"{point.seconds or 0:,.0f}"]
            for point in points
        ],
        "marker": {
            "size": 12,
            "opacity": 0.85,
            "symbol": _SYMBOLS[place],
            "color": PALETTE[_KIND_COLOURS[place]],
        },
        "hovertemplate": "<b>%{customdata[0]}</b><br>accuracy: %{y:.1%}<br>parameters: %{customdata[2]}<br>"
        "trained for: %{customdata[3]} s on %{customdata[1]}<extra></extra>",
    }


def _decades(values: Sequence[float]) -> dict[str, Any]:
    """Return the range of a logarithmic axis, from the power of ten below the values to the one above."""
    if not values:
        return {}
    return {"range": [math.floor(math.log10(min(values)) - 0.02), math.ceil(math.log10(max(values)) + 0.02)]}
