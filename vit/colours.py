"""The colours of every figure, the same everywhere, and told apart with any colour vision."""

PALETTE = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermilion": "#D55E00",
    "sky": "#56B4E9",
    "purple": "#CC79A7",
    "grey": "#8A8F98",
}
"""Colours of series, told apart with any colour vision (Okabe and Ito 2008)."""

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
"""Colours of amounts, small to large: Viridis, even in lightness and safe with any colour vision."""

SIGNED = (PALETTE["blue"], PALETTE["vermilion"])
"""Colours of signed amounts, negative and positive, which fade out towards zero."""
