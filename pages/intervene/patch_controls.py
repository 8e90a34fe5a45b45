"""What is done to the image: patches are covered by clicking them, or all of them shuffled."""

import random
from dataclasses import dataclass

import numpy as np
import streamlit as st

from pages.intervene.head_controls import as_checked, checked
from pages.ui import link_state
from pages.ui.widgets.boards import patch_board
from vit.explain.interventions.cover import FILLS, Fill
from vit.explain.interventions.patch_changes import alter, patches_from_text, patches_to_text

SEED_MAX = 9999


@dataclass(frozen=True)
class Tampering:
    """What was done to the image: the numbers of covered patches, what they show, the seed of the shuffling or 0."""

    covered: tuple[int, ...]
    fill: Fill
    seed: int

    @property
    def anything(self) -> bool:
        """Whether the image is another one."""
        return bool(self.covered or self.seed)

    def on(self, view: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
        """The picture ``(h w c)`` uint8 with it."""
        return alter(view, grid, self.covered, self.fill, self.seed)


def choose_patches(view: np.ndarray, grid: tuple[int, int]) -> Tampering:
    """The board, and the controls of what a covered patch shows and of the shuffling."""
    count = grid[0] * grid[1]
    covered = checked("covered", lambda text: patches_from_text(text, count), patches_to_text)
    link_state.bounded("shuffle", 0, SEED_MAX, 0)
    link_state.among("fill", FILLS, "mean")
    st.markdown("**The image**")
    board = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        fill = st.segmented_control(
            "Covered patches show",
            list(FILLS),
            default="mean",
            required=True,
            format_func=FILLS.get,
            key="fill",
            bind="query-params",
            persist_state="session",
            help="The image's mean colour, or a blur in which the rough colours stay and shapes go.",
        )
        seed = st.number_input(
            "Shuffle",
            0,
            SEED_MAX,
            0,
            key="shuffle",
            bind="query-params",
            width=120,
            help="0 leaves the patches in place; every other number is an order of its own.",
        )
    with st.container(horizontal=True):
        st.button("Shuffle patches", icon=":material/shuffle:", key="shuffle_now", on_click=_shuffle)
        st.button(
            "Uncover all",
            icon=":material/layers_clear:",
            key="uncover",
            disabled=not (covered or seed),
            on_click=_uncover,
            help="Uncovers every patch and puts shuffled ones back.",
        )
    tampering = Tampering(covered, fill, seed)
    with board:
        patch_board(tampering.on(view, grid), covered, grid, key="patch_cover", on_cover=_cover)
    shown = st.text_input(
        "Covered patches as text",
        key="covered",
        bind="query-params",
        placeholder="none",
        help=f"As in the link: numbers from 1 to {count}, row by row, and ranges, with dots between: 1-3.7",
    )
    as_checked(shown, patches_to_text(covered))
    return tampering


def _cover(patches: list[int]) -> None:
    st.session_state["covered"] = patches_to_text(patches)


def _shuffle() -> None:
    st.session_state["shuffle"] = random.randint(1, SEED_MAX)


def _uncover() -> None:
    st.session_state["covered"], st.session_state["shuffle"] = "", 0
