"""Curves as SVG: a few kilobytes that print well and follow the page's colours in light and dark."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np

from vit.pictures.colours import RIGHT, WRONG, tinted
from vit.plots.panels import Panel, lay_out
from vit.support.untrusted_text import as_html, shown

WIDTH, HEIGHT = 480, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 8, 36
NAME_COLUMNS = 26
UPRIGHT_MAX, UPRIGHT_LETTERS = 12, 12
"""Names above more columns than this, or of more letters, are written upwards."""
OPACITY = 0.6
"""Of the fullest cell of the matrix, so that its number can be read on it in light and dark."""


def curves(panel: Panel) -> str:
    """Draw a panel as SVG."""
    left, right, bottom = _LEFT, WIDTH - _RIGHT, HEIGHT - _BOTTOM
    chart = lay_out(panel, left=left, top=_TOP, right=right, bottom=bottom)
    svg = Element("svg", {"viewBox": f"0 0 {WIDTH} {HEIGHT}", "role": "img", "aria-label": shown(panel.y)})

    def add(tag: str, **attributes: str | float) -> Element:
        written = {
            name.replace("_", "-"): f"{value:.1f}" if isinstance(value, float) else str(value)
            for name, value in attributes.items()
        }
        return SubElement(svg, tag, written)

    def write(words: str, x: float, y: float, anchor: str = "middle") -> None:
        add("text", x=x, y=y, text_anchor=anchor).text = shown(words)

    for tick in chart.y_ticks:
        add("line", x1=left, x2=right, y1=tick.at, y2=tick.at).set("class", "grid")
        write(tick.label, left - 6, tick.at + 4, "end")
    for tick in chart.x_ticks:
        write(tick.label, tick.at, bottom + 16)
    write(panel.x, (left + right) / 2, HEIGHT - 4)
    for line, points, dots in chart.curves:
        weight = {"stroke_width": 1, "opacity": "0.6"} if line.thin else {"stroke_width": "2.2"}
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        add("polyline", fill="none", stroke=line.colour, points=path, **weight)
        for x, y in points if dots else []:
            add("circle", cx=x, cy=y, r="2.6", fill=line.colour)
    return tostring(svg, encoding="unicode")


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
