"""Attention as pictures: maps laid over the image, in a grid of all heads. numpy and Pillow alone."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

TILE = 128
GAP = 6
LABEL = 16
OPACITY = 0.65

# Viridis (Smith and van der Walt 2015) at nine equal steps.
_VIRIDIS = np.array(
    [
        (68, 1, 84),
        (71, 44, 122),
        (59, 81, 139),
        (44, 113, 142),
        (33, 144, 141),
        (39, 173, 129),
        (92, 200, 99),
        (170, 220, 50),
        (253, 231, 37),
    ],
    dtype=np.float64,
)


def colours(values: np.ndarray) -> np.ndarray:
    """Values in [0, 1] of any shape to RGB: ``(...)`` -> ``(... 3)`` uint8."""
    places = np.clip(values, 0, 1) * (len(_VIRIDIS) - 1)
    steps = np.arange(len(_VIRIDIS))
    return np.stack([np.interp(places, steps, channel) for channel in _VIRIDIS.T], axis=-1).round().astype(np.uint8)


def overlay(view: np.ndarray, heat: np.ndarray, *, top: float, side: int = TILE) -> Image.Image:
    """One map over the image that the model saw.

    Args:
        view: the image, ``(h w c)`` uint8.
        heat: ``(rows columns)``; ``top`` and more is the brightest colour.
        side: of the result in pixels.
    """
    image = Image.fromarray(view).resize((side, side), Image.Resampling.BICUBIC)
    layer = Image.fromarray(colours(heat / top if top > 0 else heat)).resize((side, side), Image.Resampling.NEAREST)
    return Image.blend(image, layer, OPACITY)


def shared_top(maps: np.ndarray) -> float:
    """The value that gets the brightest colour when maps are compared: their 99th percentile."""
    return float(np.percentile(maps, 99))


def attention_grid(view: np.ndarray, maps: np.ndarray, layers: Sequence[int], heads: Sequence[int]) -> Image.Image:
    """Maps of some heads of some layers as one picture, on one scale of colours: a row a layer, a column a head.

    Args:
        view: the image, ``(h w c)`` uint8.
        maps: ``(layers heads rows columns)``.
        layers, heads: their numbers, from 1.
    """
    side = TILE if len(layers) * len(heads) > 1 else 4 * TILE
    left, step, top = 4 * LABEL, side + GAP, shared_top(maps)
    sheet = Image.new("RGB", (left + step * len(heads), LABEL + step * len(layers)), "white")
    pen = ImageDraw.Draw(sheet)
    for column, head in enumerate(heads):
        pen.text((left + column * step + side // 2, 2), f"head {head}", "black", anchor="ma")
    for row, layer in enumerate(layers):
        pen.text((4, LABEL + row * step + side // 2), f"layer {layer}", "black", anchor="lm")
        for column in range(len(heads)):
            tile = overlay(view, maps[row, column], top=top, side=side)
            sheet.paste(tile, (left + column * step, LABEL + row * step))
    return sheet
