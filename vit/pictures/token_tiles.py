"""Draw the contents of the tokens as tiles, one per layer, with numpy and Pillow only."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vit.pictures.colours import PALETTE, SIGNED, rgb
from vit.support.untrusted_text import bare

TILE = 192  # pixels a side
GAP, LABEL = 8, 26
LEGEND_COLUMNS = 60
OPACITY = 0.85
PALE = 0.55
"""Contrast that the grey image keeps below class colours, so that the two are not confused."""


def colour_tile(colours: np.ndarray, side: int = TILE) -> Image.Image:
    """Draw each patch in its colour, ``(rows columns 3)`` in [0, 1]."""
    return Image.fromarray((colours * 255).round().astype(np.uint8)).resize((side, side), Image.Resampling.NEAREST)


def class_tile(
    view: np.ndarray, likeliest: np.ndarray, probability: np.ndarray, colours: Sequence[str], side: int = TILE
) -> Image.Image:
    """Draw each patch in the colour of its most probable class over the grey image, more opaque where more probable.

    Args:
        view: the image as the model receives it, ``(h w c)`` uint8.
        likeliest: most probable class of each patch as an index into ``colours``, ``(rows columns)``.
        probability: probability of that class, ``(rows columns)``.
        colours: one colour for each class.
        side: side of the tile in pixels.
    """
    grey = Image.fromarray(view).convert("L").resize((side, side), Image.Resampling.BICUBIC)
    grey = grey.point(lambda value: int(255 - (255 - value) * PALE)).convert("RGB")
    return _blend(grey, np.array([*map(rgb, colours)])[likeliest], OPACITY * probability)


def signed_tile(view: np.ndarray, values: np.ndarray, *, top: float, side: int = TILE) -> Image.Image:
    """Draw signed values ``(rows columns)`` over the image ``(h w c)`` uint8, most opaque at ``top`` and ``-top``."""
    image = Image.fromarray(view).convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
    share = np.clip(np.abs(values) / (top or 1), 0, 1)
    return _blend(image, np.array([*map(rgb, SIGNED)])[(values >= 0).astype(int)], OPACITY * np.sqrt(share))


def outlined(tile: Image.Image, grid: tuple[int, int], token: int) -> Image.Image:
    """Return the tile with a frame around the chosen patch, numbered from 1; 0 for no frame."""
    if not token:
        return tile
    tile, (row, column) = tile.copy(), divmod(token - 1, grid[1])
    across, down, pen = tile.width / grid[1], tile.height / grid[0], ImageDraw.Draw(tile)
    box = (column * across, row * down, (column + 1) * across - 1, (row + 1) * down - 1)
    for colour, width in (("black", 4), ("white", 2)):
        pen.rectangle(box, outline=colour, width=width)
    return tile


def tile_sheet(
    tiles: Sequence[Image.Image],
    names: Sequence[str],
    *,
    columns: int = 7,
    legend: Sequence[tuple[str, str]] = (),
) -> Image.Image:
    """Arrange tiles in rows, each below its name, on a transparent background for light and dark pages.

    Args:
        tiles: tiles of one size.
        names: the name of each tile.
        columns: tiles in a row.
        legend: colours and their meanings, one line each below the tiles.
    """
    columns = min(columns, len(tiles))
    width, height = tiles[0].width + GAP, tiles[0].height + GAP + LABEL
    bottom = -(-len(tiles) // columns) * height
    result = Image.new("RGBA", (columns * width - GAP, bottom - GAP + LABEL * len(legend)))
    pen, font = ImageDraw.Draw(result), ImageFont.load_default(LABEL - 8)
    for line, (colour, meaning) in enumerate(legend):
        y, side = bottom + LABEL * line, LABEL - 2 * GAP
        pen.rectangle((0, y, side, y + side), fill=colour)
        pen.text((LABEL, y + side // 2), bare(meaning, LEGEND_COLUMNS), anchor="lm", fill=PALETTE["grey"], font=font)
    for place, (tile, name) in enumerate(zip(tiles, names, strict=True)):
        x, y = place % columns * width, place // columns * height
        pen.text((x + tile.width // 2, y + 2), name, anchor="ma", fill=PALETTE["grey"], font=font)
        result.paste(tile, (x, y + LABEL))
    return result


def _blend(image: Image.Image, colours: np.ndarray, opacity: np.ndarray) -> Image.Image:
    layer, mask = (
        Image.fromarray(it.astype(np.uint8)).resize(image.size, Image.Resampling.NEAREST)
        for it in (colours, 255 * opacity)
    )
    return Image.composite(layer, image, mask)
