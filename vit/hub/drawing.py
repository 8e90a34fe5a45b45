"""Curves and the confusion matrix as PNG, drawn with Pillow alone: a hub shows no SVG."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vit.pictures.colours import RIGHT, THEMES, WRONG, contrast, rgb
from vit.plots.panels import Panel
from vit.plots.svg import finite, round_values
from vit.support.untrusted_text import bare

WIDTH, HEIGHT = 480, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 14, 44, 40
_FINER = 4
"""Drawn so many times as large, and then halved, so that lines are smooth and fit screens with fine pixels."""
_INK, _QUIET, _GRID, _PAPER = (THEMES["light"][part] for part in ("text", "quiet", "border", "background"))

CELL = 56
NAME_COLUMNS = 16
NUMBERS_MAX = 25
"""A matrix of more classes has neither numbers nor names in it."""
SIDE_MAX = 900


def curves(panels: Sequence[Panel]) -> Image.Image:
    """Charts side by side."""
    picture = Image.new("RGB", (WIDTH * len(panels) * _FINER, HEIGHT * _FINER), _PAPER)
    for index, panel in enumerate(panels):
        picture.paste(_chart(panel), (index * WIDTH * _FINER, 0))
    return picture.reduce(2)


def _chart(panel: Panel) -> Image.Image:
    picture = Image.new("RGB", (WIDTH * _FINER, HEIGHT * _FINER), _PAPER)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(11 * _FINER)
    lines = [line for line in map(finite, panel.lines) if len(line.xs)]
    every_x = np.concatenate([np.asarray(line.xs, float) for line in lines])
    every_y = np.concatenate([np.asarray(line.ys, float) for line in lines])
    low, high = float(every_x.min()), float(every_x.max())
    marks = round_values(float(every_y.min()), float(every_y.max()))
    bottom, top = marks[0], marks[-1]

    def place(value: float) -> float:
        return _FINER * (_LEFT + (value - low) / ((high - low) or 1) * (WIDTH - _LEFT - _RIGHT))

    def rise(value: float) -> float:
        return _FINER * (HEIGHT - _BOTTOM - (value - bottom) / (top - bottom) * (HEIGHT - _TOP - _BOTTOM))

    for mark in marks:
        pen.line([(place(low), rise(mark)), (_FINER * (WIDTH - _RIGHT), rise(mark))], _GRID, _FINER)
        pen.text((_FINER * (_LEFT - 6), rise(mark)), panel.words(mark), _QUIET, font, "rm")
    for mark in round_values(low, high):
        if low <= mark <= high and mark == round(mark):
            pen.text((place(mark), _FINER * (HEIGHT - _BOTTOM + 6)), f"{mark:,.0f}", _QUIET, font, "mt")
    pen.text((_FINER * (WIDTH + _LEFT - _RIGHT) / 2, _FINER * (HEIGHT - 4)), panel.x, _QUIET, font, "mb")
    pen.text((_FINER * 8, _FINER * 8), panel.y, _INK, ImageFont.load_default(13 * _FINER), "lt")
    key = WIDTH - _RIGHT
    for line in reversed(lines):
        key -= pen.textlength(line.name, font) / _FINER
        pen.text((_FINER * key, _FINER * 16), line.name, _QUIET, font, "lm")
        pen.line([(_FINER * (key - 22), _FINER * 16), (_FINER * (key - 6), _FINER * 16)], line.colour, 3 * _FINER)
        key -= 36
    for line in lines:
        points = [(place(a), rise(b)) for a, b in zip(line.xs, line.ys, strict=True)]
        if len(points) > 1:
            pen.line(points, line.colour, (1 if line.thin else 2) * _FINER, "curve")
        if not line.thin and len(points) <= 60:
            for point in points:
                pen.circle(point, 2.4 * _FINER, line.colour)
    return picture


def confusions(matrix: np.ndarray, names: Sequence[str]) -> Image.Image:
    """The confusion matrix ``(k k)``, rows true and columns predicted: blue is right and red wrong, each cell as
    strong as its share of its row."""
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
            ink = max((_INK, _PAPER), key=lambda ink, ground=cells[index, column]: contrast(rgb(ink), ground))
            pen.text((left + column * CELL + CELL // 2, middle), f"{matrix[index, column]:,}", ink, font, "mm")
    pen.text((8, 8), "true \\ predicted", _QUIET, ImageFont.load_default(11), "lt")
    return picture
