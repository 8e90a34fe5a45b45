"""Maps over the image: of every head of every layer, or of several methods, as one figure each."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from PIL import Image

from vit.pictures.colours import SEQUENTIAL, SIGNED, rgb
from vit.pictures.data_url import data_url
from vit.pictures.overlays import OPACITY, shared_top
from vit.plots.base import figure, literal
from vit.support.untrusted_text import lines_of

TILE, WIDEST = 150, 900
"""Pixels of a tile on the screen, and of all tiles of a row."""
TITLE_COLUMNS = 20
GAP = 0.06
"""Between tiles, as a share of one."""

_STEPS = 21


def head_grid(maps: np.ndarray, view: np.ndarray | None = None, *, top: float | None = None) -> go.Figure:
    """What one token attends to in every head: a row a layer, a column a head, on one scale of colours.

    Args:
        maps: ``(depth h rows columns)``, as :func:`vit.explain.token_maps` gives them.
        view: the image that lies below, ``(h w c)`` uint8; small numbers let it through. None for none.
        top: what gets the brightest colour; None is the 99th percentile.
    """
    depth, heads = maps.shape[:2]
    return _tiles(
        maps,
        view,
        [f"Layer {layer + 1}" for layer in range(depth)],
        [f"Head {head + 1}" for head in range(heads)],
        top=shared_top(maps) if top is None else top,
        told="%{customdata}attention %{z:.4f}<extra></extra>",
    )


def map_row(maps: Mapping[str, np.ndarray], view: np.ndarray | None = None, *, signed: bool = False) -> go.Figure:
    """Maps ``(rows columns)`` of one size side by side, by their titles, each in shares of its own largest number.

    Args:
        view: the image that lies below, ``(h w c)`` uint8; small numbers let it through. None for none.
        signed: numbers below zero mean the contrary: :data:`vit.pictures.colours.SIGNED`.
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
        told="%{customdata}%{z:.0%} of the largest<extra></extra>",
    )


def _tiles(
    maps: np.ndarray,
    view: np.ndarray | None,
    down: Sequence[str],
    across: Sequence[str],
    *,
    top: float,
    told: str,
    signed: bool = False,
) -> go.Figure:
    """Maps ``(down across rows columns)`` as one heatmap with gaps in it: subplots would take twenty times as long."""
    tall, wide, rows, columns = maps.shape
    sheet = np.full((tall * (rows + 1) - 1, wide * (columns + 1) - 1), np.nan, dtype=np.float32)
    words = np.full(sheet.shape, "", dtype=object)
    for row, column in np.ndindex(tall, wide):
        place = np.s_[row * (rows + 1) :, column * (columns + 1) :]
        sheet[place][:rows, :columns] = maps[row, column]
        name = ", ".join(literal(part) for part in (down[row], across[column]) if part)
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
        "hovertemplate": told,
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
    """Where cells begin and end, and the gaps between tiles."""
    return [tile * (1 + GAP) + cell / cells for tile in range(tiles) for cell in range(cells + 1)]


def _middles(names: Sequence[str]) -> dict:
    places = [place * (1 + GAP) + 0.5 for place in range(len(names))]
    return {"tickmode": "array", "tickvals": places, "ticktext": [_title(name) for name in names]}


def _title(name: str) -> str:
    return "<br>".join(literal(line) for line in lines_of(name, TITLE_COLUMNS, 2))


def _under(view: np.ndarray, tall: int, wide: int) -> list[dict]:
    """The image below each tile."""
    source = data_url(Image.fromarray(view))
    one = {"source": source, "xref": "x", "yref": "y", "sizex": 1, "sizey": 1, "sizing": "stretch", "layer": "below"}
    return [one | {"x": column * (1 + GAP), "y": row * (1 + GAP)} for row in range(tall) for column in range(wide)]


def _scale(signed: bool, *, clear: bool) -> list[list]:
    """Colours from the smallest number to the largest; ``clear``, the nearer to zero the more they let through."""
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
