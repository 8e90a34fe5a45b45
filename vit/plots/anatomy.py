"""Figures of the Anatomy page: similarity of position embeddings, and two activation functions."""

import numpy as np
import plotly.graph_objects as go

from vit.pictures.colours import PALETTE
from vit.plots.base import SCALE, figure

HOVERED_MAX = 20_000
"""With more values, the hover text does not name the patches, because it would take megabytes."""

MAPS_MAX = 20
"""With more patches per side, only every second one (or third, and so on) has a map."""


def position_maps(similarity: np.ndarray) -> go.Figure:
    """Draw the similarity of each patch to all others, ``(r w r w)``, as a grid of maps, one at each patch.

    The colour scale ends at the 99th percentile of the pairs, because each patch's similarity to itself, 1, would leave
    the rest dark.
    """
    rows, columns = similarity.shape[:2]
    each = map_spacing(rows)
    down, across = range(0, rows, each), range(0, columns, each)
    sheet = np.full((len(down) * (rows + 1) - 1, len(across) * (columns + 1) - 1), np.nan, dtype=np.float32)
    hovered = similarity.size <= HOVERED_MAX
    text = np.full(sheet.shape if hovered else (0, 0), "", dtype=object)
    for y, r in enumerate(down):
        for x, c in enumerate(across):
            place = np.s_[y * (rows + 1) :, x * (columns + 1) :]
            sheet[place][:rows, :columns] = similarity[r, c]
            if hovered:
                text[place][:rows, :columns] = [
                    [f"patch r{r + 1} c{c + 1} with patch r{to_r + 1} c{to_c + 1}<br>" for to_c in range(columns)]
                    for to_r in range(rows)
                ]
    pairs = similarity.reshape(rows * columns, -1)[~np.eye(rows * columns, dtype=bool)]
    low, high = (float(pairs.min()), float(np.percentile(pairs, 99))) if pairs.size else (0.0, 1.0)
    heatmap = {
        "type": "heatmap",
        "z": sheet,
        "zmin": low,
        "zmax": high if high > low else low + 1,
        "colorscale": SCALE,
        "hoverongaps": False,
        "hovertemplate": f"{'%{text}' if hovered else ''}similarity %{{z:.3f}}<extra></extra>",
        "colorbar": {"title": {"text": "Cosine similarity", "side": "right"}, "thickness": 12, "outlinewidth": 0},
    } | ({"text": text.tolist()} if hovered else {})
    axis = {"showgrid": False, "zeroline": False, "ticks": "", "constrain": "domain"}
    middles = {
        "x": [x * (columns + 1) + (columns - 1) / 2 for x in range(len(across))],
        "y": [y * (rows + 1) + (rows - 1) / 2 for y in range(len(down))],
    }
    step = max(1, len(down) // 8)
    return figure(
        [heatmap],
        height=500,
        xaxis={
            **axis,
            "title": {"text": "Column of the map's patch"},
            "tickvals": middles["x"][::step],
            "ticktext": [c + 1 for c in across][::step],
        },
        yaxis={
            **axis,
            "title": {"text": "Row of the map's patch"},
            "tickvals": middles["y"][::step],
            "ticktext": [r + 1 for r in down][::step],
            "autorange": "reversed",
            "scaleanchor": "x",
        },
        dragmode="zoom",
    )


def map_spacing(rows: int) -> int:
    """Return ``k`` if every ``k``-th of ``rows`` patches has a map in :func:`position_maps`."""
    return -(-rows // MAPS_MAX)


def activation_curves(curves: dict[str, np.ndarray]) -> go.Figure:
    """Draw ReLU and GELU; ``curves`` holds ``x``, ``relu`` and ``gelu``, arrays of one length."""
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "x": curves["x"].tolist(),
            "y": curves[name.lower()].tolist(),
            "line": {"color": PALETTE[colour], "width": 2, "dash": dash},
            "hovertemplate": f"{name}(%{{x:.2f}}) = %{{y:.3f}}<extra></extra>",
        }
        for name, colour, dash in (("ReLU", "vermilion", "solid"), ("GELU", "blue", "dash"))
    ]
    return figure(
        traces,
        height=240,
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        xaxis={"title": {"text": "Input"}, "fixedrange": True, "zeroline": False},
        yaxis={"title": {"text": "Output"}, "fixedrange": True, "zeroline": False},
    )
