"""Tokens: how alike the chosen token and all others are, layer by layer."""

import numpy as np
import streamlit as st

from pages.tokens.shared import Seen, controls, layer_grid, rows_of
from pages.ui.downloads import downloads
from pages.ui.widgets.map_grid import SUMMARIES

COSINES = ("Differences", "Plain")

INTRO = (
    "Orange: the patch's token points the same way as that of the chosen one, so the network holds similar things "
    "there. Blue: it points the opposite way. Click a patch to compare from there."
)

OF_THE_MEAN = (
    "The summary token of this network is the {summary}. Orange patches resemble it more than most do, blue ones less: "
    "they stand out. Click a patch to compare from there."
)

WHAT_IT_IS = """
**What it is.** A token is a list of numbers, an arrow in a space of as many dimensions. The cosine of the angle between
two arrows is 1 where they point the same way, 0 at a right angle, and -1 where they point in opposite ways. The length
of the arrows plays no part.

**Differences and plain.** All tokens of an image have a lot in common, so their plain cosines are nearly all positive,
and in deep networks all close to 1: everything looks alike. *Differences* takes the mean of the image's patch tokens
out of all of them first, so that what is left is how a patch differs from the average patch of this image. Some
patches are then blue by necessity, and a patch is compared with another average in another picture. Where the summary
token is that mean, nothing is left of it; for it a colour says how much more a patch resembles it than most patches do.

**What to look for.** After the embedding, patches of the same colour and texture are alike. In later layers the patches
of one object become alike though they look different, and the background falls together: the network has begun to
group. Two separate objects of one kind that light up together are held as the same kind of thing.

**What it is not.** Alike for the network need not mean alike for you: the arrows also hold where a patch lies, which
may be most of what two neighbours share. The head reads only some of the directions, and two tokens may differ in all
others without any effect on the answer. And a blue patch is not "against" the chosen one; it is merely different.
"""


def show(seen: Seen) -> None:
    """The part of the page."""
    intro = st.empty()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        token, layer = controls(seen)
        kind = st.segmented_control(
            "Cosine of",
            COSINES,
            default=COSINES[0],
            required=True,
            key="cosine",
            bind="query-params",
            help="Differences from the image's average patch, or the tokens as they are.",
            wrap=False,
        )
    centre = kind == COSINES[0]
    of_the_mean = token == 0 and centre and seen.record.pool != "cls"
    intro.caption(OF_THE_MEAN.format(summary=SUMMARIES[seen.record.pool]) if of_the_mean else INTRO)
    layer_grid(
        seen,
        lambda tokens: seen.similarity(tokens, centre=centre),
        key="tokens_similarity",
        version=f"similarity/{kind}",
        title="Similarity with the chosen token, after each layer",
        quantity="cosine less its mean" if of_the_mean else "cosine",
        signed=True,
        pairs=True,
        token=token,
        layer=layer,
    )
    downloads(
        f"{seen.name}-similarity-{token}",
        key="similarity",
        picture=lambda: picture(seen, token, centre),
        arrays=lambda: arrays(seen, centre),
        table=lambda: rows_of(seen, seen.similarity([token], centre=centre)[:, 0], "cosine"),
    )
    with st.expander("What similarity means, and what it does not", icon=":material/help:"):
        st.markdown(WHAT_IT_IS)


def picture(seen: Seen, token: int, centre: bool):
    """The tiles as one picture, on one scale."""
    from vit.pictures import token_tiles

    record = seen.record
    maps = seen.similarity([token], centre=centre)[:, 0, record.prefix_tokens :].reshape(-1, *record.grid)
    top = float(np.percentile(np.abs(maps), 99))
    tiles = [token_tiles.signed_tile(seen.view, one, top=top) for one in maps]
    return token_tiles.sheet([token_tiles.outlined(it, record.grid, token) for it in tiles], seen.states)


def arrays(seen: Seen, centre: bool) -> dict[str, np.ndarray]:
    """Cosines of every patch with every token, after each layer."""
    patches = range(1, len(seen.patch_names) + 1)
    return {
        "summary": seen.similarity([0], centre=centre)[:, 0],
        "patches": seen.similarity(patches, centre=centre),
        "grid": np.array(seen.record.grid),
        "prefix_tokens": np.array(seen.record.prefix_tokens),
        "states": np.array(seen.states),
    }
