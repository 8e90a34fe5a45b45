"""The tour, steps 1 and 2: an image becomes patches, and patches become tokens."""

import streamlit as st
from PIL import Image

from pages.overview.tour.choice import TourImage
from pages.overview.tour.scene import PICKED_PATCH, link, pick_patch, vit_config, vit_model
from pages.ui import cached_models
from pages.ui.widgets.boards import patch_cutter
from pages.ui.widgets.heat_map import heat_map
from pages.ui.widgets.map_grid import Selection, TileMaps, map_grid
from vit.runs import Run

STEMS = {
    "conv": "A few small convolutions, the stem, turn each patch (plus a few surrounding pixels) into {width} numbers "
    "that describe its content. The position embedding, {width} learned numbers for the patch's place in the image, is "
    "added.",
    "patch": "One learned matrix turns the pixels of each patch into {width} numbers that describe its content. The "
    "position embedding, {width} learned numbers for the patch's place in the image, is added.",
}


def show_patches(run: Run, scene: TourImage) -> None:
    """Show step 1."""
    model = vit_config(run)
    size, side = model.image_size, model.patch_size
    st.markdown(
        f"The network does not see {_a(scene)}. It gets the image as {model.grid**2} squares, called **patches**, and "
        "each patch is a list of numbers. Cut the image apart with the slider. Hover over a patch or click it to see "
        "its numbers."
    )
    patch = pick_patch(run, scene)
    draw_cutter(scene.picked.image, model.grid, patch)
    st.latex(
        rf"\underbrace{{{size} \times {size} \times 3}}_{{\text{{the image}}}} = "
        rf"\underbrace{{{model.grid**2}}}_{{\text{{patches}}}} \times "
        rf"\underbrace{{{side} \times {side} \times 3}}_{{{side * side * 3}\ \text{{numbers each}}}}"
    )
    link("anatomy/page.py", "See the whole network, shape by shape", ":material/schema:", run, scene)


def draw_cutter(image: Image.Image, grid: int, patch: int) -> None:
    """Show the image cut into patches, and the numbers of the chosen one."""

    def pick(chosen: int) -> None:
        st.session_state[PICKED_PATCH] = chosen

    patch_cutter(image, patch, (grid, grid), key="tour_cutter", on_pick=pick)


def show_tokens(run: Run, scene: TourImage) -> None:
    """Show step 2."""
    from vit.explain import similarity_to
    from vit.explain.tokens.states import token_parts

    model, info = vit_model(run)
    record = cached_models.look(run, scene.picked).record
    width = vit_config(run).embed_dim
    st.markdown(
        f"{STEMS[vit_config(run).stem].format(width=width)} The sum is the patch's **token**. From here on, the "
        "network works only with tokens."
    )
    patch = pick_patch(run, scene)
    parts = token_parts(model, cached_models.model_input(info, scene.picked.image), patch)
    st.markdown(
        rf"$\text{{token}}_{{{patch}}} = \text{{stem}}(\text{{patch}}_{{{patch}}}) + \text{{position}}_{{{patch}}}$, "
        f"{width} numbers each:"
    )
    heat_map(
        parts.values,
        key="tour_token",
        label=f"The numbers of patch {patch}: content, position, and their sum, the token",
        row_names=["content", "position", "token"],
        column_names=[f"number {index + 1}" for index in range(width)],
    )
    st.caption(
        "Rows from the top: content, position, token. Orange is above zero, blue below. Here the position part is "
        f"{parts.place_share:.0%} the size of the content part. The numbers have no individual meaning, but tokens can "
        "be compared: the map shows how similar each patch's token is to that of the chosen patch. Click another patch."
    )
    map_grid(
        TileMaps(
            maps=lambda tokens: similarity_to(record, tokens)[0][None, :, None, None],
            image=scene.picked.image,
            version=f"{cached_models.version(run, scene.picked.id)}/similarity",
            grid=record.grid,
            prefix=record.prefix_tokens,
            pool=record.pool,
            row_names=["Similarity"],
            column_names=[""],
            title="Similarity to the chosen patch",
            quantity="similarity",
            signed=True,
            shares=False,
        ),
        Selection(token=patch, summary=False, keys=(PICKED_PATCH, "tour_row", "tour_column")),
        key="tour_similarity",
    )
    link(
        "tokens/page.py",
        "Compare the tokens after every layer",
        ":material/apps:",
        run,
        scene,
        token=patch,
        layer=0,
    )


def _a(scene: TourImage) -> str:
    name = scene.picked.label or "picture"
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
