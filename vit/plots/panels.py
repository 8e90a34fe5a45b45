"""Charts of a training: their lines, and the positions of ticks and points on any canvas."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vit.pictures.colours import PALETTE
from vit.plots.curves import subsample

DOTS_MAX = 60
"""A curve with at most this many points has a dot at each point."""


class Line(NamedTuple):
    """One curve.

    Attributes:
        name: its name in the legend.
        xs: x values.
        ys: y values.
        colour: its colour.
        thin: whether to draw it thin and pale, for many noisy values.
    """

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    colour: str
    thin: bool = False


class Panel(NamedTuple):
    """One chart.

    Attributes:
        x: title of the x axis.
        y: title of the y axis.
        lines: its curves.
        words: formats a value of the y axis.
    """

    x: str
    y: str
    lines: Sequence[Line]
    words: Callable[[float], str]


class Tick(NamedTuple):
    """A tick of an axis: its coordinate on the canvas, and its label."""

    at: float
    label: str


class Curve(NamedTuple):
    """A line on the canvas: (x, y) of its points, and whether each gets a dot."""

    line: Line
    points: list[tuple[float, float]]
    dots: bool


class Chart(NamedTuple):
    """A panel on a canvas."""

    x_ticks: list[Tick]
    y_ticks: list[Tick]
    curves: list[Curve]


def panels(metrics: Iterable[Mapping]) -> list[Panel]:
    """Return the charts for the lines of ``metrics.jsonl``.

    Returns:
        Loss and, after the first epoch, accuracy; an empty list before the first step.
    """
    metrics = list(metrics)
    steps = subsample([line for line in metrics if line["event"] == "step"])
    epochs = subsample([line for line in metrics if line["event"] == "epoch"])
    if not steps:
        return []
    where, numbers = ([line[name] for line in epochs] for name in ("step", "epoch"))
    losses = [
        Line("each step", [it["step"] for it in steps], [it["loss"] for it in steps], PALETTE["grey"], True),
        Line("training", where, [it["train_loss"] for it in epochs], PALETTE["blue"]),
        Line("validation", where, [it["val_loss"] for it in epochs], PALETTE["orange"]),
    ]
    drawn = [Panel("Step", "Loss", losses, "{:g}".format)]
    if not epochs:
        return drawn
    measured = Line("validation", numbers, [it["val_accuracy"] for it in epochs], PALETTE["orange"])
    if any("train_accuracy" not in line for line in epochs):  # learned without labels
        return [*drawn, Panel("Epoch", "k-NN accuracy", [measured], "{:.0%}".format)]
    trained = Line("training", numbers, [it["train_accuracy"] for it in epochs], PALETTE["blue"])
    return [*drawn, Panel("Epoch", "Accuracy", [trained, measured], "{:.0%}".format)]


def lay_out(panel: Panel, *, left: float, top: float, right: float, bottom: float) -> Chart:
    """Place a panel's ticks and lines on a canvas whose y axis points down.

    Values that are not finite are left out, and so are lines without values.

    Args:
        panel: the chart.
        left: left edge of the area between the axes, in the canvas's units.
        top: top edge.
        right: right edge.
        bottom: bottom edge.
    """
    lines = [line for line in map(_finite, panel.lines) if len(line.xs)]
    every_x, every_y = (np.concatenate([getattr(line, axis) for line in lines]) for axis in ("xs", "ys"))
    first, last = float(every_x.min()), float(every_x.max())
    values = round_values(float(every_y.min()), float(every_y.max()))
    low, high = values[0], values[-1]

    def place_x(value: float) -> float:
        return left + (value - first) / ((last - first) or 1) * (right - left)

    def place_y(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - top)

    whole = [value for value in round_values(first, last) if first <= value <= last and value == round(value)]
    curves = []
    for line in lines:
        points = [(place_x(x), place_y(y)) for x, y in zip(line.xs, line.ys, strict=True)]
        curves.append(Curve(line, points, dots=not line.thin and len(points) <= DOTS_MAX))
    return Chart(
        x_ticks=[Tick(place_x(value), f"{value:,.0f}") for value in whole],
        y_ticks=[Tick(place_y(value), panel.words(value)) for value in values],
        curves=curves,
    )


def round_values(low: float, high: float) -> list[float]:
    """Return about five round values, the first at most ``low``, the last at least ``high``."""
    span = (high - low) or abs(high) or 1.0
    size = 10 ** math.floor(math.log10(span / 4))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if span / (size * factor) <= 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, max(last, first + 1) + 1)]


def _finite(line: Line) -> Line:
    kept = np.isfinite(line.ys)
    xs, ys = (np.asarray(values, float)[kept].tolist() for values in (line.xs, line.ys))
    return line._replace(xs=xs, ys=ys)
