"""Widgets that are clicked: a button for every head, an image whose patches are covered, and one that is cut apart."""

from collections.abc import Callable, Collection, Sequence

import numpy as np
import streamlit as st
from PIL import Image

from pages.ui.widgets.component import register_widget
from vit.data.files.images import fit_square
from vit.pictures.colours import SIGNED
from vit.pictures.data_url import data_url

DISPLAY_SIZE = 256
"""Larger images are shown at this side."""

_EVENTS = "board_events"
"""The key of the number of the last event of each widget, by widget."""

_head_board = register_widget("head_board")
_patch_board = register_widget("patch_board")
_patch_cutter = register_widget("patch_cutter")


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
        texts: ``(depth h)``, the text on each button.
        tones: ``(depth h)`` from -1 to 1: the sign chooses one of :data:`vit.pictures.colours.SIGNED`, the size its
            strength.
        says: ``(depth h)``, the same as a sentence, for the tooltip and for screen readers.
        key: the key of the widget.
        label: what the board shows, for screen readers.
        pressed: the layer and head, from 1, of the buttons that are outlined.
        on_pick: called with the layer and head of a click, from 1; 0 stands for all. It may be called twice for one
            click, so its effect must depend only on what it was created with.
        groups: whether the names of layers and heads can be clicked too.
    """
    depth, heads = tones.shape
    taken = f"{key}-taken"

    def take() -> None:
        pick = st.session_state[key].pick
        layer, head, click = pick.get("layer"), pick.get("head"), pick.get("click")
        # If another rerun is requested while this one runs, Streamlit delivers the click again, and the other widgets
        # have their values from before it. So the click is handled again, by the callback that handled it first: the
        # current callback was created after the click, and would undo its effect.
        last_click, callback = st.session_state.get(taken, (None, on_pick))
        if click != last_click:
            callback = on_pick
        st.session_state[taken] = click, callback
        if isinstance(layer, int) and isinstance(head, int) and 0 <= layer <= depth and 0 <= head <= heads:
            callback(layer, head)

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
    word: str = "covered",
) -> None:
    """Draw an image whose patches a click covers and uncovers.

    Args:
        view: the image as the model sees it, ``(h w c)`` uint8, with the covered patches covered.
        covered: the numbers of the covered patches, from 1, row by row.
        grid: rows and columns of patches.
        key: the key of the widget.
        on_cover: called with the numbers of the covered patches after a click.
        word: what a patch is after a click, as the widget says it.
    """
    rows, columns = grid
    image = Image.fromarray(view)
    events = st.session_state.setdefault(_EVENTS, {})

    def take() -> None:
        event = st.session_state[key].cover
        patches = event.get("covered")
        events[key] = event.get("seq", 0)
        if isinstance(patches, list):
            on_cover([patch for patch in patches if isinstance(patch, int) and 1 <= patch <= rows * columns])

    _patch_board(
        key=key,
        data={
            "image": data_url(Image.fromarray(fit_square(image, min(DISPLAY_SIZE, *image.size)))),
            "covered": list(covered),
            "rows": rows,
            "columns": columns,
            "word": word,
            "seq": events.get(key, 0),
        },
        on_cover_change=take,
    )


def patch_cutter(
    image: Image.Image, patch: int, grid: tuple[int, int], *, key: str, on_pick: Callable[[int], None]
) -> None:
    """Draw an image that a slider cuts into patches, and one patch enlarged with its numbers.

    Args:
        image: the image as the model sees it.
        patch: the number of the enlarged patch, from 1, row by row.
        grid: rows and columns of patches.
        key: the key of the widget.
        on_pick: called with the number of a patch that was clicked.
    """
    rows, columns = grid
    events = st.session_state.setdefault(_EVENTS, {})

    def take() -> None:
        event = st.session_state[key].pick
        events[key] = event.get("seq", 0)
        picked = event.get("patch")
        if isinstance(picked, int) and 1 <= picked <= rows * columns:
            on_pick(picked)

    _patch_cutter(
        key=key,
        data={
            "image": data_url(image),
            "rows": rows,
            "columns": columns,
            "patch": patch,
            "seq": events.get(key, 0),
        },
        on_pick_change=take,
    )
