"""Figures of causes: votes that add up to a logit."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from vit.pictures.colours import PALETTE, SIGNED
from vit.plots.base import escaped, figure

ROW = 26
"""Height of a bar in pixels."""


def waterfall(
    names: Sequence[str], values: np.ndarray, *, total: str, intervals: np.ndarray | None = None
) -> go.Figure:
    """Draw votes that add up: each bar begins where the one before it ends, and the last bar is their sum.

    Args:
        names: the parts, ``(parts)``.
        values: the votes, ``(parts)``.
        total: the name of the sum.
        intervals: ``(parts 2)``, lower and upper end of each vote, drawn as an error bar at its end.
    """
    values = np.asarray(values, dtype=float)
    ends = np.cumsum(values)
    shown = [*map(escaped, names), escaped(total)]
    starts = [*(ends - values), 0.0]
    lengths = [*values, float(ends[-1])]
    colours = [SIGNED[int(value > 0)] for value in values] + [PALETTE["grey"]]
    bar: dict = {
        "type": "bar",
        "orientation": "h",
        "y": shown,
        "x": lengths,
        "base": starts,
        "marker": {"color": colours},
        "text": [f"{value:+.2f}".replace("-", "−") for value in lengths],
        "textposition": "outside",
        "cliponaxis": False,
        "customdata": [f"{value:+.4f}".replace("-", "−") for value in lengths],
        "hovertemplate": "%{y}: %{customdata}<extra></extra>",
    }
    if intervals is not None:
        low, high = np.asarray(intervals, dtype=float).T
        bar["error_x"] = {
            "type": "data",
            "symmetric": False,
            "array": [*(high - values), 0.0],
            "arrayminus": [*(values - low), 0.0],
            "thickness": 1.5,
            "width": 3,
        }
        bar["textposition"] = "none"
    edges = np.concatenate([[0.0], ends])
    room = 0.14 * (np.ptp(edges) or 1)
    return figure(
        [bar],
        height=50 + ROW * len(shown),
        yaxis={"autorange": "reversed", "automargin": True, "type": "category"},
        xaxis={"range": [edges.min() - room, edges.max() + room], "zeroline": True, "title": {"text": "logit"}},
        margin={"l": 0, "r": 8, "t": 8, "b": 36},
    )
