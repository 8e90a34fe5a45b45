"""Two boards that are clicked: a button for every head, and a picture whose patches can be covered."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np
import streamlit as st
from PIL import Image

from vit.data.files.images import fit_square
from vit.pictures.colours import SIGNED
from vit.pictures.data_url import data_url

DISPLAY_SIZE = 256
"""Pictures larger than this are shown at this side."""

_BROWSERS = "board_browsers"


def _folder(name: str) -> dict[str, str]:
    folder = Path(__file__).parent / name
    return {"css": (folder / "style.css").read_text(), "js": (folder / "index.js").read_text()}


_head_board = st.components.v2.component("head_board", **_folder("head_board"))
_patch_board = st.components.v2.component("patch_board", **_folder("patch_board"))


def head_board(
    texts: Sequence[Sequence[str]],
    tones: np.ndarray,
    says: Sequence[Sequence[str]],
    *,
    key: str,
    label: str,
    pressed: Collection[tuple[int, int]],
    on_pick: Callable[[int, int], None],
    groups: bool = False,
) -> None:
    """Draw a button for each head, layers down.

    Args:
        texts: ``(depth h)``, what stands on a button.
        tones: ``(depth h)`` from -1 to 1, its colour: how much of which of :data:`vit.pictures.colours.SIGNED`.
        says: ``(depth h)``, the same in words, for the pointer and for those who do not see it.
        label: what the board is, for those.
        pressed: layer and head, from 1, of the buttons that are outlined.
        on_pick: called with layer and head of a click, from 1; 0 stands for all.
        groups: names of layers and heads can be clicked too.
    """
    depth, heads = tones.shape
    taken = f"{key}-taken"

    def take() -> None:
        pick = st.session_state[key].pick
        layer, head, click = pick.get("layer"), pick.get("head"), pick.get("click")
        if st.session_state.get(taken) == click:  # a rerun that was asked for during the one that took it has it again
            return
        st.session_state[taken] = click
        if isinstance(layer, int) and isinstance(head, int) and 0 <= layer <= depth and 0 <= head <= heads:
            on_pick(layer, head)

    _head_board(
        key=key,
        data={
            "depth": depth,
            "heads": heads,
            "groups": groups,
            "texts": [list(row) for row in texts],
            "tones": np.round(tones, 3).tolist(),
            "says": [list(row) for row in says],
            "pressed": [list(one) for one in pressed],
            "colours": list(SIGNED),
            "label": label,
        },
        on_pick_change=take,
    )


def patch_board(
    view: np.ndarray,
    covered: Collection[int],
    grid: tuple[int, int],
    *,
    key: str,
    on_cover: Callable[[list[int]], None],
) -> None:
    """Draw a picture whose patches are covered and uncovered by a click.

    Args:
        view: the picture as the model sees it, ``(h w c)`` uint8, with the covered patches covered.
        covered: their numbers, from 1, row by row.
        on_cover: called with the numbers that are covered after a click.
    """
    rows, columns = grid
    image = Image.fromarray(view)
    counts = st.session_state.setdefault(_BROWSERS, {})

    def take() -> None:
        event = st.session_state[key].cover
        patches = event.get("covered")
        counts[key] = event.get("seq", 0)
        if isinstance(patches, list):
            on_cover([patch for patch in patches if isinstance(patch, int) and 1 <= patch <= rows * columns])

    _patch_board(
        key=key,
        data={
            "image": data_url(Image.fromarray(fit_square(image, min(DISPLAY_SIZE, *image.size)))),
            "covered": list(covered),
            "rows": rows,
            "columns": columns,
            "seq": counts.get(key, 0),
        },
        on_cover_change=take,
    )
