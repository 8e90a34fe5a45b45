"""Cover patches of the image by clicking them, or shuffle all patches."""

import random
from dataclasses import dataclass

import numpy as np
import streamlit as st

from pages.intervene.head_controls import parse_text_field, rerun_if_changed
from pages.ui import link_state
from pages.ui.widgets.boards import patch_board
from vit.explain.interventions.cover import FILLS, Fill
from vit.explain.interventions.patch_changes import alter, patches_from_text, patches_to_text

SEED_MAX = 9999


@dataclass(frozen=True)
class ImageChange:
    """Patches to cover and shuffle.

    Attributes:
        covered: numbers of the covered patches, from 1, row by row.
        fill: what covered patches show.
        seed: seed of the shuffled order; 0 keeps the patches in place.
    """

    covered: tuple[int, ...]
    fill: Fill
    seed: int

    @property
    def is_active(self) -> bool:
        """Whether the image differs from the original."""
        return bool(self.covered or self.seed)

    def apply(self, view: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
        """Return the image ``(h w c)`` uint8 with patches covered and shuffled."""
        return alter(view, grid, self.covered, self.fill, self.seed)


def choose_patches(view: np.ndarray, grid: tuple[int, int]) -> ImageChange:
    """Show the board of patches with its controls and return the chosen change of the image."""
    count = grid[0] * grid[1]
    covered = parse_text_field("covered", lambda text: patches_from_text(text, count), patches_to_text)
    link_state.bounded("shuffle", 0, SEED_MAX, 0)
    link_state.among("fill", dict(FILLS.items()), "mean")
    default_fill: Fill = "mean"
    st.markdown("**Image**")
    board = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        fill = st.segmented_control(
            "Covered patches show",
            list(FILLS),
            default=default_fill,
            required=True,
            format_func=FILLS.__getitem__,
            key="fill",
            bind="query-params",
            persist_state="session",
            help="The image's mean colour, or a blur that keeps rough colours and removes shapes.",
        )
        seed = st.number_input(
            "Shuffle seed",
            0,
            SEED_MAX,
            0,
            key="shuffle",
            bind="query-params",
            width=120,
            help="0 keeps the patches in place; every other number gives a different order.",
        )
    with st.container(horizontal=True):
        st.button("Shuffle patches", icon=":material/shuffle:", key="shuffle_now", on_click=_shuffle)
        st.button(
            "Restore image",
            icon=":material/layers_clear:",
            key="uncover",
            disabled=not (covered or seed),
            on_click=_uncover,
            help="Uncover every patch and undo the shuffling.",
        )
    image_change = ImageChange(covered, fill, seed)
    with board:
        patch_board(image_change.apply(view, grid), covered, grid, key="patch_cover", on_cover=_cover)
    shown = st.text_input(
        "Covered patches as text",
        key="covered",
        bind="query-params",
        placeholder="none",
        help=f"The same text as in the link: patch numbers from 1 to {count}, row by row, and ranges, with dots "
        "between them. Example: 1-3.7",
    )
    rerun_if_changed(shown, patches_to_text(covered))
    return image_change


def _cover(patches: list[int]) -> None:
    st.session_state["covered"] = patches_to_text(patches)


def _shuffle() -> None:
    st.session_state["shuffle"] = random.randint(1, SEED_MAX)


def _uncover() -> None:
    st.session_state["covered"], st.session_state["shuffle"] = "", 0
