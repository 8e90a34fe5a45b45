"""Attention as pictures: maps laid over the image, in a grid of all heads. numpy and Pillow alone."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vit.colours import PALETTE, SEQUENTIAL

TILE = 128
GAP = 6
LABEL = 24
OPACITY = 0.85

_SCALE = np.array([[int(colour[place : place + 2], 16) for place in (1, 3, 5)] for colour in SEQUENTIAL], dtype=float)


def colours(values: np.ndarray) -> np.ndarray:
    """Values in [0, 1] of any shape to RGB: ``(...)`` -> ``(... 3)`` uint8."""
    places, steps = np.clip(values, 0, 1) * (len(_SCALE) - 1), np.arange(len(_SCALE))
    return np.stack([np.interp(places, steps, channel) for channel in _SCALE.T], axis=-1).round().astype(np.uint8)


def overlay(view: np.ndarray, heat: np.ndarray, *, top: float, side: int = TILE) -> Image.Image:
    """One map over the image that the model saw.

    Args:
        view: the image, ``(h w c)`` uint8.
        heat: ``(rows columns)``; ``top`` and more is the brightest colour.
        side: of the result in pixels.
    """
    image = Image.fromarray(view).resize((side, side), Image.Resampling.BICUBIC)
    scaled = np.clip(heat / top if top > 0 else heat, 0, 1)
    opacity = Image.fromarray(
        (255 * OPACITY * np.sqrt(scaled)).astype(np.uint8)
    )  # what counts little lets the image through
    layer, opacity = (
        it.resize((side, side), Image.Resampling.NEAREST) for it in (Image.fromarray(colours(scaled)), opacity)
    )
    return Image.composite(layer, image, opacity)


def shared_top(maps: np.ndarray) -> float:
    """The value that gets the brightest colour when maps are compared: their 99th percentile."""
    return float(np.percentile(maps, 99))


def attention_grid(
    view: np.ndarray, maps: np.ndarray, layers: Sequence[int | str], heads: Sequence[int | str]
) -> Image.Image:
    """Maps of some heads of some layers as one picture, on one scale of colours: a row a layer, a column a head.

    Args:
        view: the image, ``(h w c)`` uint8.
        maps: ``(layers heads rows columns)``.
        layers, heads: their numbers, from 1, or what else stands beside the rows and above the columns.
    """
    side = TILE if len(layers) * len(heads) > 1 else 4 * TILE
    left, step, top = 4 * LABEL, side + GAP, shared_top(maps)
    sheet = Image.new("RGBA", (left + step * len(heads), LABEL + step * len(layers)))  # clear: on light and dark pages
    pen, words = ImageDraw.Draw(sheet), {"fill": PALETTE["grey"], "font": ImageFont.load_default(LABEL - 6)}
    for column, head in enumerate(heads):
        pen.text((left + column * step + side // 2, 2), head if isinstance(head, str) else f"head {head}", anchor="ma", **words)
    for row, layer in enumerate(layers):
        pen.text((4, LABEL + row * step + side // 2), layer if isinstance(layer, str) else f"layer {layer}", anchor="lm", **words)
        for column in range(len(heads)):
            tile = overlay(view, maps[row, column], top=top, side=side)
            sheet.paste(tile, (left + column * step, LABEL + row * step))
    return sheet
