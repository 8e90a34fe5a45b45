"""Figures of a training by epoch, with the chosen epoch marked: heads, class probabilities, accuracy, logit lens."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from vit.pictures.colours import CATEGORICAL, PALETTE, SEQUENTIAL, ink_on_scale
from vit.plots.base import SCALE, figure, hover_name, short_name

LINES_MAX = len(CATEGORICAL)
"""Maximum number of classes with a line."""

WRITTEN_MAX = 80
"""Up to this many cells of the lens, each cell shows its number."""

_HEIGHT = 300
_INK = PALETTE["grey"]


def head_lines(
    values: np.ndarray, epochs: Sequence[int], at: int, *, quantity: str, reference: tuple[str, float], unit: str = ""
) -> go.Figure:
    """Draw one value of every head by epoch: one line per head, in the colour of its layer.

    Args:
        values: ``(frame depth h)``.
        epochs: the epoch of each frame.
        at: the chosen epoch.
        quantity: title of the vertical axis.
        reference: a name and its value, drawn as a dashed line.
        unit: unit of the values, for the hover text.
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
    """Draw the class probabilities of one image by epoch: one line per class, the chosen one bold.

    Args:
        probabilities: ``(frame k)``; only the :data:`LINES_MAX` classes with the largest maximum have a line.
        epochs: the epoch of each frame.
        at: the chosen epoch.
        names: the class names, ``k``.
        chosen: index of the class that is always shown.
    """
    order = [int(index) for index in np.argsort(-probabilities.max(axis=0), kind="stable") if index != chosen]
    shown = sorted([chosen, *order[: LINES_MAX - 1]])
    traces = [
        _line(epochs, probabilities[:, index], colour, width=4 if index == chosen else 2)
        | {
            "name": short_name(names[index]),
            "hovertemplate": f"{hover_name(names[index])}<br>epoch %{{x}}: %{{y:.1%}}<extra></extra>",
        }
        for index, colour in zip(shown, CATEGORICAL, strict=False)
    ]
    axis = {"title": {"text": "Probability"}, "tickformat": ".0%", "range": [-0.02, 1.02]}
    return _figure(traces, epochs, at, axis)


def accuracy_lines(
    history: Mapping[int, Mapping], epochs: Sequence[int], at: int, *, name: str = "Validation"
) -> go.Figure:
    """Draw training and validation accuracy by epoch, with a dot at each epoch that has a frame.

    Args:
        history: the metrics of each epoch.
        epochs: the epoch of each frame.
        at: the chosen epoch.
        name: the name of ``val_accuracy``.
    """
    traces = []
    for field, series, colour in (
        ("train_accuracy", "Training", PALETTE["blue"]),
        ("val_accuracy", name, PALETTE["orange"]),
    ):
        measured = {epoch: line[field] for epoch, line in sorted(history.items()) if line.get(field) is not None}
        if field == "train_accuracy" and history and not measured:  # without labels there is none
            continue
        traces.append(
            _line(list(measured), list(measured.values()), colour)
            | {
                "name": series,
                "marker": {"size": [8 if epoch in epochs else 0 for epoch in measured], "opacity": 1},
                "hovertemplate": f"{series.lower()}<br>epoch %{{x}}: %{{y:.1%}}<extra></extra>",
            }
        )
    axis = {
        "title": {"text": "Accuracy"},
        "tickformat": ".0%",
        "autorangeoptions": {"minallowed": 0, "maxallowed": 1.01},
    }
    return _figure(traces, epochs, at, axis)


def lens_heatmap(probabilities: np.ndarray, epochs: Sequence[int], at: int, name: str) -> go.Figure:
    """Draw the logit lens of one class: its probability after each layer (rows) by epoch (columns).

    Args:
        probabilities: the probability of the class, ``(frame, depth + 1)``.
        epochs: the epoch of each frame.
        at: the chosen epoch, which is framed.
        name: the class.
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
            "title": {"text": f"Probability of {short_name(name)}", "side": "right"},
            "thickness": 12,
            "outlinewidth": 0,
            "tickformat": ".0%",
        },
        "hovertemplate": f"epoch %{{x}}, %{{y}}<br>{hover_name(name)}: %{{z:.1%}}<extra></extra>",
    }
    place = columns.index(str(at))
    frame = {"x0": place - 0.5, "x1": place + 0.5, "y0": -0.5, "y1": depth + 0.5, "type": "rect"}
    plain = {"showgrid": False, "zeroline": False, "fixedrange": True}
    return figure(
        [heat],
        height=max(_HEIGHT, 28 * (depth + 1) + 90),
        xaxis={**plain, "type": "category", "title": {"text": "Epoch"}},
        yaxis={**plain, "automargin": True, "title": {"text": "Layer whose tokens are classified"}},
        shapes=[frame | {"line": {"color": PALETTE["vermilion"], "width": 3}}],
        annotations=_written(z) if z.size <= WRITTEN_MAX and len(epochs) <= 12 else [],
    )


def _written(z: np.ndarray) -> list[dict[str, Any]]:
    """Return the probability of each cell as an annotation in black or white."""
    return [
        {
            "x": column,
            "y": row,
            "text": f"{z[row, column]:.0%}",
            "showarrow": False,
            "font": {"color": ink_on_scale(float(z[row, column]))},
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
    """Return a colour for each layer: categorical for few layers, otherwise steps of the sequential scale.

    The ends of the scale are left out, because they are hard to see on a dark or a light page.
    """
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
