"""Tokens: the principal components of the patches of an image, as colours."""

from collections.abc import Iterator

import numpy as np
import streamlit as st
from PIL import Image

from pages.tokens.shared import ImageTokens
from pages.ui.downloads import downloads
from pages.ui.wording import term
from vit.pictures import token_tiles

INTRO = (
    "Patches of the same colour are similar for the network. Red, green and blue are the three directions in which the "
    "tokens of this image differ most. The caption of each picture gives their share of the variance."
)

WHAT_IT_IS = """
**What it is.** The tokens of the patches are points in a space of many dimensions. Principal component analysis finds
the direction in which they vary most, then the next one at a right angle to it, and so on. Each patch has a score along
each direction. The scores along the first three directions, from the 2nd to the 98th percentile, are the amounts of
red, green and blue.

**What to look for.** Objects in one colour with a clean edge in later layers: the network separates them from the
background, although it was never trained on outlines. The shares say how much is missing: if red, green and blue
together hold 40 % of the variance, 60 % of the variance is not in the picture.

**Limits.** A colour alone has no meaning: red is not "dog". It shows which patches of *this* image are similar after
*this* layer. Another image has other directions, so its colours cannot be compared with these. The same is true of two
layers. Matching gives the components of each layer the order and sign that fit the layer before best, so that colours
do not flip without a reason. If the layers really differ, the same colour may still mean different things. Brighter
does not mean more, because the sign of a direction is arbitrary. And the largest differences need not be the ones that
decide the answer.
"""


def show(image_tokens: ImageTokens) -> None:
    """Show the Components part of the page."""
    st.caption(INTRO, help=term("principal components"))
    aligned = st.toggle(
        "Match colours from layer to layer",
        value=True,
        key="aligned",
        bind="query-params",
        help="Off: red is the first component of each layer, green the second, blue the third.",
    )
    found = image_tokens.components(align=aligned)
    tiles = [token_tiles.colour_tile(colours) for colours in found.colours]
    with st.grid("auto", min_column_width=image_tokens.picture_width):
        with st.container():
            image = Image.fromarray(image_tokens.view).resize((token_tiles.TILE,) * 2, Image.Resampling.BICUBIC)
            st.image(image, width="stretch", alt=f"{image_tokens.picked.title} as the model sees it")
            st.caption(f"**The image**  \n{image_tokens.view.shape[1]} × {image_tokens.view.shape[0]} pixels")
        for state, tile, shares in zip(image_tokens.states, tiles, found.shares, strict=True):
            with st.container():
                st.image(tile, width="stretch", output_format="PNG", alt=f"Principal components after {state}")
                st.caption(f"**{state}**  \n{shares.sum():.0%} of the variance: {describe_shares(shares)}")
    downloads(
        f"{image_tokens.name}-components",
        key="components",
        picture=lambda: token_tiles.tile_sheet(tiles, image_tokens.states),
        arrays=lambda: {"scores": found.scores, "shares": found.shares, "colours": found.colours},
        table=lambda: rows(image_tokens, found.scores),
    )
    with st.expander("How to read the colours, and their limits", icon=":material/help:"):
        st.markdown(WHAT_IT_IS)


def describe_shares(shares: np.ndarray) -> str:
    """Return the share of each colour, such as "red 30%, green 20%, blue 10%"."""
    return ", ".join(f"{name} {share:.0%}" for name, share in zip(("red", "green", "blue"), shares, strict=True))


def rows(image_tokens: ImageTokens, scores: np.ndarray) -> Iterator[dict]:
    """Yield a row of scores for each patch after each layer."""
    for state, layer_scores in zip(image_tokens.states, scores.reshape(len(scores), -1, 3).tolist(), strict=True):
        for patch, (red, green, blue) in zip(image_tokens.patch_names, layer_scores, strict=True):
            yield {"after": state, "patch": patch, "red": red, "green": green, "blue": blue}
