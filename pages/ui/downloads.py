"""What a figure shows, to take along: a picture, and its numbers."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import streamlit as st
from PIL import Image

from vit.support.untrusted_text import is_formula

PLOTLY = {
    "displaylogo": False,
    "modeBarButtons": [["toImage"]],
    "toImageButtonOptions": {"format": "png", "scale": 2},
}
"""Plotly's bar with one button, the camera that saves the figure as PNG."""


def plotly_config(name: str) -> dict:
    """:data:`PLOTLY` with the name of the file that the camera saves."""
    return PLOTLY | {"toImageButtonOptions": PLOTLY["toImageButtonOptions"] | {"filename": name}}


def downloads(
    name: str,
    *,
    key: str,
    picture: Callable[[], Image.Image] | None = None,
    arrays: Callable[[], Mapping[str, np.ndarray]] | None = None,
    table: Callable[[], Iterable[Mapping]] | None = None,
) -> None:
    """A popover with a button for each form that is offered; a file is made when its button is clicked.

    Args:
        name: of the files, without their endings.
        picture: saved as PNG.
        arrays: saved as NPZ.
        table: rows with the same keys, saved as CSV.
    """
    makers = {
        "PNG": (picture, lambda: _png(picture()), "image/png"),
        "NPZ": (arrays, lambda: _npz(arrays()), "application/octet-stream"),
        "CSV": (table, lambda: _csv(table()), "text/csv"),
    }
    with st.popover("Download", icon=":material/download:", key=f"{key}_download"):
        for kind, (source, make, mime) in makers.items():
            if source is not None:
                st.download_button(
                    f"{'Picture' if kind == 'PNG' else 'Numbers'} as {kind}",
                    make,
                    file_name=f"{name}.{kind.lower()}",
                    mime=mime,
                    key=f"{key}_{kind.lower()}",
                    on_click="ignore",
                    width="stretch",
                )


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _csv(rows: Iterable[Mapping]) -> str:
    rows = list(rows)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, rows[0].keys() if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _tame(value) for key, value in row.items()} for row in rows)
    return buffer.getvalue()


def _tame(value: object) -> object:
    """Text such as a class's name that a spreadsheet would take for a formula, made plain by an apostrophe."""
    return f"'{value}" if isinstance(value, str) and is_formula(value) else value
