"""Tokens: how long each of them is, layer by layer."""

import numpy as np
import streamlit as st

from pages.tokens.shared import Seen, controls, layer_grid, of_every, rows_of
from pages.ui.downloads import downloads, plotly_config
from vit import plots
from vit.pictures import overlays, token_tiles

FAR = 3
"""A patch token that is so many times as long as the median one is named."""

INTRO = (
    "The brighter a patch, the longer its token: the larger are the numbers in it, whatever they say. Each layer adds "
    "to the tokens, so lengths usually grow; a few that stick out are worth a look."
)

WHAT_IT_IS = """
**What it is.** The length (Euclidean norm) of a token: the root of the sum of its squared numbers. Each layer adds
something to every token, so a length says how much has come together so far.

**What to look for.** A few patches many times as long as the rest. In large networks they tend to lie on plain
background, where a patch has little to say of its own, and the network uses them as scratch space for the image as a
whole (Darcet et al., ICLR 2024). Attention maps of such networks show bright specks in the same places. Networks that
were given registers put it there instead, and need no patches for it: compare their lines below. Small networks
and short trainings have hardly any: there a long token is as a rule a patch with much contrast, or the object.

**What it is not.** Long is not important. Each layer, and in nearly all networks the head too, first normalises every
token, so it reads the direction alone. Length decides how far a layer can still turn the token: what it adds to a long
one weighs little.
"""


def show(seen: Seen) -> None:
    """The part of the page."""
    st.caption(INTRO)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        token, layer = controls(seen)
    norms, prefix = seen.norms, seen.record.prefix_tokens
    layer_grid(
        seen,
        of_every(norms),
        key="tokens_norms",
        version="norms",
        title="Length of the tokens, after each layer",
        quantity="length",
        token=token,
        layer=layer,
    )
    downloads(
        f"{seen.name}-norms",
        key="norms",
        picture=lambda: picture(seen),
        arrays=lambda: {"norms": norms, "prefix_tokens": np.array(prefix), "grid": np.array(seen.record.grid)},
        table=lambda: rows_of(seen, norms, "norm"),
    )
    st.subheader("All lengths", anchor=False)
    named = ", ".join(seen.token_names[:prefix])
    apart = f" The tokens before the patches have a line each: {named}." if prefix > 1 else ""
    st.caption(f"A dot is a patch. {far(norms[:, prefix:], seen)}{apart}")
    st.plotly_chart(
        plots.norm_spread(norms, seen.states, seen.token_names, prefix, token),
        key="norm_spread",
        config=plotly_config(f"{seen.name}-norms"),
        alt="Lengths of all tokens after each layer",
    )
    with st.expander("What the length of a token means, and what it does not", icon=":material/help:"):
        st.markdown(WHAT_IT_IS)


def far(patches: np.ndarray, seen: Seen) -> str:
    """Which patches stick out after the last layer, in words."""
    last, median = patches[-1], float(np.median(patches[-1]))
    longest = int(last.argmax())
    times = f"{last[longest] / max(median, 1e-12):.1f} times the median"
    long = f"the longest token is that of {seen.patch_names[longest]}, {times}"
    count = int((last > FAR * median).sum())
    if not count:
        return f"After the last layer none sticks out: {long}."
    return f"After the last layer {count} {'is' if count == 1 else 'are'} over {FAR} times the median; {long}."


def picture(seen: Seen):
    """The tiles as one picture, on one scale."""
    maps = seen.norms[:, seen.record.prefix_tokens :].reshape(-1, *seen.record.grid)
    top = overlays.shared_top(maps)
    tiles = [overlays.overlay(seen.view, one, top=top, side=token_tiles.TILE) for one in maps]
    return token_tiles.sheet(tiles, seen.states)
