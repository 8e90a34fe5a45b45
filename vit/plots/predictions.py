"""Probabilities, attention and calibration as Plotly figures."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import plotly.graph_objects as go

from vit.pictures.colours import CLEAR, PALETTE
from vit.plots.base import SCALE, figure, tick, told

SURE_COUNT = 20
"""A bar over so many images is drawn in full colour."""


class Calibration(Protocol):
    """What :func:`reliability` draws; arrays have one entry a bin, ``edges`` one more."""

    edges: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray
    ece: float


def probability_bars(labels: Sequence[str], probabilities: Sequence[float], *, top: int = 10) -> go.Figure:
    """Class probabilities ``(k,)`` as horizontal bars with their values, the most probable first and in colour."""
    values = np.asarray(probabilities, dtype=float)
    order = np.argsort(-values, kind="stable")[:top]
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": values[order].tolist(),
        "y": list(range(len(order))),
        "text": [f"{value:.1%}" for value in values[order]],
        "textposition": "outside",
        "cliponaxis": False,
        "marker": {"color": [PALETTE["blue"]] + [PALETTE["grey"]] * (len(order) - 1), "cornerradius": 3},
        "customdata": [told(labels[index]) for index in order],
        "hovertemplate": "%{customdata}: %{x:.2%}<extra></extra>",
    }
    return figure(
        [bars],
        height=28 * len(order) + 16,
        bargap=0.3,
        # The axis is longer than 1, for the value beside a bar that fills it.
        xaxis={"range": [0, 1.3], "visible": False, "fixedrange": True},
        yaxis={
            "tickvals": list(range(len(order))),
            "ticktext": [tick(labels[index]) for index in order],
            "range": [len(order) - 0.5, -0.5],
            "fixedrange": True,
            "automargin": True,
            "showgrid": False,
            "ticks": "outside",
            "ticklen": 6,
            "tickcolor": CLEAR,
        },
    )


CLASS_TOKEN = ("class token",)
"""What stands before the patches in most networks."""


def token_names(grid: tuple[int, int], prefix: Sequence[str] = CLASS_TOKEN) -> list[str]:
    """What each token is called, in the order of an attention matrix: those before the patches, then the patches, row
    by row.

    Args:
        prefix: of :attr:`vit.config.TransformerConfig.prefix_names`.
    """
    rows, columns = grid
    return [*prefix, *(f"patch r{row + 1} c{column + 1}" for row in range(rows) for column in range(columns))]


def _ticks(names: Sequence[str], grid: tuple[int, int], prefix: Sequence[str]) -> dict[str, str]:
    """The tokens that get a tick, with its text: the first one, and the first patch of eight rows or so."""
    step = max(1, grid[0] // 8)
    # The first row lies beside the class token, where a second tick would run into the first.
    rows = {names[len(prefix) + row * grid[1]]: f"row {row + 1}" for row in range(step, grid[0], step)}
    if not prefix:
        return {names[0]: "row 1"} | rows
    return {names[0]: "cls" if prefix[0] == CLASS_TOKEN[0] else "reg"} | rows


def attention_matrix(
    matrix: np.ndarray, grid: tuple[int, int], prefix: Sequence[str] = CLASS_TOKEN, quantity: str = "attention"
) -> go.Figure:
    """One head's attention ``(n m)``, queries down and keys across, as a heatmap with the numbers on hover.

    Colours end at the 99th percentile, for a single strong link would leave the rest dark.

    Args:
        prefix: as in :func:`token_names`.
        quantity: what a number is called, where it is another than the attention.
    """
    names = token_names(grid, prefix)
    matrix = np.asarray(matrix, dtype=np.float32)
    high = float(np.percentile(matrix, 99)) or float(matrix.max()) or 1.0
    heatmap = {
        "type": "heatmap",
        "z": matrix,
        "x": list(names),
        "y": list(names),
        "zmin": 0.0,
        "zmax": high,
        "colorscale": SCALE,
        "colorbar": {
            "title": {"text": quantity.capitalize(), "side": "right"},
            "thickness": 12,
            "outlinewidth": 0,
            "tickformat": ".2~g",
        },
        "hovertemplate": f"query: %{{y}}<br>key: %{{x}}<br>{quantity}: %{{z:.4f}}<extra></extra>",
    }
    ticks = _ticks(names, grid, prefix)
    axis = {
        "tickmode": "array",
        "tickvals": list(ticks),
        "ticktext": list(ticks.values()),
        "showgrid": False,
        "zeroline": False,
    }
    return figure(
        [heatmap],
        height=520,
        xaxis={**axis, "title": {"text": "Key: the token that is attended to"}, "constrain": "domain", "tickangle": 0},
        yaxis={
            **axis,
            "title": {"text": "Query: the token that attends"},
            "autorange": "reversed",
            "scaleanchor": "x",
            "constrain": "domain",
        },
        dragmode="zoom",
    )


def reliability(calibration: Calibration) -> go.Figure:
    """A reliability diagram: how often it is right, by how sure it was (Guo et al. 2017).

    Empty bins are left out, and those of few images are pale: with ten the accuracy is only known to about 0.15.
    """
    count = np.asarray(calibration.count)
    edges = np.asarray(calibration.edges, dtype=float)
    filled = np.flatnonzero(count)
    accuracy = np.asarray(calibration.accuracy, dtype=float)[filled]
    confidence = np.asarray(calibration.confidence, dtype=float)[filled]
    bars = {
        "type": "bar",
        "name": "Accuracy",
        "x": ((edges[:-1] + edges[1:]) / 2)[filled].tolist(),
        "y": accuracy.tolist(),
        "width": (np.diff(edges)[filled] * 0.92).tolist(),
        "marker": {"color": PALETTE["blue"], "opacity": np.clip(count[filled] / SURE_COUNT, 0.25, 1).tolist()},
        "customdata": np.stack([confidence, count[filled]], axis=-1).tolist(),
        "hovertemplate": "right: %{y:.1%}<br>mean confidence: %{customdata[0]:.1%}<br>"
        "%{customdata[1]:.0f} images<extra></extra>",
    }
    ideal = {
        "type": "scatter",
        "name": "Perfectly calibrated",
        "mode": "lines",
        "x": [0, 1],
        "y": [0, 1],
        "line": {"color": PALETTE["vermilion"], "dash": "dash", "width": 2},
        "hoverinfo": "skip",
    }
    axis = {"tickformat": ".0%", "fixedrange": True, "zeroline": False}
    return figure(
        [bars, ideal],
        height=380,
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        xaxis={**axis, "title": {"text": "Confidence"}, "range": [0, 1]},
        yaxis={**axis, "title": {"text": "Accuracy"}, "range": [0, 1.02]},
    )
