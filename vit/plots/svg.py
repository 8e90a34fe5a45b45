"""Draw curves as small SVGs that print well and follow the light or dark colours of the page."""

from xml.etree.ElementTree import Element, SubElement, tostring

from vit.plots.panels import Panel, lay_out
from vit.support.untrusted_text import shown

WIDTH, HEIGHT = 480, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 8, 36


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
