"""A small heat map that the browser draws; hovering or the arrow keys show its numbers."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from pages.ui.widgets.component import register_widget
from vit.pictures.colours import SEQUENTIAL, SIGNED

ROWS_MAX = 300
"""With more rows, only the marked row is drawn: the others would be thinner than a pixel."""

_component = register_widget("heat_map")


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
    """Draw ``values (rows columns)``; hovering, or the arrow keys, show a cell's names and its number.

    The colours end at the 99th percentile, since one outlier would leave the other cells pale.

    Args:
        values: the numbers.
        key: the key of the widget.
        label: what the heat map shows, for screen readers.
        row_names: the names of the rows.
        column_names: the names of the columns.
        mark: the row that is outlined, and drawn again below.
        share: whether the numbers are shares from 0 up; otherwise they are signed.
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
