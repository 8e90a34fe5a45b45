"""A small heat map with its numbers at hand, drawn in the browser: twelve on a page cost no more than one figure."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import streamlit as st

from vit.pictures.colours import SEQUENTIAL, SIGNED

ROWS_MAX = 300
"""Of a matrix with more rows only the marked one is drawn: the others would be thinner than a pixel."""

_FOLDER = Path(__file__).parent / "heat_map"
_component = st.components.v2.component(
    "heat_map", css=(_FOLDER / "style.css").read_text(), js=(_FOLDER / "index.js").read_text()
)


def heat_map(
    values: np.ndarray,
    *,
    key: str,
    label: str,
    row_names: Sequence[str],
    column_names: Sequence[str],
    mark: int | None = None,
    share: bool = False,
) -> None:
    """Draw ``values (rows columns)``; hovering, or the arrow keys, tell a cell's names and its number.

    Colours end at the 99th percentile, for one number far from the others would leave the rest pale.

    Args:
        label: what it is, for those who do not see it.
        mark: the row that is outlined, and drawn once more below.
        share: the numbers are shares from 0 up, and not signed.
    """
    rest = f"strip: {row_names[mark]}" if mark is not None else ""
    if len(values) > ROWS_MAX:
        one = mark or 0
        values, row_names, mark = values[one : one + 1], [row_names[one]], None
        rest = f"only {row_names[0]} is drawn"
    _component(
        key=key,
        data={
            "values": pa.table({"value": np.ascontiguousarray(values, dtype=np.float32).ravel()}),
            "rows": values.shape[0],
            "columns": values.shape[1],
            "rowNames": list(row_names),
            "columnNames": list(column_names),
            "mark": mark,
            "share": share,
            "colours": list(SEQUENTIAL if share else SIGNED),
            "label": label,
            "rest": rest,
        },
    )
