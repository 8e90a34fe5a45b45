"""Maps over the image as one figure: all heads of all layers, or several methods."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from PIL import Image

from vit.pictures.colours import SEQUENTIAL, SIGNED, rgb
from vit.pictures.data_url import data_url
from vit.pictures.overlays import OPACITY, shared_top
from vit.plots.base import escaped, figure
from vit.support.untrusted_text import lines_of

TILE, WIDEST = 150, 900
"""Side of a tile and maximum width of a row of tiles, in pixels."""
TITLE_COLUMNS = 20
GAP = 0.06
"""Gap between tiles, as a share of a tile."""

_STEPS = 21


def head_grid(maps: np.ndarray, view: np.ndarray | None = None, *, top: float | None = None) -> go.Figure:
    """Draw what one token attends to in every head: one row per layer, one column per head, one colour scale.

    Args:
        maps: ``(depth h rows columns)``, as returned by :func:`vit.explain.token_maps`.
        view: the image below the maps, ``(h w c)`` uint8; small values are transparent. None for no image.
        top: the value with the brightest colour; None is the 99th percentile.
    """
    depth, heads = maps.shape[:2]
    return _tiles(
        maps,
        view,
        [f"Layer {layer + 1}" for layer in range(depth)],
        [f"Head {head + 1}" for head in range(heads)],
        top=shared_top(maps) if top is None else top,
        hover="%{customdata}attention %{z:.4f}<extra></extra>",
    )


def map_row(maps: Mapping[str, np.ndarray], view: np.ndarray | None = None, *, signed: bool = False) -> go.Figure:
    """Draw maps of one size side by side, each relative to its own largest value.

    Args:
        maps: maps ``(rows columns)`` by their titles.
        view: the image below the maps, ``(h w c)`` uint8; small values are transparent. None for no image.
        signed: whether values may be negative, which are drawn in the first colour of
            :data:`vit.pictures.colours.SIGNED`.
    """
    stacked = np.stack([np.asarray(one, dtype=np.float32) for one in maps.values()])
    tops = np.abs(stacked).max(axis=(1, 2), keepdims=True)
    shares = stacked / np.where(tops > 0, tops, 1)
    return _tiles(
        shares[None],
        view,
        [""],
        list(maps),
        top=1.0,
        signed=signed,
        hover="%{customdata}%{z:.0%} of the largest value<extra></extra>",
    )


def _tiles(
    maps: np.ndarray,
    view: np.ndarray | None,
    down: Sequence[str],
    across: Sequence[str],
    *,
    top: float,
    hover: str,
    signed: bool = False,
) -> go.Figure:
    """Draw maps ``(down across rows columns)`` as one heat map with gaps, which is 20 times as fast as subplots."""
    tall, wide, rows, columns = maps.shape
    sheet = np.full((tall * (rows + 1) - 1, wide * (columns + 1) - 1), np.nan, dtype=np.float32)
    words = np.full(sheet.shape, "", dtype=object)
    for row, column in np.ndindex(tall, wide):
        place = np.s_[row * (rows + 1) :, column * (columns + 1) :]
        sheet[place][:rows, :columns] = maps[row, column]
        name = ", ".join(escaped(part) for part in (down[row], across[column]) if part)
        words[place][:rows, :columns] = [
            [f"<b>{name}</b><br>patch r{y + 1} c{x + 1}<br>" for x in range(columns)] for y in range(rows)
        ]
    heatmap = {
        "type": "heatmap",
        "z": sheet,
        "x": _edges(wide, columns),
        "y": _edges(tall, rows),
        "customdata": words.tolist(),
        "zmin": -top if signed else 0.0,
        "zmax": top or 1.0,
        "colorscale": _scale(signed, clear=view is not None),
        "showscale": False,
        "hoverongaps": False,
        "hovertemplate": hover,
    }
    side = min(TILE, WIDEST // wide)
    axis = {"showgrid": False, "zeroline": False, "ticks": "", "constrain": "domain", "fixedrange": True}
    return figure(
        [heatmap],
        width=round(side * wide * (1 + GAP)) + 70,
        height=round(side * rows / columns * tall * (1 + GAP)) + 55,
        margin={"l": 60, "r": 10, "t": 45, "b": 10},
        plot_bgcolor="rgba(0,0,0,0)",
        images=[] if view is None else _under(view, tall, wide),
        xaxis=axis | {"side": "top", "range": [0, _length(wide)]} | _middles(across),
        yaxis=axis | {"range": [_length(tall), 0], "scaleanchor": "x", "scaleratio": rows / columns} | _middles(down),
    )


def _length(tiles: int) -> float:
    return tiles * (1 + GAP) - GAP


def _edges(tiles: int, cells: int) -> list[float]:
    """Return the edges of all cells along one axis, with gaps between tiles."""
    return [tile * (1 + GAP) + cell / cells for tile in range(tiles) for cell in range(cells + 1)]


def _middles(names: Sequence[str]) -> dict:
    places = [place * (1 + GAP) + 0.5 for place in range(len(names))]
    return {"tickmode": "array", "tickvals": places, "ticktext": [_title(name) for name in names]}


def _title(name: str) -> str:
    return "<br>".join(escaped(line) for line in lines_of(name, TITLE_COLUMNS, 2))


def _under(view: np.ndarray, tall: int, wide: int) -> list[dict]:
    source = data_url(Image.fromarray(view))
    one = {"source": source, "xref": "x", "yref": "y", "sizex": 1, "sizey": 1, "sizing": "stretch", "layer": "below"}
    return [one | {"x": column * (1 + GAP), "y": row * (1 + GAP)} for row in range(tall) for column in range(wide)]


def _scale(signed: bool, *, clear: bool) -> list[list]:
    """Return the colour scale from the smallest value to the largest; ``clear``: transparent towards zero."""
    palette = np.array([*map(rgb, SEQUENTIAL)], dtype=float)
    low, high = map(rgb, SIGNED)
    scale = []
    for place in np.linspace(0, 1, _STEPS):
        amount = abs(2 * place - 1) if signed else place
        mixed: Sequence[float]
        if signed:
            mixed = low if place < 0.5 else high
        else:
            mixed = [np.interp(place * (len(palette) - 1), range(len(palette)), channel) for channel in palette.T]
        alpha = OPACITY * amount**0.5 if clear or signed else 1
        scale.append([float(place), f"rgba({','.join(str(round(part)) for part in mixed)},{alpha:.3f})"])
    return scale
