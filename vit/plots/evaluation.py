"""Training curves and confusion matrix as complete figures for notebooks."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from vit.pictures.colours import PALETTE
from vit.plots.base import SCALE, escaped, figure, short_name

WRITTEN_MAX = 20
"""Up to this many classes, each cell shows its count."""


def training_curves(metrics: Iterable[Mapping]) -> go.Figure:
    """Draw loss and accuracy of each epoch side by side, from the lines of ``metrics.jsonl`` (``run.metrics()[0]``)."""
    epochs = [line for line in metrics if line.get("event") == "epoch"]
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": name,
            "legendgroup": name,
            "showlegend": what == "loss",
            "x": [line["epoch"] for line in epochs],
            "y": [line.get(f"{split}_{what}") for line in epochs],
            "xaxis": axis.replace("y", "x"),
            "yaxis": axis,
            "line": {"color": PALETTE[colour], "width": 2.5},
            "hovertemplate": f"{name.lower()}, epoch %{{x}}: %{{y:{number}}}<extra></extra>",
        }
        for what, axis, number in (("loss", "y", ".3f"), ("accuracy", "y2", ".1%"))
        for split, name, colour in (("train", "Training", "blue"), ("val", "Validation", "orange"))
    ]
    across = {"title": {"text": "Epoch"}, "zeroline": False, "tickformat": "d"}
    up = {"zeroline": False, "automargin": True}
    return figure(
        traces,
        height=320,
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        xaxis=across | {"domain": [0, 0.45]},
        xaxis2=across | {"domain": [0.55, 1], "anchor": "y2"},
        yaxis=up | {"title": {"text": "Loss"}},
        yaxis2=up | {"title": {"text": "Accuracy"}, "tickformat": ".0%", "anchor": "x2"},
    )


def confusion_matrix(counts: np.ndarray, names: Sequence[str]) -> go.Figure:
    """Draw counts ``(k k)``, rows true and columns predicted, coloured by their share of the row."""
    counts = np.asarray(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    whole = [escaped(name) for name in names]
    heatmap = {
        "type": "heatmap",
        "z": shares,
        "zmin": 0.0,
        "zmax": 1.0,
        "customdata": [
            [[whole[true], whole[said], int(counts[true, said])] for said in range(len(names))]
            for true in range(len(names))
        ],
        "colorscale": SCALE,
        "xgap": 1,
        "ygap": 1,
        "hovertemplate": "true: %{customdata[0]}<br>predicted: %{customdata[1]}<br>%{customdata[2]} images, "
        "%{z:.1%} of the class<extra></extra>",
        "colorbar": {
            "title": {"text": "Share of the true class", "side": "right"},
            "thickness": 12,
            "outlinewidth": 0,
            "tickformat": ".0%",
        },
    } | ({"text": counts.tolist(), "texttemplate": "%{text}"} if len(names) <= WRITTEN_MAX else {})
    places = list(range(0, len(names), max(1, round(len(names) / 40))))
    ticks = {"tickmode": "array", "tickvals": places, "ticktext": [short_name(names[place]) for place in places]}
    axis = {"showgrid": False, "zeroline": False, "ticks": "", "constrain": "domain", "automargin": True} | ticks
    return figure(
        [heatmap],
        height=int(np.clip(44 * len(names) + 140, 340, 640)),
        xaxis=axis | {"title": {"text": "Predicted"}},
        yaxis=axis | {"title": {"text": "True"}, "autorange": "reversed", "scaleanchor": "x"},
    )
