"""The tour, steps 3 and 4: one attention head, and all heads compared."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from pages.overview.tour import claims
from pages.overview.tour.choice import TourImage
from pages.overview.tour.scene import (
    PICKED_HEAD,
    PICKED_LAYER,
    PICKED_PATCH,
    link,
    note,
    pick_head,
    pick_patch,
    vit_config,
)
from pages.ui import cached_models
from pages.ui.widgets.map_grid import Selection, TileMaps, map_grid
from pages.ui.widgets.query_key_value import Tokens, query_key_value
from vit.runs import Run

FORMULA = (
    r"a_{nm} = \frac{e^{\,q_n \cdot k_m / \sqrt{d}}}{\sum_{m'} e^{\,q_n \cdot k_{m'} / \sqrt{d}}}, "
    r"\qquad \text{out}_n = \sum_m a_{nm}\, v_m"
)


def show_head(run: Run, scene: TourImage) -> None:
    """Show step 3."""
    from vit.explain import image_facts

    model, look = vit_config(run), cached_models.look(run, scene.picked)
    st.markdown(
        "Now the tokens exchange information. In an **attention head**, each token compares its query $q$ with the key "
        "$k$ of every token, and copies information (the values $v$) from those that match. Click a patch: brighter "
        "patches get more of its attention."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        patch = pick_patch(run, scene)
        layer, head = pick_head(run, most_moved_head(look, scene))
    draw_heads(
        run,
        scene,
        look,
        patch,
        (layer,),
        (head,),
        key="tour_head_map",
        title=f"Layer {layer}, head {head}",
        picks=(PICKED_PATCH, "tour_row", "tour_column"),
    )
    moved = image_facts.moved_shares(look.attention, look.record.prefix_tokens, patch)
    words, far = claims.movement(moved, (layer, head), model.grid)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(words, width="content")
        st.button(f"Choose patch {far}", icon=":material/near_me:", key="tour_far", on_click=note, args=("patch", far))
    draw_computation(run, scene, look, patch, (layer, head))
    st.latex(FORMULA)
    row, names = row_of(run, look, patch, layer, head)
    best = int(row.argmax())
    st.markdown(
        f"Patch {patch} divides 100% of its attention over {len(row)} tokens: the shares sum to **{row.sum():.4f}**. "
        f"The largest share, **{row[best]:.0%}**, goes to {names[best]}{prefix_words(look, row)}. Here "
        f"$d = {model.head_dim}$."
    )
    link(
        "anatomy/page.py",
        "Follow the arithmetic of this head",
        ":material/calculate:",
        run,
        scene,
        part="One head",
        token=patch,
        layer=layer,
        head=head,
    )


def draw_computation(run: Run, scene: TourImage, look: cached_models.Look, patch: int, place: claims.Place) -> None:
    """Show step by step how a head computes the attention and the output of a patch."""
    from vit.explain.anatomy.head_vectors import head_vectors

    layer, head = place
    token = look.record.prefix_tokens + patch - 1
    st.markdown("**How these numbers are computed**, step by step:")
    query_key_value(
        head_vectors(look.record, layer=layer, head=head, token=token),
        Tokens(image=scene.picked.image, grid=look.record.grid, before=tuple(vit_config(run).prefix_names)),
        token=token,
        title=f"Layer {layer}, head {head}",
        version=cached_models.version(run, scene.picked.id, layer, head),
        key="tour_computation",
    )


def show_heads(run: Run, scene: TourImage) -> None:
    """Show step 4."""
    from vit.explain import image_facts, token_rows
    from vit.explain.tokens.states import effective_tokens

    model, look = vit_config(run), cached_models.look(run, scene.picked)
    layers, heads = range(1, model.depth + 1), range(1, model.num_heads + 1)
    st.markdown(
        f"The {model.depth} layers have {model.num_heads} heads each. No one programmed what each looks for: they "
        "learned it in training. Click a patch and compare what the heads attend to from there."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        patch = pick_patch(run, scene)
        layer, head = pick_head(run, most_moved_head(look, scene))
    draw_heads(
        run,
        scene,
        look,
        patch,
        layers,
        heads,
        key="tour_head_maps",
        title="Every head of every layer",
        row=layer,
        column=head,
        picks=(PICKED_PATCH, PICKED_LAYER, PICKED_HEAD),
    )
    correlations = image_facts.map_correlations(image_facts.patch_maps(look.record, look.attention, patch))
    st.markdown(claims.differences(correlations, patch, model.num_heads))
    spread = effective_tokens(token_rows(look.record, look.attention, patch))
    widest, narrowest = (claims.place_of(int(index), model.num_heads) for index in (spread.argmax(), spread.argmin()))
    share = (
        " The small number on a tile is the share that goes to the class token." if look.record.prefix_tokens else ""
    )
    st.markdown(
        f"The attention of {claims.place_words(widest)} spreads over about **{spread.max():.0f}** of "
        f"{look.attention.shape[-1]} tokens, that of {claims.place_words(narrowest)} over about "
        f"**{spread.min():.0f}**.{share}"
    )
    link(
        "attention/page.py",
        "See the attention of other images",
        ":material/visibility:",
        run,
        scene,
        token=patch,
        layer=layer,
        head=head,
    )


def most_moved_head(look: cached_models.Look, scene: TourImage) -> claims.Place:
    """Return the layer and head whose map a click moves most, from the middle of the object to another patch."""
    from vit.explain import image_facts

    moved = image_facts.moved_shares(look.attention, look.record.prefix_tokens, scene.middle)
    return claims.place_of(int(image_facts.mean_of_others(moved).argmax()), moved.shape[1])


def draw_heads(
    run: Run,
    scene: TourImage,
    look: cached_models.Look,
    patch: int,
    layers: Sequence[int],
    heads: Sequence[int],
    *,
    key: str,
    title: str,
    picks: tuple[str, str, str],
    row: int = 1,
    column: int = 1,
) -> None:
    """Show what the patch attends to in some heads of some layers; the maps of all patches are sent at once."""
    from vit.explain import token_rows

    record = look.record
    chosen = look.attention[np.ix_([one - 1 for one in layers], [one - 1 for one in heads])]
    map_grid(
        TileMaps(
            maps=lambda tokens: np.stack([token_rows(record, chosen, one) for one in tokens])[None],
            image=scene.picked.image,
            version=f"{cached_models.version(run, scene.picked.id)}/{key}/{layers}/{heads}",
            grid=record.grid,
            prefix=record.prefix_tokens,
            pool=record.pool,
            row_names=[title] if len(layers) == len(heads) == 1 else [f"Layer {layer}" for layer in layers],
            column_names=[f"Head {head}" for head in heads],
            title=title,
            scale="per tile",
        ),
        Selection(token=patch, row=row, column=column, summary=False, keys=picks),
        key=key,
    )


def row_of(run: Run, look: cached_models.Look, patch: int, layer: int, head: int) -> tuple[np.ndarray, list[str]]:
    """Return the attention of one patch to each token, ``(m)``, and the names of the tokens."""
    from vit import plots
    from vit.explain import token_rows

    names = plots.token_names(look.record.grid, vit_config(run).prefix_names)
    return token_rows(look.record, look.attention[layer - 1, head - 1], patch), names


def prefix_words(look: cached_models.Look, row: np.ndarray) -> str:
    """Return the share of the class token as the end of a sentence; empty if there is none."""
    prefix = look.record.prefix_tokens
    if not prefix:
        return ""
    return f"; {row[:prefix].sum():.1%} goes to the class token, which is not a patch (the number on the map)"
