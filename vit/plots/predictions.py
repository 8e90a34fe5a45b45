"""Probabilities, attention and calibration as Plotly figures."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from vit.pictures.colours import CLEAR, PALETTE
from vit.plots.base import SCALE, figure, hover_name, short_name

SURE_COUNT = 20
"""A bar of at least this many images is drawn in full colour."""


class Calibration(Protocol):
    """The data of :func:`reliability`; arrays have one entry per bin, ``edges`` one more."""

    @property
    def edges(self) -> np.ndarray: ...

    @property
    def confidence(self) -> np.ndarray: ...

    @property
    def accuracy(self) -> np.ndarray: ...

    @property
    def count(self) -> np.ndarray: ...

    @property
    def ece(self) -> float: ...


def probability_bars(labels: Sequence[str], probabilities: npt.ArrayLike, *, top: int = 10) -> go.Figure:
    """Draw class probabilities ``(k,)`` as horizontal bars, sorted, with the most probable class in colour."""
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
        "customdata": [hover_name(labels[index]) for index in order],
        "hovertemplate": "%{customdata}: %{x:.2%}<extra></extra>",
    }
    return figure(
        [bars],
        height=28 * len(order) + 16,
        bargap=0.3,
        # The axis is longer than 1 to leave room for the value beside a full bar.
        xaxis={"range": [0, 1.3], "visible": False, "fixedrange": True},
        yaxis={
            "tickvals": list(range(len(order))),
            "ticktext": [short_name(labels[index]) for index in order],
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
"""Tokens before the patches in most networks."""


def token_names(grid: tuple[int, int], prefix: Sequence[str] = CLASS_TOKEN) -> list[str]:
    """Return the name of each token in the order of an attention matrix: prefix tokens, then patches row by row.

    Args:
        grid: rows and columns of patches.
        prefix: names of the tokens before the patches, from :attr:`vit.config.TransformerConfig.prefix_names`.
    """
    rows, columns = grid
    return [*prefix, *(f"patch r{row + 1} c{column + 1}" for row in range(rows) for column in range(columns))]


def _ticks(names: Sequence[str], grid: tuple[int, int], prefix: Sequence[str]) -> dict[str, str]:
    """Return the tokens with a tick and their labels: the first token, and the first patch of about eight rows."""
    step = max(1, grid[0] // 8)
    # No tick for the first row, because it would overlap the tick of the class token.
    rows = {names[len(prefix) + row * grid[1]]: f"row {row + 1}" for row in range(step, grid[0], step)}
    if not prefix:
        return {names[0]: "row 1"} | rows
    return {names[0]: "cls" if prefix[0] == CLASS_TOKEN[0] else "reg"} | rows


def attention_matrix(
    matrix: np.ndarray, grid: tuple[int, int], prefix: Sequence[str] = CLASS_TOKEN, quantity: str = "attention"
) -> go.Figure:
    """Draw one head's attention as a heat map, queries down and keys across, with values on hover.

    The colour scale ends at the 99th percentile, because a single large value would leave the rest dark.

    Args:
        matrix: attention, ``(n m)``.
        grid: rows and columns of patches.
        prefix: names of the tokens before the patches, as in :func:`token_names`.
        quantity: the name of the values, if they are not attention.
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
    """Draw a reliability diagram: accuracy by confidence (Guo et al. 2017).

    Empty bins are left out. Bins of few images are pale: with ten images the accuracy is only known to about 0.15.
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
        "hovertemplate": "accuracy: %{y:.1%}<br>mean confidence: %{customdata[0]:.1%}<br>"
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
