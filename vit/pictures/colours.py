"""The colours of all figures, pages and reports, chosen for every kind of colour vision.

``tests/pictures/test_colours.py`` simulates colour blindness and checks that the Streamlit theme uses these colours.
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
"""Colours of series: the palette of Okabe and Ito (2008) without yellow, which is hard to see on white.

The grey is darker than usual, because with deuteranopia a lighter grey looks like the purple.
"""

CATEGORICAL = tuple(colour for name, colour in PALETTE.items() if name != "grey")
"""Colours of classes and other categories, in order of use; grey is for all remaining ones."""

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
"""Colours of amounts such as attention, from small to large: Viridis, whose lightness rises evenly."""

SIGNED = (PALETTE["blue"], PALETTE["vermilion"])
"""Colours of negative and positive amounts; they become transparent towards zero."""

RIGHT, WRONG = PALETTE["blue"], PALETTE["vermilion"]
"""Colours of correct answers (also of results better than chance) and of errors."""

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
"""Colours around the figures, in pages and reports. ``quiet`` is for secondary text in reports only."""

_INKS = ("#000000", "#FFFFFF")


def rgb(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue of ``#rrggbb``, 0 to 255."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return red, green, blue


def with_opacity(colour: str, opacity: float) -> str:
    """Return ``#rrggbb`` with an opacity, in the notation of CSS and Plotly."""
    return f"rgba({','.join(map(str, rgb(colour)))},{opacity:.3g})"


def ink_on_scale(share: float) -> str:
    """Return black or white, whichever has more contrast on :data:`SEQUENTIAL` at ``share`` (0 to 1)."""
    place = min(max(share, 0.0), 1.0) * (len(SEQUENTIAL) - 1)
    low = min(int(place), len(SEQUENTIAL) - 2)
    between = place - low
    red, green, blue = (
        start + (end - start) * between
        for start, end in zip(rgb(SEQUENTIAL[low]), rgb(SEQUENTIAL[low + 1]), strict=True)
    )
    return max(_INKS, key=lambda ink: contrast(rgb(ink), (red, green, blue)))


def contrast(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    """Return the contrast of two colours (channels 0 to 255), from 1 to 21.

    Small text needs at least 4.5 (WCAG 2.2, 1.4.3).
    """
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: tuple[float, float, float]) -> float:
    """Return the relative luminance of a colour (channels 0 to 255), from 0 (black) to 1 (white) (WCAG 2.2)."""
    linear = (part / 255 / 12.92 if part <= 10.31475 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in colour)
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
