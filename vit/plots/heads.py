"""Figures of the Heads page: a number of every head against depth, and how alike layers are."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from vit.pictures.colours import PALETTE
from vit.plots.base import SCALE, figure, literal

HEAD_COLOURS = {
    "local": PALETTE["blue"],
    "positional": PALETTE["orange"],
    "content": PALETTE["green"],
    "mixed": PALETTE["grey"],
    "global": PALETTE["sky"],
    "sink": PALETTE["purple"],
}
_SYMBOLS = dict(zip(HEAD_COLOURS, ("circle", "square", "diamond", "cross", "triangle-up", "x"), strict=True))

SPREAD = 0.5
"""The heads of a layer lie side by side within this part of the way to the next layer."""

WRITTEN_MAX = 10
"""Up to so many rows and columns each cell of a similarity has its number written in."""


def heads_by_depth(
    values: np.ndarray,
    names: np.ndarray,
    *,
    quantity: str,
    reference: tuple[str, float],
    chosen: tuple[int, int],
    hover: Mapping[tuple[int, int], str],
    number: str = ".3~g",
    top: float | None = None,
) -> go.Figure:
    """One number of every head ``(depth h)`` against the layer it is in, as in Dosovitskiy et al. (2021), fig. 7 right.

    Args:
        names: ``(depth h)``, of :data:`HEAD_COLOURS`: colour and symbol of a point.
        quantity: what the number is, as the axis says it.
        reference: what it would be in the case that these words name, drawn as a dashed line.
        chosen: layer and head, from 0, of the point with a ring around it.
        hover: what is told of each head below its number, as Plotly reads it.
        number: how it is written, as d3 formats it.
        top: where the axis ends; None leaves it to the numbers.
    """
    depth, heads = values.shape
    places = np.arange(1, depth + 1)[:, None] + SPREAD * ((np.arange(heads) + 0.5) / heads - 0.5)
    size = 11 if heads <= 8 else 8
    ring = {
        "type": "scatter",
        "mode": "markers",
        "x": [float(places[chosen])],
        "y": [float(values[chosen])],
        "marker": {"size": size + 9, "symbol": "circle-open", "color": PALETTE["vermilion"], "line": {"width": 2.5}},
        "showlegend": False,
        "hoverinfo": "skip",
    }
    traces = [ring]
    for name, colour in HEAD_COLOURS.items():
        which = [(int(layer), int(head)) for layer, head in np.argwhere(names == name)]
        if which:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": name,
                    "x": [float(places[at]) for at in which],
                    "y": [float(values[at]) for at in which],
                    "customdata": [[f"layer {at[0] + 1}, head {at[1] + 1}", hover[at]] for at in which],
                    "marker": {"size": size, "symbol": _SYMBOLS[name], "color": colour, "opacity": 0.9},
                    "hovertemplate": f"<b>%{{customdata[0]}}: {name}</b><br>{quantity.lower()}: %{{y:{number}}}<br>"
                    "%{customdata[1]}<extra></extra>",
                }
            )
    words, value = reference
    highest = max(float(values.max()), value)
    line = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": value, "y1": value}
    return figure(
        traces,
        height=330,
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hovermode="closest",
        shapes=[line | {"line": {"color": PALETTE["grey"], "dash": "dash", "width": 1.5}}],
        annotations=[
            {
                "xref": "paper",
                "x": 1,
                "y": value,
                "xanchor": "right",
                "yanchor": "bottom",
                "showarrow": False,
                "text": words,
                "font": {"color": PALETTE["grey"], "size": 12},
            }
        ],
        xaxis={
            "title": {"text": "Layer; the heads of one side by side"},
            "range": [0.5, depth + 0.5],
            "dtick": max(1, round(depth / 12)),
            "tick0": 1,
            "fixedrange": True,
            "zeroline": False,
            "showgrid": False,
        },
        yaxis={
            "title": {"text": quantity},
            "range": [0, (top or highest) * 1.08],
            "tickformat": number,
            "fixedrange": True,
            "zeroline": False,
            "automargin": True,
        },
    )


def layer_similarity(
    values: np.ndarray, down: Sequence[str], across: Sequence[str], *, titles: tuple[str, str]
) -> go.Figure:
    """How alike stages are, ``(down across)`` from 0 to 1, as a heat map; the first stage is at the bottom left.

    Args:
        down, across: what the stages are called.
        titles: of the two axes: vertical and horizontal.
    """
    values = np.asarray(values, dtype=float)
    rows, columns = values.shape
    written = max(rows, columns) <= WRITTEN_MAX
    text = [["" if np.isnan(value) else f"{value:.2f}" for value in row] for row in values]
    told = [["no value" if np.isnan(value) else f"{value:.3f}" for value in row] for row in values]
    heatmap = {
        "type": "heatmap",
        "z": [[None if np.isnan(value) else float(value) for value in row] for row in values],
        "customdata": [
            [[literal(down[row]), literal(across[column]), told[row][column]] for column in range(columns)]
            for row in range(rows)
        ],
        "zmin": 0.0,
        "zmax": 1.0,
        "colorscale": SCALE,
        "xgap": 1,
        "ygap": 1,
        "hoverongaps": False,
        "hovertemplate": "%{customdata[0]}<br>%{customdata[1]}<br>similarity: %{customdata[2]}<extra></extra>",
        "colorbar": {"title": {"text": "Similarity (CKA)", "side": "right"}, "thickness": 12, "outlinewidth": 0},
    } | ({"text": text, "texttemplate": "%{text}"} if written else {})
    axis = {"showgrid": False, "zeroline": False, "ticks": "", "constrain": "domain", "automargin": True}
    return figure(
        [heatmap],
        height=int(np.clip(46 * rows + 150, 330, 640)),
        xaxis=axis | {"title": {"text": literal(titles[1])}, "tickangle": -40} | _ticks(across),
        yaxis=axis | {"title": {"text": literal(titles[0])}} | _ticks(down),
    )


def _ticks(names: Sequence[str]) -> dict:
    step = max(1, round(len(names) / 14))
    places = list(range(0, len(names), step))
    return {"tickmode": "array", "tickvals": places, "ticktext": [literal(names[place]) for place in places]}
