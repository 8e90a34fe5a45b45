"""Figures of the Heads page: a value of every head by layer, and the similarity of layers."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from vit.pictures.colours import PALETTE
from vit.plots.base import SCALE, escaped, figure

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
"""Width over which the heads of a layer are spread, in distances between layers."""

WRITTEN_MAX = 10
"""Up to this many rows and columns, each cell shows its number."""


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
    """Draw one value of every head by layer, as in Dosovitskiy et al. (2021), fig. 7, right.

    Args:
        values: the values, ``(depth h)``.
        names: the kind of each head, ``(depth h)``, from :data:`HEAD_COLOURS`: its colour and symbol.
        quantity: title of the vertical axis.
        reference: a name and its value, drawn as a dashed line.
        chosen: layer and head, from 0, of the point with a ring.
        hover: further hover text for each head, already escaped.
        number: d3 format of the values.
        top: upper end of the axis; None fits the values.
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
            "title": {"text": "Layer (its heads side by side)"},
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
    """Draw the similarity of stages as a heat map, with the first stage at the bottom left.

    Args:
        values: similarities, ``(down across)`` from 0 to 1; NaN where there is none.
        down: names of the rows.
        across: names of the columns.
        titles: titles of the vertical and the horizontal axis.
    """
    values = np.asarray(values, dtype=float)
    rows, columns = values.shape
    written = max(rows, columns) <= WRITTEN_MAX
    text = [["" if np.isnan(value) else f"{value:.2f}" for value in row] for row in values]
    values_text = [["no value" if np.isnan(value) else f"{value:.3f}" for value in row] for row in values]
    heatmap = {
        "type": "heatmap",
        "z": [[None if np.isnan(value) else float(value) for value in row] for row in values],
        "customdata": [
            [[escaped(down[row]), escaped(across[column]), values_text[row][column]] for column in range(columns)]
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
        xaxis=axis | {"title": {"text": escaped(titles[1])}, "tickangle": -40} | _ticks(across),
        yaxis=axis | {"title": {"text": escaped(titles[0])}} | _ticks(down),
    )


def _ticks(names: Sequence[str]) -> dict:
    step = max(1, round(len(names) / 14))
    places = list(range(0, len(names), step))
    return {"tickmode": "array", "tickvals": places, "ticktext": [escaped(names[place]) for place in places]}
