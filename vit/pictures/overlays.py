"""Attention as pictures: maps laid over the image, in a grid of all heads. numpy and Pillow alone."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vit.pictures.colours import PALETTE, SEQUENTIAL, SIGNED, rgb

TILE = 128
GAP = 6
LABEL = 24
OPACITY = 0.85

_SCALE = np.array([*map(rgb, SEQUENTIAL)], dtype=float)
_SIGNED = np.array([*map(rgb, SIGNED)], dtype=np.uint8)


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
    scaled = np.clip(heat / top if top > 0 else heat, 0, 1)
    return _laid_over(view, colours(scaled), scaled, side)


def signed_overlay(view: np.ndarray, heat: np.ndarray, *, top: float, side: int = TILE) -> Image.Image:
    """One signed map over the image: :data:`SIGNED`, negative and positive, from ``-top`` to ``top``.

    Args:
        view: the image, ``(h w c)`` uint8.
        heat: ``(rows columns)``; ``top`` and more, with either sign, is the fullest colour.
        side: of the result in pixels.
    """
    scaled = np.clip(np.abs(heat) / top if top > 0 else np.zeros_like(heat), 0, 1)
    return _laid_over(view, np.where((heat < 0)[..., None], *_SIGNED), scaled, side)


def _laid_over(view: np.ndarray, layer: np.ndarray, amount: np.ndarray, side: int) -> Image.Image:
    """Colours ``layer (rows columns 3)`` over the image; where ``amount (rows columns)`` is 0 it shows through."""
    image = Image.fromarray(view).resize((side, side), Image.Resampling.BICUBIC)
    opacity = (255 * OPACITY * np.sqrt(amount)).astype(np.uint8)
    layer, opacity = (Image.fromarray(one).resize((side, side), Image.Resampling.NEAREST) for one in (layer, opacity))
    return Image.composite(layer, image, opacity)


def shared_top(maps: np.ndarray) -> float:
    """The value that gets the brightest colour when maps are compared: their 99th percentile."""
    return float(np.percentile(maps, 99))


def attention_grid(
    view: np.ndarray,
    maps: np.ndarray,
    layers: Sequence[int | str],
    heads: Sequence[int | str],
    *,
    top: float | None = None,
) -> Image.Image:
    """Maps of some heads of some layers as one picture, on one scale of colours: a row a layer, a column a head.

    Args:
        view: the image, ``(h w c)`` uint8.
        maps: ``(layers heads rows columns)``.
        layers, heads: their numbers, from 1, or what else stands beside the rows and above the columns.
        top: what gets the brightest colour, where the picture is one of several; None is :func:`shared_top` of these.
    """
    side = TILE if len(layers) * len(heads) > 1 else 4 * TILE
    left, step, top = 4 * LABEL, side + GAP, shared_top(maps) if top is None else top
    sheet = Image.new("RGBA", (left + step * len(heads), LABEL + step * len(layers)))  # clear: on light and dark pages
    pen, words = ImageDraw.Draw(sheet), {"fill": PALETTE["grey"], "font": ImageFont.load_default(LABEL - 6)}
    for column, head in enumerate(heads):
        pen.text(
            (left + column * step + side // 2, 2),
            head if isinstance(head, str) else f"head {head}",
            anchor="ma",
            **words,
        )
    for row, layer in enumerate(layers):
        pen.text(
            (4, LABEL + row * step + side // 2),
            layer if isinstance(layer, str) else f"layer {layer}",
            anchor="lm",
            **words,
        )
        for column in range(len(heads)):
            tile = overlay(view, maps[row, column], top=top, side=side)
            sheet.paste(tile, (left + column * step, LABEL + row * step))
    return sheet


def sheet(pictures: Sequence[Image.Image], titles: Sequence[str], *, columns: int = 4) -> Image.Image:
    """Pictures of one size side by side, row by row, each under its title."""
    side = pictures[0].width
    rows = -(-len(pictures) // columns)
    result = Image.new("RGBA", (min(columns, len(pictures)) * (side + GAP), rows * (side + LABEL + GAP)))
    pen, words = ImageDraw.Draw(result), {"fill": PALETTE["grey"], "font": ImageFont.load_default(LABEL - 8)}
    for index, (picture, title) in enumerate(zip(pictures, titles, strict=True)):
        left, top = index % columns * (side + GAP), index // columns * (side + LABEL + GAP)
        pen.text((left + side // 2, top + 3), title, anchor="ma", **words)
        result.paste(picture, (left, top + LABEL))
    return result
