"""The tour, steps 1 and 2: an image becomes patches, and patches become tokens."""

import streamlit as st
from PIL import Image

from pages.overview.tour.scene import PICKED_PATCH, TourImage, link, pick_patch
from pages.ui import cached_models
from pages.ui.widgets.boards import patch_cutter
from pages.ui.widgets.heat_map import heat_map
from pages.ui.widgets.map_grid import Selection, TileMaps, map_grid
from vit.runs import Run

STEMS = {
    "conv": "A few small convolutions, the stem, turn each patch (and a little of what lies around it) into {width} "
    "numbers that say what is there. {width} more, learned for its place in the image, are added.",
    "patch": "One learned matrix turns the numbers of each patch into {width} others that say what is there. {width} "
    "more, learned for its place in the image, are added.",
}


def show_patches(run: Run, scene: TourImage) -> None:
    """Step 1; it needs no model."""
    model = run.config.model
    size, side = model.image_size, model.patch_size
    st.markdown(
        f"The network does not see {_a(scene)}. It gets the image as {model.grid**2} squares, the **patches**, and "
        "each of them is nothing but numbers. Cut the image apart with the slider; point at a patch, or click one."
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
    """The image with its patches, and the chosen one with its numbers."""

    def pick(chosen: int) -> None:
        st.session_state[PICKED_PATCH] = chosen

    patch_cutter(image, patch, (grid, grid), key="tour_cutter", on_pick=pick)


def show_tokens(run: Run, scene: TourImage) -> None:
    """Step 2."""
    from vit.explain import similarity_to
    from vit.explain.tokens.states import token_parts

    model, info = cached_models.load_model(run)
    record = cached_models.look(run, scene.picked).record
    width = run.config.model.embed_dim
    st.markdown(
        f"{STEMS[run.config.model.stem].format(width=width)} The sum is the patch's **token**; from here on the "
        "network works with tokens alone."
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
        label=f"The numbers of patch {patch}: what is there, where it is, and their sum, the token",
        row_names=["what is there", "where it is", "the token"],
        column_names=[f"number {index + 1}" for index in range(width)],
    )
    st.caption(
        "From above: what is there, where it is, the token. Orange is above zero, blue below. Numbers of the place are "
        f"{parts.place_share:.0%} as large here as those of what is there. No number has a meaning that one could "
        "name, but tokens can be compared: the map says how alike each patch's token is to the chosen one's. Click "
        "another patch."
    )
    map_grid(
        TileMaps(
            maps=lambda tokens: similarity_to(record, tokens)[0][None, :, None, None],
            image=scene.picked.image,
            version=f"{cached_models.version(run, scene.picked.id)}/alike",
            grid=record.grid,
            prefix=record.prefix_tokens,
            pool=record.pool,
            row_names=["Likeness"],
            column_names=[""],
            title=f"How alike to the token of patch {patch}",
            quantity="likeness",
            signed=True,
            shares=False,
        ),
        Selection(token=patch, summary=False, keys=(PICKED_PATCH, "tour_row", "tour_column")),
        key="tour_alike",
    )
    link(
        "tokens/page.py",
        "Compare tokens after every layer",
        ":material/apps:",
        run,
        scene,
        token=patch,
        layer=0,
    )


def _a(scene: TourImage) -> str:
    name = scene.picked.label or "picture"
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
