"""Draw maps over an image, one map or a grid of all heads, with numpy and Pillow only."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vit.pictures.colours import PALETTE, SEQUENTIAL, SIGNED, rgb

TILE = 128
GAP = 6
LABEL = 24
OPACITY = 0.85
"""Opacity of the largest value; smaller values are more transparent."""

_SCALE = np.array([*map(rgb, SEQUENTIAL)], dtype=float)
_NEGATIVE, _POSITIVE = (np.array(rgb(colour), dtype=np.uint8) for colour in SIGNED)


def to_colours(values: np.ndarray) -> np.ndarray:
    """Map values in [0, 1] to the colours of :data:`vit.pictures.colours.SEQUENTIAL`.

    Args:
        values: an array of any shape ``(...)``.

    Returns:
        RGB, ``(... 3)`` uint8.
    """
    places, steps = np.clip(values, 0, 1) * (len(_SCALE) - 1), np.arange(len(_SCALE))
    return np.stack([np.interp(places, steps, channel) for channel in _SCALE.T], axis=-1).round().astype(np.uint8)


def overlay(view: np.ndarray, heat: np.ndarray, *, top: float, side: int = TILE, smooth: bool = False) -> Image.Image:
    """Draw one map over the image that the model received.

    Args:
        view: the image, ``(h w c)`` uint8.
        heat: the map, ``(rows columns)``.
        top: values from here on get the brightest colour.
        side: side of the result in pixels.
        smooth: interpolate the colours between the centres of the patches instead of drawing squares.
    """
    scaled = np.clip(heat / top if top > 0 else heat, 0, 1)
    return _blend(view, to_colours(scaled), scaled, side, smooth)


def signed_overlay(
    view: np.ndarray, heat: np.ndarray, *, top: float, side: int = TILE, smooth: bool = False
) -> Image.Image:
    """Draw one signed map over the image, negative and positive values in the colours of :data:`SIGNED`.

    Args:
        view: the image, ``(h w c)`` uint8.
        heat: the map, ``(rows columns)``.
        top: values of at least this size, with either sign, get the full colour.
        side: side of the result in pixels.
        smooth: interpolate the colours between the centres of the patches instead of drawing squares.
    """
    scaled = np.clip(np.abs(heat) / top if top > 0 else np.zeros_like(heat), 0, 1)
    return _blend(view, np.where((heat < 0)[..., None], _NEGATIVE, _POSITIVE), scaled, side, smooth)


def _blend(view: np.ndarray, colours: np.ndarray, amount: np.ndarray, side: int, smooth: bool) -> Image.Image:
    """Blend ``colours (rows columns 3)`` over the image; where ``amount (rows columns)`` is 0, the image stays."""
    image = Image.fromarray(view).resize((side, side), Image.Resampling.BICUBIC)
    opacity = (255 * OPACITY * np.sqrt(amount)).astype(np.uint8)
    # In one picture with its opacity a colour counts by its opacity: a clear patch does not tint its neighbours.
    layer = Image.fromarray(np.dstack([colours, opacity]))
    layer = layer.resize((side, side), Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST)
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def shared_top(maps: np.ndarray) -> float:
    """Return the value for the brightest colour when maps share a colour scale: their 99th percentile."""
    return float(np.percentile(maps, 99))


def attention_grid(
    view: np.ndarray,
    maps: np.ndarray,
    layers: Sequence[int | str],
    heads: Sequence[int | str],
    *,
    top: float | None = None,
    smooth: bool = False,
) -> Image.Image:
    """Draw maps of several layers (rows) and heads (columns) as one picture with one colour scale.

    Args:
        view: the image, ``(h w c)`` uint8.
        maps: ``(layers heads rows columns)``.
        layers: label of each row; a number, from 1, becomes "layer 1".
        heads: label of each column; a number, from 1, becomes "head 1".
        top: values from here on get the brightest colour; None is :func:`shared_top` of the maps.
        smooth: as in :func:`overlay`.
    """
    side = TILE if len(layers) * len(heads) > 1 else 4 * TILE
    left, step, top = 4 * LABEL, side + GAP, shared_top(maps) if top is None else top
    sheet = Image.new("RGBA", (left + step * len(heads), LABEL + step * len(layers)))
    pen, font, ink = ImageDraw.Draw(sheet), ImageFont.load_default(LABEL - 6), PALETTE["grey"]
    for column, head in enumerate(heads):
        label = head if isinstance(head, str) else f"head {head}"
        pen.text((left + column * step + side // 2, 2), label, ink, font, "ma")
    for row, layer in enumerate(layers):
        label = layer if isinstance(layer, str) else f"layer {layer}"
        pen.text((4, LABEL + row * step + side // 2), label, ink, font, "lm")
        for column in range(len(heads)):
            tile = overlay(view, maps[row, column], top=top, side=side, smooth=smooth)
            sheet.paste(tile, (left + column * step, LABEL + row * step))
    return sheet


def titled_grid(pictures: Sequence[Image.Image], titles: Sequence[str], *, columns: int = 4) -> Image.Image:
    """Arrange pictures of one size in rows, each below its title."""
    side = pictures[0].width
    rows = -(-len(pictures) // columns)
    result = Image.new("RGBA", (min(columns, len(pictures)) * (side + GAP), rows * (side + LABEL + GAP)))
    pen, font, ink = ImageDraw.Draw(result), ImageFont.load_default(LABEL - 8), PALETTE["grey"]
    for index, (picture, title) in enumerate(zip(pictures, titles, strict=True)):
        left, top = index % columns * (side + GAP), index // columns * (side + LABEL + GAP)
        pen.text((left + side // 2, top + 3), title, ink, font, "ma")
        result.paste(picture, (left, top + LABEL))
    return result
