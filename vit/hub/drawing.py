"""Curves and the confusion matrix as PNG, drawn with Pillow: the hub does not show SVG."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vit.pictures.colours import RIGHT, THEMES, WRONG, contrast, rgb
from vit.plots.panels import Panel, lay_out
from vit.support.untrusted_text import bare

WIDTH, HEIGHT = 480, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 14, 44, 40
_FINER = 4
"""Scale of the drawing, which is then halved: lines are smooth, and sharp on high-resolution screens."""
_INK, _QUIET, _GRID, _PAPER = (THEMES["light"][part] for part in ("text", "quiet", "border", "background"))

CELL = 56
NAME_COLUMNS = 16
NUMBERS_MAX = 25
"""With more classes, the matrix has no numbers and no names."""
SIDE_MAX = 900


def curves(panels: Sequence[Panel]) -> Image.Image:
    """Draw charts side by side."""
    picture = Image.new("RGB", (WIDTH * len(panels) * _FINER, HEIGHT * _FINER), _PAPER)
    for index, panel in enumerate(panels):
        picture.paste(_chart(panel), (index * WIDTH * _FINER, 0))
    return picture.reduce(2)


def _chart(panel: Panel) -> Image.Image:
    picture = Image.new("RGB", (WIDTH * _FINER, HEIGHT * _FINER), _PAPER)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(11 * _FINER)
    left, right, bottom = _FINER * _LEFT, _FINER * (WIDTH - _RIGHT), _FINER * (HEIGHT - _BOTTOM)
    chart = lay_out(panel, left=left, top=_FINER * _TOP, right=right, bottom=bottom)
    for tick in chart.y_ticks:
        pen.line([(left, tick.at), (right, tick.at)], _GRID, _FINER)
        pen.text((left - _FINER * 6, tick.at), tick.label, _QUIET, font, "rm")
    for tick in chart.x_ticks:
        pen.text((tick.at, bottom + _FINER * 6), tick.label, _QUIET, font, "mt")
    pen.text(((left + right) / 2, _FINER * (HEIGHT - 4)), panel.x, _QUIET, font, "mb")
    pen.text((_FINER * 8, _FINER * 8), panel.y, _INK, ImageFont.load_default(13 * _FINER), "lt")
    key: float = WIDTH - _RIGHT
    for line in reversed([curve.line for curve in chart.curves]):
        key -= pen.textlength(line.name, font) / _FINER
        pen.text((_FINER * key, _FINER * 16), line.name, _QUIET, font, "lm")
        pen.line([(_FINER * (key - 22), _FINER * 16), (_FINER * (key - 6), _FINER * 16)], line.colour, 3 * _FINER)
        key -= 36
    for line, points, dots in chart.curves:
        if len(points) > 1:
            pen.line(points, line.colour, (1 if line.thin else 2) * _FINER, "curve")
        for point in points if dots else []:
            pen.circle(point, 2.4 * _FINER, line.colour)
    return picture


def confusions(matrix: np.ndarray, names: Sequence[str]) -> Image.Image:
    """Draw a confusion matrix ``(k k)``: rows are true classes, columns predicted classes.

    Blue is correct, red is wrong; the strength of a cell's colour is its share of its row.
    """
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    right = np.eye(len(names), dtype=bool)
    full = np.where(right[..., None], np.array(rgb(RIGHT)), np.array(rgb(WRONG)))
    cells = (255 + (full - 255.0) * shares[..., None]).round().astype(np.uint8)
    if len(names) > NUMBERS_MAX:
        side = max(1, SIDE_MAX // len(names)) * len(names)
        return Image.fromarray(cells).resize((side, side), Image.Resampling.NEAREST)
    font = ImageFont.load_default(14)
    shown = [bare(name, NAME_COLUMNS) for name in names]
    left = 24 + max(int(font.getlength(name)) for name in shown)
    side = CELL * len(names)
    picture = Image.new("RGB", (left + side + 12, left + side + 12), _PAPER)
    picture.paste(Image.fromarray(cells).resize((side, side), Image.Resampling.NEAREST), (left, left))
    pen = ImageDraw.Draw(picture)
    for index, name in enumerate(shown):
        middle = left + index * CELL + CELL // 2
        pen.text((left - 8, middle), name, _INK, font, "rm")
        upright = Image.new("RGB", (left - 8, CELL), _PAPER)
        ImageDraw.Draw(upright).text((0, CELL // 2), name, _INK, font, "lm")
        picture.paste(upright.rotate(90, expand=True), (left + index * CELL, 0))
        for column in range(len(names)):
            ink = _readable_on(*cells[index, column])
            pen.text((left + column * CELL + CELL // 2, middle), f"{matrix[index, column]:,}", ink, font, "mm")
    pen.text((8, 8), "true \\ predicted", _QUIET, ImageFont.load_default(11), "lt")
    return picture


def _readable_on(red: float, green: float, blue: float) -> str:
    """Return the text colour with the higher contrast on a background colour."""
    return max((_INK, _PAPER), key=lambda ink: contrast(rgb(ink), (red, green, blue)))
