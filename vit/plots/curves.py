"""Curves that grow during training, as Vega-Lite specs (plain dicts)."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np

from vit.pictures.colours import PALETTE

Point = TypeVar("Point")

POINTS_MAX = 500
"""Maximum number of points of a curve: more are not visible, and all are sent again every second."""


POINTS = "points"
"""Name of the data of a chart in its spec."""


def dataset(points: list[dict]) -> dict:
    """Return the part of a Vega-Lite spec with its data, as a named dataset, to which :func:`domain` refers."""
    return {"data": {"name": POINTS}, "datasets": {POINTS: points}}


def domain(field: str, *, zero: bool = False) -> list[dict]:
    """Return the domain of a Vega-Lite scale, as expressions that a browser evaluates: the smallest and largest value.

    Vega derives the same from the data, but warns on the console while there is none: Streamlit creates every chart
    empty and inserts the points afterwards. Numbers would create the chart anew at every point of a live curve.

    Args:
        field: the field of the points.
        zero: extend the domain to 0.
    """
    ends = [f"extent(pluck(data('{POINTS}'), '{field}'))[{end}]" for end in range(2)]
    if zero:
        ends = [f"min(0, {ends[0]})", f"max(0, {ends[1]})"]
    return [{"expr": f"length(data('{POINTS}')) ? {end} : {empty}"} for empty, end in enumerate(ends)]


def subsample(points: Sequence[Point], limit: int = POINTS_MAX) -> list[Point]:
    """Return at most ``limit`` evenly spaced points, including the first and the last."""
    if len(points) <= limit:
        return list(points)
    return [points[index] for index in np.linspace(0, len(points) - 1, limit).round().astype(int)]


def _events(metrics: Iterable[dict], kind: str) -> list[dict]:
    return [line for line in metrics if line.get("event") == kind]


def _curve(
    points: list[dict], *, x: str, y: str, colours: dict[str, str], layers: list[dict], y_format: str = "~g"
) -> dict:
    """Return a Vega-Lite spec of points ``{x, value, series}``; each layer is a mark for some of the series."""
    encoding = {
        "x": {
            "field": "x",
            "type": "quantitative",
            "title": x,
            "axis": {"tickMinStep": 1, "format": "~s"},
            "scale": {"domain": domain("x"), "nice": False},
        },
        "y": {
            "field": "value",
            "type": "quantitative",
            "title": y,
            "axis": {"format": y_format},
            "scale": {"domain": domain("value"), "nice": True},
        },
        "color": {
            "field": "series",
            "type": "nominal",
            "title": None,
            "scale": {"domain": list(colours), "range": list(colours.values())},
            "legend": {"orient": "top", "symbolType": "stroke"} if len(colours) > 1 else None,
        },
        "tooltip": [
            {"field": "series", "type": "nominal", "title": " "},
            {"field": "x", "type": "quantitative", "title": x},
            {"field": "value", "type": "quantitative", "title": y, "format": ".3~%" if y_format == "%" else ".4~g"},
        ],
    }
    return dataset(points) | {"height": 260, "encoding": encoding, "layer": layers}


def _series(lines: Iterable[dict], x: str, field: str, name: str) -> list[dict]:
    # A field may be missing, or null where the run had no validation images.
    return [{"x": line[x], "value": line[field], "series": name} for line in lines if line.get(field) is not None]


def _only(name: str, mark: dict) -> dict:
    return {"transform": [{"filter": {"field": "series", "equal": name}}], "mark": mark}


_LINE = {"type": "line", "strokeWidth": 2.5, "point": {"size": 36}}


def loss_curve(metrics: Iterable[dict]) -> dict:
    """Return a spec of the loss of each step, and of training and validation loss at the end of each epoch."""
    metrics = list(metrics)
    epochs = subsample(_events(metrics, "epoch"), POINTS_MAX // 5)
    steps = subsample(_events(metrics, "step"), POINTS_MAX - 2 * len(epochs))
    points = (
        _series(steps, "step", "loss", "Each step")
        + _series(epochs, "step", "train_loss", "Training, epoch mean")
        + _series(epochs, "step", "val_loss", "Validation")
    )
    colours = {
        "Each step": PALETTE["grey"],
        "Training, epoch mean": PALETTE["blue"],
        "Validation": PALETTE["orange"],
    }
    layers = [
        _only("Each step", {"type": "line", "strokeWidth": 1, "opacity": 0.65}),
        _only("Training, epoch mean", _LINE),
        _only("Validation", _LINE),
    ]
    return _curve(points, x="Step", y="Loss", colours=colours, layers=layers)


def accuracy_curve(metrics: Iterable[dict]) -> dict:
    """Return a spec of training and validation accuracy at the end of each epoch."""
    epochs = subsample(_events(metrics, "epoch"), POINTS_MAX // 2)
    points = _series(epochs, "epoch", "train_accuracy", "Training") + _series(
        epochs, "epoch", "val_accuracy", "Validation"
    )
    colours = {"Training": PALETTE["blue"], "Validation": PALETTE["orange"]}
    return _curve(points, x="Epoch", y="Accuracy", colours=colours, layers=[{"mark": _LINE}], y_format="%")


def neighbour_curve(metrics: Iterable[dict]) -> dict:
    """Return a spec of the k-nearest-neighbour accuracy at the end of each epoch of a training without labels."""
    points = _series(subsample(_events(metrics, "epoch")), "epoch", "val_accuracy", "Nearest neighbours")
    colours = {"Nearest neighbours": PALETTE["orange"]}
    return _curve(points, x="Epoch", y="k-NN accuracy", colours=colours, layers=[{"mark": _LINE}], y_format="%")


def teacher_curve(metrics: Iterable[dict]) -> dict:
    """Return a spec of DINO's teacher at the end of each epoch: entropy, and divergence of the student from it."""
    epochs = subsample(_events(metrics, "epoch"), POINTS_MAX // 2)
    points = _series(epochs, "epoch", "teacher_entropy", "Entropy") + _series(
        epochs, "epoch", "divergence", "Divergence"
    )
    colours = {"Entropy": PALETTE["blue"], "Divergence": PALETTE["vermilion"]}
    return _curve(points, x="Epoch", y="Nats", colours=colours, layers=[{"mark": _LINE}])


def learning_rate_curve(metrics: Iterable[dict]) -> dict:
    """Return a spec of the learning rate of each step."""
    points = _series(subsample(_events(metrics, "step")), "step", "lr", "Learning rate")
    colours = {"Learning rate": PALETTE["green"]}
    layers = [{"mark": {"type": "line", "strokeWidth": 2}}]
    return _curve(points, x="Step", y="Learning rate", colours=colours, layers=layers, y_format=".1~e")
