"""Compare runs: their curves, and accuracy by cost as a Plotly figure."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Protocol

import plotly.graph_objects as go

from vit.pictures.colours import PALETTE
from vit.plots.base import escaped, figure
from vit.plots.curves import POINTS_MAX, Form, Kind, Plot, Series, plot_top, smooth, subsample
from vit.support.durations import duration

COMPARED_MAX = len(PALETTE)
"""Maximum number of compared runs: one per colour."""

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


Axis = Literal["epoch", "seconds"]
"""What curves of several runs are drawn against."""

_UNITS = ((7200, 3600, "h"), (120, 60, "min"), (0, 1, "s"))
"""Seconds from which a unit is used, its length in seconds, and its name."""


@dataclass(frozen=True)
class Comparison:
    """Plots of several runs with the same horizontal axis.

    Attributes:
        plots: loss, accuracy, and the gap between training and validation accuracy, if there is one.
        axis: the title of the horizontal axis.
        end: its end; it begins at 0.
    """

    plots: tuple[Plot, ...]
    axis: str
    end: float


def compared_curves(
    histories: Mapping[str, Iterable[dict]], *, x: Axis = "epoch", smoothing: float = 0.0
) -> Comparison:
    """Return curves of several runs after each epoch: training dashed, validation solid, one colour per run.

    Args:
        histories: the lines of ``metrics.jsonl`` of each run, by its name; at most :data:`COMPARED_MAX` runs.
        x: the horizontal axis.
        smoothing: weight of :func:`vit.plots.curves.smooth`.
    """
    epochs = {name: [line for line in lines if line.get("event") == "epoch"] for name, lines in histories.items()}
    end = float(max((line[x] for lines in epochs.values() for line in lines), default=1.0)) or 1.0
    length, unit = next((length, unit) for least, length, unit in _UNITS if end >= least)
    if x == "epoch":
        length = 1

    def line(name: str, values: Callable[[dict], float | None], colour: str, kind: Kind) -> Series:
        points = [(one[x] / length, value) for one in epochs[name] if (value := values(one)) is not None]
        thinned = subsample(points, POINTS_MAX // max(1, len(epochs)))
        return Series(name, [at for at, _ in thinned], smooth([value for _, value in thinned], smoothing), colour, kind)

    coloured = list(zip(epochs, PALETTE.values(), strict=False))
    found = []
    forms: dict[str, Form] = {"Loss": "number", "Accuracy": "percent"}
    for title, form in forms.items():
        lines = []
        for name, colour in coloured:
            training = line(name, partial(_value, f"train_{title.lower()}"), colour, "dashed")
            lines.append(replace(training, name=f"{name}, training"))
            lines.append(line(name, partial(_value, f"val_{title.lower()}"), colour, "named"))
        found.append(Plot(title, tuple(lines), form, plot_top(lines, form)))
    gaps = [line(name, _gap, colour, "named") for name, colour in coloured]
    values = [value for one in gaps for value in one.ys]
    if values:
        margin = 0.05 * (max(0.0, *values) - min(0.0, *values)) or 0.01
        top, bottom = max(0.0, *values) + margin, min(0.0, *values) - margin * (min(values) < 0)
        found.append(Plot("Training minus validation accuracy", tuple(gaps), "percent", top, bottom))
    return Comparison(tuple(found), "Epoch" if x == "epoch" else f"Training time ({unit})", end / length)


def _value(field: str, line: dict) -> float | None:
    return line.get(field)


def _gap(line: dict) -> float | None:
    training, validation = line.get("train_accuracy"), line.get("val_accuracy")
    return None if training is None or validation is None else training - validation


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
