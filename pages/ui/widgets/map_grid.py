"""A grid of maps over an image, with a patch picker and one map enlarged; drawn in the browser from maps sent once."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import streamlit as st
from PIL import Image

from vit.config import TransformerConfig
from vit.data.files.images import fit_square
from vit.pictures.colours import SEQUENTIAL, SIGNED
from vit.pictures.data_url import data_url
from vit.support.untrusted_text import shown

MAPS_BYTES_MAX = 3_000_000
"""The maps of all tokens go to the browser up to this size, beyond it those of the chosen token alone."""

DISPLAY_SIZE = 256
"""Pictures larger than the model's input are shown at this side, in the model's own crop."""

SUMMARIES = {"cls": "class token", "mean": "mean of the patches", "all": "mean of all tokens"}
SCALES = ("shared", "per tile")

_BROWSERS = "grid_browsers"
_FOLDER = Path(__file__).parent / "map_grid"
_component = st.components.v2.component(
    "map_grid", css=(_FOLDER / "style.css").read_text(), js=(_FOLDER / "index.js").read_text()
)

Maps = Callable[[Sequence[int]], np.ndarray]
"""Tokens -> ``(frames tokens rows columns m)`` float32: what each tile shows of each, m = prefix and patches."""


def map_grid(
    maps: Maps,
    image: Image.Image,
    *,
    key: str,
    version: str,
    grid: tuple[int, int],
    prefix: int,
    pool: str,
    row_names: Sequence[str],
    column_names: Sequence[str],
    token: int,
    row: int,
    column: int,
    title: str = "Every head of every layer",
    quantity: str = "attention",
    signed: bool = False,
    shares: bool = True,
    pairs: bool = True,
    frames: Sequence[int] = (),
    frame: int = 0,
    picker: bool = True,
    summary: bool = True,
    enlarges: bool = True,
    scale: str | None = None,
    before: Sequence[str] = (),
    picks: tuple[str, str, str] = ("token", "layer", "head"),
) -> None:
    """Draw a tile for each row and column of names, the patch picker, and the chosen tile enlarged.

    A click writes the session state. The maps of all tokens are sent once for each ``version``: from its first event on
    the browser names the version that it holds. Colour scale and opacity are those of :func:`scale_controls`.

    Args:
        maps: asked for all tokens, or, where those would be too large, for the chosen one.
        key: of this grid; each on a page has its own.
        version: names all that the maps depend on: run, weights, image, kind of map, frames.
        grid, prefix, pool: as in :class:`vit.explain.Record`.
        row_names, column_names: of the tiles.
        token: 0 is the summary token, k >= 1 the k-th patch.
        row, column: the enlarged tile, from 1.
        quantity: what a colour stands for.
        signed: colours of both signs around 0, else amounts from 0 up.
        shares: a map and the prefix share 1 among them.
        pairs: a number is of the chosen token and a patch; else of the patch alone, and one token is asked for.
        frames: epochs of a time-lapse; the browser plays them, and writes the one that it stops at to ``epoch``.
        frame: index of the one to begin with.
        picker: whether a patch can be picked; without, a number is of the patch alone.
        summary: whether the summary token can be picked, too.
        enlarges: whether the chosen tile stands there enlarged; a single tile is large by itself.
        scale: of :data:`SCALES`, in place of what :func:`scale_controls` chose.
        before: :func:`tokens_before` of a network with registers: then the tokens before the patches can be picked,
            with the numbers after the last patch.
        picks: the keys of the session state that a click on a patch, and a tile's row and column, are written to.
    """
    rows, columns = grid
    patches = rows * columns
    pairs = pairs and picker
    tokens = patches + 1 + len(before) if pairs else 1
    size = 4 * max(1, len(frames)) * tokens * len(row_names) * len(column_names) * (prefix + patches)
    every = size <= MAPS_BYTES_MAX
    version = version if every else f"{version}#{token}"
    state = st.session_state.setdefault(_BROWSERS, {}).setdefault(key, {"version": None, "seq": 0})
    sent: dict[str, Any] = {}
    if state["version"] != version:
        values = np.ascontiguousarray(maps(range(tokens) if every else [token]), dtype=np.float32)
        shown_image = Image.fromarray(fit_square(image, min(DISPLAY_SIZE, *image.size)))
        sent = {"maps": pa.table({"value": values.ravel()}), "image": data_url(shown_image)}
    _component(
        key=key,
        data=sent
        | {
            "version": version,
            "every": every,
            "first": 0 if every else token,
            "tokens": tokens if every else 1,
            "rows": rows,
            "columns": columns,
            "prefix": prefix,
            "rowNames": [shown(name) for name in row_names],
            "columnNames": [shown(name) for name in column_names],
            "title": shown(title),
            "quantity": quantity,
            "shares": shares,
            "pairs": pairs,
            "signed": signed,
            "summary": SUMMARIES[pool],
            "colours": list(SIGNED if signed else SEQUENTIAL),
            "frames": list(frames),
            "frame": frame,
            "picker": picker,
            "offersSummary": summary,
            "enlarges": enlarges,
            "before": list(before) if pairs else [],
            "beforeShort": short_before(before),
            "beforeWords": words_before(before),
            "token": token,
            "row": row,
            "column": column,
            "perTile": (scale or st.session_state.get("scale")) == SCALES[1],
            "opacity": st.session_state.get("opacity", 85) / 100,
            "seq": state["seq"],
        },
        on_pick_change=partial(_take_pick, key, picks, list(frames)),
    )


def tokens_before(config: TransformerConfig) -> tuple[str, ...]:
    """The names of the tokens before the patches, where there are registers among them; elsewhere none: a class token
    alone is the summary token, or nothing reads it."""
    return config.prefix_names if any(name != "class token" for name in config.prefix_names) else ()


def words_before(before: Sequence[str]) -> str:
    """What stands before the patches, such as "the class token and 4 registers", from :func:`tokens_before`."""
    registers = sum(name != "class token" for name in before)
    said = ["the class token"] if registers == 0 or registers < len(before) else []
    said += [f"{registers} register{'s' if registers > 1 else ''}"] if registers else []
    return " and ".join(said)


def short_before(before: Sequence[str]) -> str:
    """The same for the corner of a tile."""
    return "cls" if not before else "cls+reg" if "class token" in before else "reg"


def scale_controls() -> None:
    """The controls of a grid's colours; they want a row."""
    st.segmented_control(
        "Colour scale", SCALES, default=SCALES[0], required=True, key="scale", bind="query-params", wrap=False
    )
    st.slider("Opacity", 0, 100, 85, 5, format="%d%%", key="opacity", bind="query-params", width=180)


def forget_browsers() -> None:
    """Let the next grids bring their maps: after a change of page the browser has none, whatever it last told."""
    for state in st.session_state.get(_BROWSERS, {}).values():
        state["version"] = None


def _take_pick(key: str, picks: tuple[str, str, str], frames: list[int]) -> None:
    """An event of a grid: a choice, and the version of the maps that the browser holds (None asks for them)."""
    pick = st.session_state[key].pick
    st.session_state[_BROWSERS][key] = {"version": pick.get("version"), "seq": pick.get("seq", 0)}
    for name, target in zip(("token", "row", "column"), picks, strict=True):
        if isinstance(pick.get(name), int):
            st.session_state[target] = pick[name]
    if frames and isinstance(pick.get("frame"), int):
        st.session_state["epoch"] = frames[min(max(pick["frame"], 0), len(frames) - 1)]
