"""The frame of a report: one HTML page that asks nothing of the network, reads in light and dark, and prints."""

from collections.abc import Iterable, Sequence

from PIL import Image

from vit.pictures.colours import PALETTE, THEMES
from vit.pictures.data_url import data_url
from vit.support.untrusted_text import as_html

_NAMES = {"text": "ink", "background": "paper", "secondary": "soft", "border": "line", "quiet": "quiet"}
_LIGHT, _DARK = (
    " ".join(f"--{short}: {theme[name]};" for name, short in _NAMES.items())
    for theme in (THEMES["light"], THEMES["dark"])
)
STYLE = f"""
:root {{ color-scheme: light dark; --warning: {PALETTE["orange"]}; {_LIGHT} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}
@media print {{ :root {{ color-scheme: light; {_LIGHT} }} }}
"""
STYLE += """
* { box-sizing: border-box; }
body { max-width: 64rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { margin: 0; font-size: 2rem; }
h2 { margin: 2.5rem 0 0.75rem; padding-top: 1rem; border-top: 1px solid var(--line); font-size: 1.3rem; }
h3 { margin: 1.25rem 0 0.5rem; font-size: 1rem; }
p { max-width: 46rem; margin: 0.5rem 0; }
.quiet, figcaption { color: var(--quiet); font-size: 0.9rem; }
.facts { display: flex; flex-wrap: wrap; gap: 0.5rem 2.25rem; margin: 1.25rem 0; }
.facts div { min-width: 6rem; }
.facts b { display: block; font-size: 1.5rem; font-weight: 650; }
.facts span { color: var(--quiet); font-size: 0.85rem; }
figure { margin: 0; break-inside: avoid; }
img { display: block; max-width: 100%; height: auto; }
.crisp { image-rendering: pixelated; }
.samples { display: grid; grid-template-columns: repeat(3, 9rem); gap: 1rem; }
.samples img { width: 9rem; border-radius: 6px; }
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1.5rem; }
svg { width: 100%; height: auto; font: 11px system-ui, sans-serif; }
svg text { fill: var(--quiet); }
svg .grid { stroke: var(--line); }
.key { display: inline-flex; align-items: center; gap: 0.4rem; margin-right: 1rem; font-size: 0.85rem; }
.key i { width: 1.6rem; border-top: 3px solid; }
.key i.dashed { border-top-style: dashed; }
.wide { overflow-x: auto; }
pre { padding: 0.75rem; border-radius: 6px; background: var(--soft); font: 11.5px/1.35 ui-monospace, monospace;
  overflow-x: auto; overflow-wrap: normal; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.75rem; border-bottom: 1px solid var(--line); text-align: left; }
th { font-weight: 600; }
th, td.number { overflow-wrap: break-word; }
td:first-child { min-width: 8rem; }
td.number, th.number { text-align: right; }
.matrix td { min-width: 3rem; border: 2px solid var(--paper); border-radius: 6px; text-align: center; }
.matrix th { border: 0; white-space: nowrap; }
.matrix tbody th { text-align: right; }
.matrix thead th { text-align: center; vertical-align: bottom; }
.matrix.long thead span { writing-mode: vertical-rl; rotate: 180deg; }
.settings { columns: 22rem auto; column-gap: 2.5rem; }
.settings div { display: flex; justify-content: space-between; gap: 1rem; padding: 0.25rem 0;
  border-bottom: 1px solid var(--line); break-inside: avoid; }
.settings span:first-child { flex: none; color: var(--quiet); }
.settings span:last-child { text-align: right; }
.look { display: grid; grid-template-columns: 11rem minmax(0, 1fr); gap: 1.25rem; margin: 1rem 0; break-inside: avoid; }
.look > figure:first-child img { width: 9rem; border-radius: 6px; }
.missing { padding: 0.6rem 0.9rem; border-left: 3px solid var(--warning); background: var(--soft); }
@media (max-width: 40rem) { .look { grid-template-columns: 1fr; } .samples { grid-template-columns: repeat(3, 1fr); }
  .samples img { width: 100%; } }
@media print {
  * { print-color-adjust: exact; }
  body { max-width: none; padding: 0; font-size: 12px; }
  h2 { break-after: avoid; }
  pre { overflow: visible; white-space: pre-wrap; }
}
"""


def document(title: str, body: Iterable[str]) -> str:
    """The whole page; the policy forbids what the page does without, so that nothing is ever fetched."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        f"<title>{as_html(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def paragraph(text: str, *, kind: str = "") -> str:
    """Text that is shown as it is."""
    return f'<p class="{kind}">{as_html(text)}</p>' if kind else f"<p>{as_html(text)}</p>"


def image(picture: Image.Image, alt: str, *, crisp: bool = False) -> str:
    """A picture within the page: lossless where its pixels are to be seen, a third of the size otherwise."""
    source = data_url(picture) if crisp else data_url(picture, "webp", quality=88)
    style = ' class="crisp"' if crisp else ""
    width, height = picture.size
    return f'<img{style} src="{source}" alt="{as_html(alt)}" width="{width}" height="{height}">'


def figure(content: str, caption: str = "") -> str:
    """Something with its caption below it."""
    return f"<figure>{content}<figcaption>{as_html(caption)}</figcaption></figure>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int = 1) -> str:
    """A table whose first columns are text and whose others are numbers."""
    kinds = [""] * texts + [' class="number"'] * (len(head) - texts)

    def line(cells: Sequence[str], tag: str) -> str:
        filled = zip(kinds, cells, strict=True)
        return f"<tr>{''.join(f'<{tag}{kind}>{as_html(cell)}</{tag}>' for kind, cell in filled)}</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f'<div class="wide"><table><thead>{line(head, "th")}</thead><tbody>{body}</tbody></table></div>'
