"""Tokens: their norms, layer by layer."""

import numpy as np
import streamlit as st
from PIL import Image

from pages.tokens.shared import ImageTokens, controls, layer_grid, same_for_every_token, table_rows
from pages.ui.downloads import downloads, plotly_config
from pages.ui.widgets.map_grid import is_smooth
from vit import plots
from vit.pictures import overlays, token_tiles

OUTLIER = 3
"""A patch token of more than this many times the median length counts as an outlier."""

INTRO = (
    "The brighter a patch, the longer its token, that is, the larger its numbers. Each layer adds to the tokens, so "
    "their length usually grows. Look for a few tokens that are much longer than the rest."
)

WHAT_IT_IS = """
**What it is.** The length (Euclidean norm) of a token is the square root of the sum of its squared numbers. Each layer
adds something to every token, so the length shows how much has been added so far.

**What to look for.** A few patches that are many times longer than the rest. In large networks they tend to lie on
plain background, where a patch has little information of its own, and the network uses them to store information about
the whole image (Darcet et al., ICLR 2024). The attention maps of such networks have bright spots in the same places.
Networks with registers store this information in the registers and not in patches: compare their lines below. Small
networks and short trainings have hardly any such tokens. There, a long token usually belongs to a patch with much
contrast, or to the object.

**Limits.** A long token is not necessarily important. Each layer, and in nearly all networks the head too, first
normalises every token and so reads only its direction. The length determines how much a layer can still change the
direction: what a layer adds to a long token has little effect.
"""


def show(image_tokens: ImageTokens) -> None:
    """Show the Norms part of the page."""
    st.caption(INTRO)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        token, layer = controls(image_tokens)
    norms, prefix = image_tokens.norms, image_tokens.record.prefix_tokens
    layer_grid(
        image_tokens,
        same_for_every_token(norms),
        key="tokens_norms",
        version="norms",
        title="Length of the tokens, after each layer",
        quantity="length",
        token=token,
        layer=layer,
    )
    downloads(
        f"{image_tokens.name}-norms",
        key="norms",
        picture=lambda: picture(image_tokens),
        arrays=lambda: {"norms": norms, "prefix_tokens": np.array(prefix), "grid": np.array(image_tokens.record.grid)},
        table=lambda: table_rows(image_tokens, norms, "norm"),
    )
    st.subheader("All lengths", anchor=False)
    named = ", ".join(image_tokens.token_names[:prefix])
    apart = f" Each token before the patches has a line: {named}." if prefix > 1 else ""
    st.caption(f"Each dot is a patch. {describe_longest(norms[:, prefix:], image_tokens)}{apart}")
    st.plotly_chart(
        plots.norm_spread(norms, image_tokens.states, image_tokens.token_names, prefix, token),
        key="norm_spread",
        config=plotly_config(f"{image_tokens.name}-norms"),
        alt="Lengths of all tokens after each layer",
    )
    with st.expander("How to read the length of a token, and its limits", icon=":material/help:"):
        st.markdown(WHAT_IT_IS)


def describe_longest(patches: np.ndarray, image_tokens: ImageTokens) -> str:
    """Say which patches have the longest tokens after the last layer."""
    last, median = patches[-1], float(np.median(patches[-1]))
    longest = int(last.argmax())
    times = f"{last[longest] / max(median, 1e-12):.1f} times the median"
    long = f"the longest belongs to {image_tokens.patch_names[longest]}, {times}"
    count = int((last > OUTLIER * median).sum())
    if not count:
        return f"After the last layer no token is over {OUTLIER} times the median; {long}."
    tokens = "token is" if count == 1 else "tokens are"
    return f"After the last layer {count} {tokens} over {OUTLIER} times the median; {long}."


def picture(image_tokens: ImageTokens) -> Image.Image:
    """Draw the tiles as one picture, on one scale."""
    maps = image_tokens.norms[:, image_tokens.record.prefix_tokens :].reshape(-1, *image_tokens.record.grid)
    top = overlays.shared_top(maps)
    tiles = [
        overlays.overlay(image_tokens.view, one, top=top, side=token_tiles.TILE, smooth=is_smooth()) for one in maps
    ]
    return token_tiles.tile_sheet(tiles, image_tokens.states)
