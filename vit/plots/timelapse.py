"""What changed from epoch to epoch: heads, answers, the logit lens. The epoch that is looked at is a line across."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from vit.pictures.colours import CATEGORICAL, PALETTE, SEQUENTIAL, on_scale
from vit.plots.base import SCALE, figure, tick, told

LINES_MAX = len(CATEGORICAL)
"""So many classes have a line of their own."""

WRITTEN_MAX = 80
"""Cells of the lens, up to which each has its number written in."""

_HEIGHT = 300
_INK = PALETTE["grey"]


def head_lines(
    values: np.ndarray, epochs: Sequence[int], at: int, *, quantity: str, reference: tuple[str, float], unit: str = ""
) -> go.Figure:
    """One number of every head through training: a line a head, in the colour of its layer.

    Args:
        values: ``(frame depth h)``.
        epochs: of the frames.
        at: the epoch that is looked at.
        quantity: what the number is, as the axis says it.
        reference: a name and its value, drawn as a dashed line.
        unit: of the number, on hover.
    """
    _, depth, heads = values.shape
    traces = []
    for layer, colour in enumerate(_layer_colours(depth)):
        for head in range(heads):
            traces.append(
                _line(epochs, values[:, layer, head], colour)
                | {
                    "name": f"Layer {layer + 1}",
                    "legendgroup": str(layer),
                    "showlegend": head == 0,
                    "hovertemplate": f"layer {layer + 1}, head {head + 1}<br>epoch %{{x}}: %{{y:.3g}}{unit}"
                    "<extra></extra>",
                }
            )
    name, value = reference
    ends = [epochs[0], epochs[-1]]
    even = _line(ends, [value, value], _INK, dash="dash") | {"mode": "lines", "name": name, "hoverinfo": "skip"}
    return _figure([*traces, even], epochs, at, {"title": {"text": quantity}, "rangemode": "tozero"})


def class_lines(
    probabilities: np.ndarray, epochs: Sequence[int], at: int, names: Sequence[str], chosen: int
) -> go.Figure:
    """The answer to one image through training: a line a class, the chosen one bold.

    Args:
        probabilities: ``(frame k)``; of many classes the :data:`LINES_MAX` that were ever likeliest have a line.
        epochs: of the frames.
        at: the epoch that is looked at.
        chosen: index of the class that is always shown.
    """
    order = [int(index) for index in np.argsort(-probabilities.max(axis=0), kind="stable") if index != chosen]
    shown = sorted([chosen, *order[: LINES_MAX - 1]])
    traces = [
        _line(epochs, probabilities[:, index], colour, width=4 if index == chosen else 2)
        | {
            "name": tick(names[index]),
            "hovertemplate": f"{told(names[index])}<br>epoch %{{x}}: %{{y:.1%}}<extra></extra>",
        }
        for index, colour in zip(shown, CATEGORICAL, strict=False)
    ]
    axis = {"title": {"text": "Probability"}, "tickformat": ".0%", "range": [-0.02, 1.02]}
    return _figure(traces, epochs, at, axis)


def accuracy_lines(history: Mapping[int, Mapping], epochs: Sequence[int], at: int) -> go.Figure:
    """Training and validation accuracy of every epoch, with a dot at those that have a frame.

    Args:
        history: what was measured, by epoch.
        epochs: of the frames.
        at: the epoch that is looked at.
    """
    traces = []
    for field, name, colour in (
        ("train_accuracy", "Training", PALETTE["blue"]),
        ("val_accuracy", "Validation", PALETTE["orange"]),
    ):
        measured = {epoch: line[field] for epoch, line in sorted(history.items()) if line.get(field) is not None}
        traces.append(
            _line(list(measured), list(measured.values()), colour)
            | {
                "name": name,
                "marker": {"size": [8 if epoch in epochs else 0 for epoch in measured], "opacity": 1},
                "hovertemplate": f"{name.lower()}<br>epoch %{{x}}: %{{y:.1%}}<extra></extra>",
            }
        )
    axis = {
        "title": {"text": "Accuracy"},
        "tickformat": ".0%",
        "autorangeoptions": {"minallowed": 0, "maxallowed": 1.01},
    }
    return _figure(traces, epochs, at, axis)


def lens_heat(probabilities: np.ndarray, epochs: Sequence[int], at: int, name: str) -> go.Figure:
    """The logit lens of one class through training: what the head would say after each layer, a column an epoch.

    Args:
        probabilities: ``(frame, depth + 1)`` of the class.
        epochs: of the frames.
        at: the epoch that is looked at, which is framed.
        name: of the class.
    """
    depth = probabilities.shape[1] - 1
    stages = ["Before layer 1", *(f"After layer {layer}" for layer in range(1, depth + 1))]
    columns = [str(epoch) for epoch in epochs]
    z = np.asarray(probabilities, dtype=float).T
    heat: dict[str, Any] = {
        "type": "heatmap",
        "z": z,
        "x": columns,
        "y": stages,
        "zmin": 0.0,
        "zmax": 1.0,
        "colorscale": SCALE,
        "xgap": 2,
        "ygap": 2,
        "colorbar": {
            "title": {"text": f"Probability of {tick(name)}", "side": "right"},
            "thickness": 12,
            "outlinewidth": 0,
            "tickformat": ".0%",
        },
        "hovertemplate": f"epoch %{{x}}, %{{y}}<br>{told(name)}: %{{z:.1%}}<extra></extra>",
    }
    place = columns.index(str(at))
    frame = {"x0": place - 0.5, "x1": place + 0.5, "y0": -0.5, "y1": depth + 0.5, "type": "rect"}
    plain = {"showgrid": False, "zeroline": False, "fixedrange": True}
    return figure(
        [heat],
        height=max(_HEIGHT, 28 * (depth + 1) + 90),
        xaxis={**plain, "type": "category", "title": {"text": "Epoch"}},
        yaxis={**plain, "automargin": True, "title": {"text": "Where the head reads"}},
        shapes=[frame | {"line": {"color": PALETTE["vermilion"], "width": 3}}],
        annotations=_written(z) if z.size <= WRITTEN_MAX and len(epochs) <= 12 else [],
    )


def _written(z: np.ndarray) -> list[dict[str, Any]]:
    """The probability of each cell, in the ink that its colour allows."""
    return [
        {
            "x": column,
            "y": row,
            "text": f"{z[row, column]:.0%}",
            "showarrow": False,
            "font": {"color": on_scale(float(z[row, column]))},
        }
        for row, column in np.ndindex(z.shape)
    ]


def _line(
    x: Sequence[int], y: Iterable[float], colour: str, *, width: float = 2, dash: str = "solid"
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": list(x),
        "y": [float(value) for value in y],
        "line": {"color": colour, "width": width, "dash": dash},
        "marker": {"size": 6},
    }


def _layer_colours(depth: int) -> list[str]:
    """First to last; a series of colours where there are few layers, else steps of the scale that show on any page."""
    if depth < len(PALETTE):
        return list(PALETTE.values())[:depth]
    steps = SEQUENTIAL[2:-1]
    return [steps[round(layer * (len(steps) - 1) / (depth - 1))] for layer in range(depth)]


def _figure(traces: list[dict], epochs: Sequence[int], at: int, yaxis: dict[str, Any]) -> go.Figure:
    line = {"type": "line", "x0": at, "x1": at, "yref": "paper", "y0": 0, "y1": 1}
    return figure(
        traces,
        height=_HEIGHT,
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        xaxis={"title": {"text": "Epoch"}, "rangemode": "tozero", "fixedrange": True, "zeroline": False},
        yaxis={"fixedrange": True, "automargin": True, "zeroline": False, **yaxis},
        shapes=[line | {"line": {"color": _INK, "width": 2, "dash": "dot"}}],
        hovermode="closest",
    )
