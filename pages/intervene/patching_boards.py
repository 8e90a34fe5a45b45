"""The boards of activation patching: effects of heads, and of tokens over the image; a click chooses what to patch."""

from collections.abc import Collection, Sequence

import numpy as np
import streamlit as st
from PIL import Image

from pages.intervene.head_controls import WIDE_BUTTON_HEADS_MAX
from pages.intervene.patching_pair import PickedPair
from pages.ui.widgets.boards import head_board, patch_board
from pages.ui.widgets.heat_map import heat_map
from vit.config import TransformerConfig
from vit.explain.patching.patch import PatchRuns, Place, places_to_text
from vit.pictures import overlays

FULL = 1.0  # an effect that has the strongest colour


def show_board(found: np.ndarray, chosen: Sequence[Place]) -> None:
    """Show the effect of every head; a click adds it to the patched group, a label its layer or column."""
    depth, heads = found.shape
    texts, tones = sheet(found)
    says = [
        [f"Layer {layer + 1}, head {head + 1}: effect {found[layer, head]:+.3f}" for head in range(heads)]
        for layer in range(depth)
    ]

    def toggle(layer: int, head: int) -> None:
        layers = [layer - 1] if layer else range(depth)
        units = [head - 1] if head else range(heads)
        wanted = {(one, unit) for one in layers for unit in units}
        choose(set(chosen) - wanted if wanted <= set(chosen) else set(chosen) | wanted)

    with st.container(width=min(940, 110 + (96 if heads <= WIDE_BUTTON_HEADS_MAX else 60) * heads)):
        head_board(
            texts,
            tones,
            says,
            key="patch_heads",
            label="Effect of patching each head, one row per layer; click heads to patch them together",
            pressed=[(layer + 1, head + 1) for layer, head in chosen],
            on_pick=toggle,
            groups=True,
        )
    st.caption("Effect of patching this head alone: 0 no effect, 1 the whole difference. Click heads to patch them.")


def sheet(found: np.ndarray) -> tuple[list[list[str]], np.ndarray]:
    """Return the texts and tones of a board of effects."""
    texts = [[f"{value:+.2f}".replace("-", "−") if abs(value) >= 0.005 else "0" for value in row] for row in found]
    return texts, np.clip(found / FULL, -1, 1)


def show_token_map(
    config: TransformerConfig, found: np.ndarray, chosen: Sequence[Place], pair: PickedPair, runs: PatchRuns
) -> None:
    """Show the effect of every token in every layer, and one layer's over the image, where patches are chosen."""
    depth, tokens = found.shape
    prefix = tokens - config.grid**2
    before = list(config.prefix_names)
    layer = int(
        st.segmented_control(
            "Layer",
            [str(number) for number in range(1, depth + 1)],
            default="1",
            required=True,
            key="patched_layer",
            bind="query-params",
        )
    )
    heat_map(
        found,
        key="patch_map",
        label="Effect of patching each token, one row per layer",
        row_names=[f"Layer {number}" for number in range(1, depth + 1)],
        column_names=[*before, *(f"patch {number}" for number in range(1, config.grid**2 + 1))],
        mark=layer - 1,
    )
    own = [unit for one, unit in chosen if one == layer - 1]
    rest = [place for place in chosen if place[0] != layer - 1]
    maps = found[:, prefix:].reshape(depth, config.grid, config.grid)
    top = overlays.shared_top(np.abs(maps))
    side = config.grid * max(1, 256 // config.grid)
    overlay = overlays.signed_overlay(np.asarray(base_image(pair, runs)), maps[layer - 1], top=top, side=side)
    view = np.array(overlay)
    step = side // config.grid
    for unit in own:
        row, column = divmod(unit - prefix, config.grid)
        if unit >= prefix:
            view[row * step : (row + 1) * step, column * step : (column + 1) * step] = 128
    patch_board(
        view,
        [unit - prefix + 1 for unit in own if unit >= prefix],
        (config.grid, config.grid),
        key="patch_tokens",
        word="patched",
        on_cover=lambda picked: choose(
            [*rest, *((layer - 1, unit) for unit in own if unit < prefix)]
            + [(layer - 1, prefix + patch - 1) for patch in picked]
        ),
    )
    st.caption(
        f"Layer {layer}: orange patches move the answer, blue ones move it away. Click or drag over patches to patch "
        "them."
    )
    if before:
        st.pills(
            "Other tokens of this layer",
            range(prefix),
            selection_mode="multi",
            default=[unit for unit in own if unit < prefix],
            format_func=lambda unit: f"{before[unit]} {found[layer - 1, unit]:+.2f}".replace("-", "−"),
            key=f"patched_prefix_{layer}_{places_to_text(chosen)}",
            on_change=_choose_prefix,
            args=(f"patched_prefix_{layer}_{places_to_text(chosen)}", layer - 1, prefix, chosen),
        )


def base_image(pair: PickedPair, runs: PatchRuns) -> Image.Image:
    """Return the image whose run is patched."""
    return pair.corrupt if runs.direction == "denoise" else pair.clean


def token_picture(found: np.ndarray, config: TransformerConfig, view: np.ndarray) -> Image.Image:
    """Draw the effects of the patches ``(l n)`` over an image, one picture for each layer."""
    maps = found[:, -(config.grid**2) :].reshape(-1, config.grid, config.grid)
    top = overlays.shared_top(np.abs(maps))
    titles = [f"layer {layer}" for layer in range(1, len(maps) + 1)]
    return overlays.titled_grid([overlays.signed_overlay(view, one, top=top) for one in maps], titles)


def _choose_prefix(key: str, layer: int, prefix: int, chosen: Sequence[Place]) -> None:
    rest = [place for place in chosen if place[0] != layer or place[1] >= prefix]
    choose([*rest, *((layer, unit) for unit in st.session_state[key])])


def choose(places: Collection[Place]) -> None:
    """Store the places that the next rerun patches."""
    st.session_state["patched"] = places_to_text(places)
