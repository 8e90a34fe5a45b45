"""Download a figure as a picture, and its numbers."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from vit.support.untrusted_text import is_formula

SAVED = {"format": "png", "scale": 2}
PLOTLY: dict[str, Any] = {
    "displaylogo": False,
    "modeBarButtons": [["toImage"]],
    "toImageButtonOptions": SAVED,
}
"""Plotly's toolbar with one button, which saves the figure as PNG."""


def plotly_config(name: str) -> dict[str, Any]:
    return PLOTLY | {"toImageButtonOptions": SAVED | {"filename": name}}


def downloads(
    name: str,
    *,
    key: str,
    picture: Callable[[], Image.Image] | None = None,
    arrays: Callable[[], Mapping[str, np.ndarray]] | None = None,
    table: Callable[[], Iterable[Mapping[str, object]]] | None = None,
) -> None:
    """Show a popover with a button for each file that is offered; a file is made when its button is clicked.

    Args:
        name: the file name without extension.
        key: the prefix of the widgets' keys.
        picture: returns the picture to save as PNG.
        arrays: returns the arrays to save as NPZ.
        table: returns rows with the same keys to save as CSV.
    """
    with st.popover("Download", icon=":material/download:", key=f"{key}_download"):
        if picture is not None:
            _button("Picture as PNG", lambda: _png(picture()), f"{name}.png", "image/png", f"{key}_png")
        if arrays is not None:
            _button("Numbers as NPZ", lambda: _npz(arrays()), f"{name}.npz", "application/octet-stream", f"{key}_npz")
        if table is not None:
            _button("Numbers as CSV", lambda: _csv(table()).encode(), f"{name}.csv", "text/csv", f"{key}_csv")


def _button(label: str, make: Callable[[], bytes], file_name: str, mime: str, key: str) -> None:
    st.download_button(label, make, file_name=file_name, mime=mime, key=key, on_click="ignore", width="stretch")


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    named: dict[str, Any] = dict(arrays)
    np.savez_compressed(buffer, **named)
    return buffer.getvalue()


def _csv(rows: Iterable[Mapping[str, object]]) -> str:
    rows = list(rows)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, rows[0].keys() if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _without_formula(value) for key, value in row.items()} for row in rows)
    return buffer.getvalue()


def _without_formula(value: object) -> object:
    """Put an apostrophe before text, such as a class's name, that a spreadsheet would run as a formula."""
    return f"'{value}" if isinstance(value, str) and is_formula(value) else value
