"""A grid of maps over an image, with a patch picker and one enlarged map; the browser draws it from maps sent once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import streamlit as st
from PIL import Image

from pages.ui.widgets.component import register_widget
from vit.config.words import SUMMARIES, short_before, words_before
from vit.data.files.images import fit_square
from vit.pictures.colours import PALETTE, SEQUENTIAL, SIGNED
from vit.pictures.data_url import data_url
from vit.support.untrusted_text import shown

MAPS_BYTES_MAX = 4_000_000
"""The maps of all tokens are sent together up to this size; beyond it, only those of the chosen token."""

EXACT_BYTES_MAX = 1_000_000
"""Larger maps are sent in half precision. Its rounding error, at most 0.05 %, is smaller than the digits on screen."""

TILE_BYTES_MAX = 1_000_000
"""The maps of all tokens of one tile are sent up to this size, since they are sent again with every click."""

HALF_MAX = 60_000.0
"""The largest number that is sent in half precision, which ends at 65,504."""

DISPLAY_SIZE = 256
"""Images larger than the model's input are shown at this side, in the model's own crop."""

SCALES = ("shared", "per tile")

_BROWSERS = "grid_browsers"
_component = register_widget("map_grid")


@dataclass(frozen=True, kw_only=True)
class TileNote:
    """What is known of a tile besides its map.

    Attributes:
        role: a short label on the tile; empty for none.
        border: how important the tile is, above 0 and at most 1: the width of a border around it; 0 draws none.
        about: sentences with the figures behind the label and the border, which are shown on hover.
    """

    role: str = ""
    border: float = 0.0
    about: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class TileMaps:
    """What a grid draws: a map for each tile, and how to read it.

    Attributes:
        maps: a function from tokens to ``(frames tokens rows columns m)`` float32: what each tile shows for each
            token, where m is the prefix tokens and the patches. It is called with all tokens, or with the chosen one
            if the maps of all are too large.
        image: the image below the maps.
        version: a name for everything that the maps depend on: run, weights, image, kind of map, frames.
        grid: rows and columns of patches.
        prefix: the number of tokens before the patches.
        pool: how the network summarises the image, a key of :data:`vit.config.words.SUMMARIES`.
        row_names: the names of the rows of tiles.
        column_names: the names of the columns of tiles.
        title: the title of the grid.
        quantity: what a colour stands for.
        signed: whether values have both signs; otherwise they are amounts from 0 up.
        shares: whether the values of a map and the prefix sum to 1.
        pairs: whether a value belongs to the chosen token and a patch; otherwise to the patch alone, and the maps of
            one token are enough.
        before: the names from :func:`vit.config.words.tokens_before`; these tokens can then be picked too, with the
            numbers after the last patch.
        frames: the epochs of a time-lapse. The browser plays them and writes the one it stops at to ``epoch``.
        notes: a text for each frame, which the browser shows with it.
        scale: one of :data:`SCALES`, to override the choice of :func:`scale_controls`.
        top: the end of the shared colour scale; None computes it from these maps. Two grids that are compared share it.
        one_tile: a function from the row and column of a tile, from 1, and tokens to the maps of this tile,
            ``(tokens m)``. With it the enlarged map follows the pointer even if the maps of all tiles are too large.
        tile_notes: a note for each tile, row by row; empty for none.
        key: sentences below the tiles that explain the notes on them.
    """

    maps: Callable[[Sequence[int]], np.ndarray]
    image: Image.Image
    version: str
    grid: tuple[int, int]
    prefix: int
    pool: str
    row_names: Sequence[str]
    column_names: Sequence[str]
    title: str = "Every head of every layer"
    quantity: str = "attention"
    signed: bool = False
    shares: bool = True
    pairs: bool = True
    before: Sequence[str] = ()
    frames: Sequence[int] = ()
    notes: Sequence[str] = ()
    scale: str | None = None
    top: float | None = None
    one_tile: Callable[[int, int, Sequence[int]], np.ndarray] | None = None
    tile_notes: Sequence[TileNote] = ()
    key: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What is selected in a grid, and what the visitor can select.

    Attributes:
        token: 0 is the summary token, k >= 1 the k-th patch.
        row: the row of the enlarged tile, from 1.
        column: its column, from 1.
        frame: the index of the first frame shown.
        patches: whether a patch can be picked.
        summary: whether the summary token can be picked.
        enlarges: whether the chosen tile is also shown enlarged. A single tile is always large.
        on_map: whether the patch is picked on the enlarged map; otherwise on the image beside it, for maps that cover
            the image.
        keys: the keys in session state that a click writes the token, the row and the column to.
    """

    token: int
    row: int = 1
    column: int = 1
    frame: int = 0
    patches: bool = True
    summary: bool = True
    enlarges: bool = True
    on_map: bool = True
    keys: tuple[str, str, str] = ("token", "layer", "head")


def map_grid(tiles: TileMaps, selection: Selection, *, key: str) -> None:
    """Draw a tile for each row and column, the patch picker, and the chosen tile enlarged.

    If a map belongs to a token, picker and enlarged tile are one: the maps follow the pointer over it, without the
    server. A click pins the patch and writes the session state. The maps of all tokens are sent once for each version:
    with its first event the browser reports the version that it has. If they are too large, only those of the chosen
    token are sent and, with ``one_tile``, those of the chosen tile: then only a click changes the other tiles.
    :func:`scale_controls` set the colours.

    Args:
        tiles: what is drawn.
        selection: what is selected.
        key: the key of this grid, unique on a page.
    """
    rows, columns = tiles.grid
    patches = rows * columns
    pairs = tiles.pairs and selection.patches
    tokens = patches + 1 + len(tiles.before) if pairs else 1
    tile_count = len(tiles.row_names) * len(tiles.column_names)
    size = 2 * max(1, len(tiles.frames)) * tokens * tile_count * (tiles.prefix + patches)
    every = size <= MAPS_BYTES_MAX
    tile = None if every or not pairs or tiles.frames else tiles.one_tile
    if 2 * tokens * (tiles.prefix + patches) > TILE_BYTES_MAX:
        tile = None
    version = tiles.version
    if not every:  # what is sent depends on the selection
        version += f"#{selection.token}" + (f"/{selection.row}/{selection.column}" if tile else "")
    state = st.session_state.setdefault(_BROWSERS, {}).setdefault(key, {"version": None, "seq": 0})
    sent: dict[str, Any] = {}
    if state["version"] != version:
        values = tiles.maps(range(tokens) if every else [selection.token])
        shown_image = Image.fromarray(fit_square(tiles.image, min(DISPLAY_SIZE, *tiles.image.size)))
        sent = {"image": data_url(shown_image), "maps": _table(values)}
        if tile is not None:
            sent["tile"] = _table(tile(selection.row, selection.column, range(tokens)))
    _component(
        key=key,
        data=sent
        | {
            "version": version,
            "every": every,
            "first": 0 if every else selection.token,
            "tokens": tokens if every else 1,
            "rows": rows,
            "columns": columns,
            "prefix": tiles.prefix,
            "rowNames": [shown(name) for name in tiles.row_names],
            "columnNames": [shown(name) for name in tiles.column_names],
            "title": shown(tiles.title),
            "quantity": tiles.quantity,
            "shares": tiles.shares,
            "pairs": pairs,
            "signed": tiles.signed,
            "summary": SUMMARIES[tiles.pool],
            "colours": list(SIGNED if tiles.signed else SEQUENTIAL),
            "frames": list(tiles.frames),
            "notes": [shown(note) for note in tiles.notes],
            "frame": selection.frame,
            "top": tiles.top,
            "picker": selection.patches,
            "offersSummary": selection.summary,
            "enlarges": selection.enlarges,
            "onMap": selection.on_map,
            "before": list(tiles.before) if pairs else [],
            "beforeShort": short_before(tiles.before),
            "beforeWords": words_before(tiles.before),
            "token": selection.token,
            "row": selection.row,
            "column": selection.column,
            "perTile": (tiles.scale or st.session_state.get("scale")) == SCALES[1],
            "opacity": st.session_state.get("opacity", 85) / 100,
            "smooth": is_smooth(),
            "tileNotes": [
                {"role": note.role, "border": note.border, "about": list(note.about)} for note in tiles.tile_notes
            ],
            "borderColour": PALETTE["vermilion"],
            "key": list(tiles.key),
            "seq": state["seq"],
        },
        on_pick_change=partial(_take_pick, key, selection.keys, list(tiles.frames)),
    )


def _table(values: np.ndarray) -> pa.Table:
    """Return numbers as a table for the browser; many become the bits of half precision, as integers.

    The browser's library would convert half precision one number at a time, which is slow.
    """
    values = np.ascontiguousarray(values, dtype=np.float32).ravel()
    if values.nbytes > EXACT_BYTES_MAX and float(np.abs(values).max()) <= HALF_MAX:
        return pa.table({"half": values.astype(np.float16).view(np.uint16)})
    return pa.table({"value": values})


def scale_controls() -> None:
    """Show the controls of a grid's colours; place this in a row."""
    smooth_control()
    with st.popover("Colours", icon=":material/palette:"):
        st.segmented_control(
            "Colour scale", SCALES, default=SCALES[0], required=True, key="scale", bind="query-params", wrap=False
        )
        st.slider("Opacity", 0, 100, 85, 5, format="%d%%", key="opacity", bind="query-params", width=180)


def smooth_control() -> None:
    """Show the switch between blocky and smooth maps, which all pages share; place this in a row."""
    st.toggle(
        "Smooth",
        key="smooth",
        bind="query-params",
        persist_state="session",
        help="Interpolate the colours between the centres of the patches, instead of drawing each patch as a square. "
        "The network has no finer values: on hover, a number is always that of a whole patch.",
    )


def is_smooth() -> bool:
    """Return whether the visitor chose smooth maps."""
    return bool(st.session_state.get("smooth"))


def forget_browsers() -> None:
    """Send the maps of the next grids again: after a change of page the browser no longer has them."""
    for state in st.session_state.get(_BROWSERS, {}).values():
        state["version"] = None


def _take_pick(key: str, targets: tuple[str, str, str], frames: list[int]) -> None:
    """Store what a grid's event selected, and the version of the maps that the browser has (None asks for them)."""
    pick = st.session_state[key].pick
    st.session_state[_BROWSERS][key] = {"version": pick.get("version"), "seq": pick.get("seq", 0)}
    for name, target in zip(("token", "row", "column"), targets, strict=True):
        if isinstance(pick.get(name), int):
            st.session_state[target] = pick[name]
    if frames and isinstance(pick.get("frame"), int):
        st.session_state["epoch"] = frames[min(max(pick["frame"], 0), len(frames) - 1)]
