"""The colours of every figure, page and report: one meaning each, and told apart with any colour vision.

``tests/pictures/test_colours.py`` simulates colour blindness over them, and holds the Streamlit theme to this file.
"""

PALETTE = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermilion": "#D55E00",
    "sky": "#56B4E9",
    "purple": "#CC79A7",
    "grey": "#72777F",
}
"""Colours of series: those of Okabe and Ito 2008, without their yellow, which cannot be seen on white.

The grey is darker than is usual: a lighter one and the purple are the same to a deuteranope.
"""

CATEGORICAL = tuple(colour for name, colour in PALETTE.items() if name != "grey")
"""Colours of classes and other categories, in the order in which they are given out; grey is for the rest."""

SEQUENTIAL = (
    "#440154",
    "#482878",
    "#3e4a89",
    "#31688e",
    "#26828e",
    "#1f9e89",
    "#35b779",
    "#6ece58",
    "#b5de2b",
    "#fde725",
)
"""Colours of amounts such as attention, small to large: Viridis, even in lightness."""

SIGNED = (PALETTE["blue"], PALETTE["vermilion"])
"""Colours of signed amounts and of differences, negative and positive, which fade out towards zero."""

RIGHT, WRONG = PALETTE["blue"], PALETTE["vermilion"]
"""Colours of answers that are right, or better than chance, and of errors."""

CLEAR = "rgba(0,0,0,0)"

THEMES = {
    "light": {
        "text": "#12141D",
        "background": "#FFFFFF",
        "secondary": "#F4F5F9",
        "border": "#DDE0EA",
        "quiet": "#5B6072",
        "primary": "#3F51B5",
        "link": "#3F51B5",
    },
    "dark": {
        "text": "#E7E9F2",
        "background": "#11131A",
        "secondary": "#1C1F2A",
        "border": "#343847",
        "quiet": "#A4A9BA",
        "primary": "#5E6CD2",
        "link": "#A9B3FF",
    },
}
"""What surrounds the figures, in pages and reports; quiet words are for reports, Streamlit has its own."""

_INKS = ("#000000", "#FFFFFF")


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of ``#rrggbb``, 0 to 255."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return red, green, blue


def tinted(colour: str, share: float) -> str:
    """The colour as CSS and Plotly take it, that opaque."""
    return f"rgba({','.join(map(str, rgb(colour)))},{share:.3g})"


def on_scale(share: float) -> str:
    """The colour of a number that stands on :data:`SEQUENTIAL` at ``share``: of black and white the plainer one."""
    place = min(max(share, 0.0), 1.0) * (len(SEQUENTIAL) - 1)
    low = min(int(place), len(SEQUENTIAL) - 2)
    ends = zip(rgb(SEQUENTIAL[low]), rgb(SEQUENTIAL[low + 1]), strict=True)
    ground = tuple(start + (end - start) * (place - low) for start, end in ends)
    return max(_INKS, key=lambda ink: contrast(rgb(ink), ground))


def contrast(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    """Contrast of two colours, 0 to 255, from 1 to 21: 4.5 is what small words need (WCAG 2.2, 1.4.3)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: tuple[float, float, float]) -> float:
    """Relative luminance of a colour, 0 to 255, from 0 (black) to 1 (white) (WCAG 2.2)."""
    linear = (part / 255 / 12.92 if part <= 10.31475 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in colour)
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
