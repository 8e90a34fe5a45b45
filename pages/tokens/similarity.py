"""Tokens: the similarity of the chosen token and all others, layer by layer."""

import numpy as np
import streamlit as st
from PIL import Image

from pages.tokens.shared import ImageTokens, controls, layer_grid, table_rows
from pages.ui.downloads import downloads
from vit.config.words import SUMMARIES

COSINES = ("Differences", "Plain")

INTRO = (
    "Orange: the patch's token points in the same direction as the chosen token, so both hold similar information. "
    "Blue: it points in the opposite direction. Click a patch to choose another token."
)

OF_THE_MEAN = (
    "The summary token of this network is the {summary}. Orange patches are more similar to it than most patches, blue "
    "patches less: they stand out. Click a patch to choose another token."
)

WHAT_IT_IS = """
**What it is.** A token is a vector. The cosine of the angle between two vectors is 1 if they point in the same
direction, 0 at a right angle, and -1 if they point in opposite directions. Their lengths do not matter.

**Differences and plain.** All tokens of an image have much in common, so their plain cosines are nearly all positive.
In deep networks they are all close to 1, and everything looks similar. *Differences* first subtracts the mean of the
image's patch tokens from all tokens, so that it compares how patches differ from the average patch of this image. Some
patches must then be blue, and the average is different in every image. If the summary token is this mean, nothing
remains of it. For this token, the colour shows how much more similar a patch is to it than most patches are.

**What to look for.** After the embedding, patches of the same colour and texture are similar. In later layers, the
patches of one object become similar although they look different, and so do the patches of the background: the network
groups them. If two separate objects of one kind are bright together, the network represents them as the same kind of
object.

**Limits.** Patches that are similar for the network may look different to you. Tokens also hold the position of a
patch, which may be most of what two neighbours share. The head reads only some of the directions, and two tokens may
differ in all other directions without any effect on the answer. A blue patch is not evidence against the chosen one; it
is only different.
"""


def show(image_tokens: ImageTokens) -> None:
    """Show the Similarity part of the page."""
    intro = st.empty()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        token, layer = controls(image_tokens)
        kind = st.segmented_control(
            "Cosine of",
            COSINES,
            default=COSINES[0],
            required=True,
            key="cosine",
            bind="query-params",
            help="Compare the differences from the image's average patch, or the tokens themselves.",
            wrap=False,
        )
    centre = kind == COSINES[0]
    of_the_mean = token == 0 and centre and image_tokens.record.pool != "cls"
    intro.caption(OF_THE_MEAN.format(summary=SUMMARIES[image_tokens.record.pool]) if of_the_mean else INTRO)
    layer_grid(
        image_tokens,
        lambda tokens: image_tokens.similarity(tokens, centre=centre),
        key="tokens_similarity",
        version=f"similarity/{kind}",
        title="Similarity to the chosen token, after each layer",
        quantity="cosine minus its mean" if of_the_mean else "cosine",
        signed=True,
        pairs=True,
        token=token,
        layer=layer,
    )
    downloads(
        f"{image_tokens.name}-similarity-{token}",
        key="similarity",
        picture=lambda: picture(image_tokens, token, centre),
        arrays=lambda: arrays(image_tokens, centre),
        table=lambda: table_rows(image_tokens, image_tokens.similarity([token], centre=centre)[:, 0], "cosine"),
    )
    with st.expander("How to read the similarity, and its limits", icon=":material/help:"):
        st.markdown(WHAT_IT_IS)


def picture(image_tokens: ImageTokens, token: int, centre: bool) -> Image.Image:
    """Draw the tiles as one picture, on one scale."""
    from vit.pictures import token_tiles

    record = image_tokens.record
    maps = image_tokens.similarity([token], centre=centre)[:, 0, record.prefix_tokens :].reshape(-1, *record.grid)
    top = float(np.percentile(np.abs(maps), 99))
    tiles = [token_tiles.signed_tile(image_tokens.view, one, top=top) for one in maps]
    return token_tiles.tile_sheet([token_tiles.outlined(it, record.grid, token) for it in tiles], image_tokens.states)


def arrays(image_tokens: ImageTokens, centre: bool) -> dict[str, np.ndarray]:
    """Return the cosines of every patch with every token, after each layer."""
    patches = range(1, len(image_tokens.patch_names) + 1)
    return {
        "summary": image_tokens.similarity([0], centre=centre)[:, 0],
        "patches": image_tokens.similarity(patches, centre=centre),
        "grid": np.array(image_tokens.record.grid),
        "prefix_tokens": np.array(image_tokens.record.prefix_tokens),
        "states": np.array(image_tokens.states),
    }
