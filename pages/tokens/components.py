"""Tokens: the directions in which the patches of an image differ most, as colours."""

from collections.abc import Iterator

import numpy as np
import streamlit as st
from PIL import Image

from pages.tokens.shared import Seen
from pages.ui.downloads import downloads
from pages.ui.wording import term
from vit.pictures import token_tiles

INTRO = (
    "Patches of one colour are alike for the network. The three directions in which the tokens of this image differ "
    "most are shown as red, green and blue; below each picture stands how much of all differences they hold."
)

WHAT_IT_IS = """
**What it is.** The tokens of the patches are points in a space of many dimensions. Principal component analysis finds
the direction in which they lie farthest apart, then the next one at a right angle to it, and so on. Each patch has a
place along each direction; the places along the first three, from the 2nd percentile to the 98th, become the amounts of
red, green and blue.

**What to look for.** Objects that stand out in one colour, with a clean edge, in later layers: the network tells them
from the background without ever having been shown an outline. The shares say how much is left out: where red, green and
blue together hold 40 % of the variance, 60 % of what the tokens say is not in the picture.

**What it is not.** A colour has no meaning of its own: red is not "dog". It says which patches of *this* picture, after
*this* layer, are alike. Another image has other directions, so its colours cannot be compared with these. The same goes
for two layers. Matching from layer to layer gives components the order and the sign in which they go best with those
before, so that colours do not flip for no reason; where the layers really differ, the same colour may still stand for
different things. Bright is not more, for a direction has no sign of its own. And the strongest differences need not be
those by which the network decides.
"""


def show(seen: Seen) -> None:
    """The part of the page."""
    st.caption(INTRO, help=term("principal components"))
    aligned = st.toggle(
        "Match colours from layer to layer",
        value=True,
        key="aligned",
        bind="query-params",
        help="Off: red is the largest direction of each layer, green the second, blue the third.",
    )
    found = seen.components(align=aligned)
    tiles = [token_tiles.colour_tile(colours) for colours in found.colours]
    with st.grid("auto", min_column_width=seen.picture_width):
        with st.container():
            image = Image.fromarray(seen.view).resize((token_tiles.TILE,) * 2, Image.Resampling.BICUBIC)
            st.image(image, width="stretch", alt=f"{seen.picked.title} as the model sees it")
            st.caption(f"**The image**  \n{seen.view.shape[1]} × {seen.view.shape[0]} pixels")
        for state, tile, shares in zip(seen.states, tiles, found.shares, strict=True):
            with st.container():
                st.image(tile, width="stretch", output_format="PNG", alt=f"Principal components after {state}")
                st.caption(f"**{state}**  \n{shares.sum():.0%} of the variance: {parts(shares)}")
    downloads(
        f"{seen.name}-components",
        key="components",
        picture=lambda: token_tiles.sheet(tiles, seen.states),
        arrays=lambda: {"scores": found.scores, "shares": found.shares, "colours": found.colours},
        table=lambda: rows(seen, found.scores),
    )
    with st.expander("What the colours mean, and what they do not", icon=":material/help:"):
        st.markdown(WHAT_IT_IS)


def parts(shares: np.ndarray) -> str:
    """The share of each colour."""
    return ", ".join(f"{name} {share:.0%}" for name, share in zip(("red", "green", "blue"), shares, strict=True))


def rows(seen: Seen, scores: np.ndarray) -> Iterator[dict]:
    """A table of the scores: a row for each patch after each layer."""
    for state, places in zip(seen.states, scores.reshape(len(scores), -1, 3).tolist(), strict=True):
        for patch, (red, green, blue) in zip(seen.patch_names, places, strict=True):
            yield {"after": state, "patch": patch, "red": red, "green": green, "blue": blue}
