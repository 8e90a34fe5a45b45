"""Curves and the confusion matrix as SVG and HTML, drawn by hand: a few kilobytes that print well."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from vit.pictures.colours import RIGHT, WRONG, tinted
from vit.support.untrusted_text import as_html

WIDTH, HEIGHT = 480, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 8, 36
NAME_COLUMNS = 26
UPRIGHT_MAX, UPRIGHT_LETTERS = 12, 12
"""Names above more columns than this, or of more letters, are written upwards."""
OPACITY = 0.6
"""Of the fullest cell of the matrix, so that its number can be read on it in light and dark."""


class Line(NamedTuple):
    """One curve: places and values, its colour, and whether it is thin, as one of many noisy values."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    colour: str
    thin: bool = False


def curves(lines: Sequence[Line], x: str, y: str, words: Callable[[float], str] = "{:g}".format) -> str:
    """Curves on common axes as SVG, with their key above.

    Args:
        x, y: what the axes are called.
        words: how a value of the y axis is written.
    """
    lines = [line for line in map(finite, lines) if len(line.xs)]
    every_x, every_y = np.concatenate([line.xs for line in lines]), np.concatenate([line.ys for line in lines])
    low, high = float(every_x.min()), float(every_x.max())
    ticks = round_values(float(every_y.min()), float(every_y.max()))
    bottom, top = ticks[0], ticks[-1]

    def place(value: float) -> float:
        return _LEFT + (value - low) / ((high - low) or 1) * (WIDTH - _LEFT - _RIGHT)

    def rise(value: float) -> float:
        return HEIGHT - _BOTTOM - (value - bottom) / (top - bottom) * (HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{rise(tick):.1f}" y2="{rise(tick):.1f}"/>'
        f'<text x="{_LEFT - 6}" y="{rise(tick) + 4:.1f}" text-anchor="end">{as_html(words(tick))}</text>'
        for tick in ticks
    ]
    parts += [
        f'<text x="{place(tick):.1f}" y="{HEIGHT - _BOTTOM + 16}" text-anchor="middle">{tick:,.0f}</text>'
        for tick in round_values(low, high)
        if low <= tick <= high and tick == round(tick)
    ]
    middle = (WIDTH + _LEFT - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 4}" text-anchor="middle">{as_html(x)}</text>')
    for line in lines:
        points = [(place(a), rise(b)) for a, b in zip(line.xs, line.ys, strict=True)]
        style = 'stroke-width="1" opacity="0.6"' if line.thin else 'stroke-width="2.2"'
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(f'<polyline fill="none" stroke="{line.colour}" {style} points="{path}"/>')
        if not line.thin and len(points) <= 60:
            parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.6" fill="{line.colour}"/>' for a, b in points]
    key = "".join(
        f'<span class="key"><i style="border-color:{line.colour}"></i>{as_html(line.name)}</span>' for line in lines
    )
    drawn = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{as_html(y)}">{"".join(parts)}</svg>'
    return f"<figure><h3>{as_html(y)}</h3><div>{key}</div>{drawn}</figure>"


def finite(line: Line) -> Line:
    """Without the values that are no numbers."""
    kept = np.isfinite(line.ys)
    return line._replace(xs=np.asarray(line.xs)[kept], ys=np.asarray(line.ys)[kept])


def round_values(low: float, high: float) -> list[float]:
    """About five round values, the first not above ``low``, the last not below ``high``."""
    span = (high - low) or abs(high) or 1.0
    size = 10 ** math.floor(math.log10(span / 4))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if span / (size * factor) <= 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, max(last, first + 1) + 1)]


def confusion_table(matrix: np.ndarray, names: Sequence[str]) -> str:
    """Counts ``(k k)``, rows true and columns predicted, each cell as strong as its share of the row."""
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    titles = [f'title="{as_html(name)}"><span>{as_html(name, NAME_COLUMNS)}</span>' for name in names]
    head = "".join(f'<th scope="col" {title}</th>' for title in titles)
    long = " long" if len(names) > UPRIGHT_MAX or any(len(name) > UPRIGHT_LETTERS for name in names) else ""
    rows = []
    for index, title in enumerate(titles):
        cells = "".join(
            f'<td style="background:{tinted(RIGHT if index == column else WRONG, OPACITY * shares[index, column])}">'
            f"{matrix[index, column]}</td>"
            for column in range(len(names))
        )
        rows.append(f'<tr><th scope="row" {title}</th>{cells}</tr>')
    corner = "<th>true \\ predicted</th>"
    return (
        f'<div class="wide"><table class="matrix{long}"><thead><tr>{corner}{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
