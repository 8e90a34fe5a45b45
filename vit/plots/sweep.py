"""Heat map of a sweep: validation accuracy by heads and depth, and the state of each cell."""

from collections.abc import Sequence
from typing import Any, Protocol

import plotly.graph_objects as go

from vit.pictures.colours import CLEAR, PALETTE, ink_on_scale, with_opacity
from vit.plots.base import SCALE, figure

STATES = {
    "running": ("Training", PALETTE["blue"], "solid"),
    "queued": ("Waiting", PALETTE["orange"], "dash"),
    "failed": ("Failed", PALETTE["vermilion"], "solid"),
    "stopped": ("Stopped", PALETTE["grey"], "solid"),
    "open": ("Open: a run is missing", PALETTE["grey"], "dot"),
}
"""Frames of unfinished cells: name, colour and dash by state."""

_WORDS = {"running": "training", "queued": "waiting", "finished": "finished", "failed": "failed", "stopped": "stopped"}
_EMPTY = with_opacity(PALETTE["grey"], 0.16)
_CELL_HEIGHT = 64
_DETAILED_COLUMNS_MAX = 5
"""With more columns, a cell shows only its mean."""


class Point(Protocol):
    """The place of a run in the grid."""

    @property
    def seed(self) -> int: ...


class Member(Protocol):
    """One run of a cell."""

    @property
    def point(self) -> Point: ...

    @property
    def state(self) -> str: ...

    @property
    def accuracy(self) -> float | None: ...

    @property
    def epoch(self) -> int: ...

    @property
    def epochs(self) -> int: ...

    @property
    def share(self) -> float: ...


class Cell(Protocol):
    """One combination of heads and depth: its runs, its state, its mean accuracy and the accuracies of its seeds."""

    @property
    def heads(self) -> int: ...

    @property
    def depth(self) -> int: ...

    @property
    def members(self) -> Sequence[Member]: ...

    @property
    def seeds(self) -> int: ...

    @property
    def state(self) -> str: ...

    @property
    def final(self) -> bool: ...

    @property
    def accuracy(self) -> float | None: ...

    @property
    def accuracies(self) -> Sequence[float]: ...


class Sweep(Protocol):
    """The data of :func:`sweep_heatmap`."""

    @property
    def heads(self) -> Sequence[int]: ...

    @property
    def depths(self) -> Sequence[int]: ...

    @property
    def cells(self) -> Sequence[Cell]: ...


def sweep_heatmap(sweep: Sweep) -> go.Figure:
    """Draw the mean accuracy of each cell as colour and text, heads across and depth up; frames mark unfinished cells.

    The last trace has one invisible point per cell, in the order of ``sweep.cells``, for hovering and clicking.
    """
    columns = {heads: place for place, heads in enumerate(sweep.heads)}
    rows = {depth: place for place, depth in enumerate(sweep.depths)}
    places = [(columns[cell.heads], rows[cell.depth]) for cell in sweep.cells]
    scores = [cell.accuracy for cell in sweep.cells if cell.accuracy is not None]
    low, high = _range(scores)
    z: list[list[float | None]] = [[None] * len(columns) for _ in rows]
    for cell, (column, row) in zip(sweep.cells, places, strict=True):
        z[row][column] = cell.accuracy
    heat = {
        "type": "heatmap",
        "z": z,
        "zmin": low,
        "zmax": high,
        "colorscale": SCALE,
        "xgap": 4,
        "ygap": 4,
        "hoverinfo": "skip",
        "showscale": bool(scores),
        "colorbar": {
            "title": {"text": "Validation accuracy", "side": "right"},
            "thickness": 12,
            "outlinewidth": 0,
            "tickformat": ".0%" if high - low > 0.05 else ".1%",
        },
    }
    targets = {
        "type": "scatter",
        "mode": "markers",
        "x": [column for column, _ in places],
        "y": [row for _, row in places],
        "marker": {"symbol": "square", "size": 30, "opacity": 0},
        "selected": {"marker": {"opacity": 0}},
        "unselected": {"marker": {"opacity": 0}},
        "customdata": [_hover_text(cell) for cell in sweep.cells],
        "hovertemplate": "%{customdata}<extra></extra>",
        "showlegend": False,
    }
    axis = {"showgrid": False, "zeroline": False, "fixedrange": True, "tickmode": "array"}
    return figure(
        [heat, *_legend({cell.state for cell in sweep.cells}), targets],
        height=max(260, _CELL_HEIGHT * len(rows) + 110),
        xaxis=axis | _ticks(columns) | {"title": {"text": "Heads"}},
        yaxis=axis | _ticks(rows) | {"title": {"text": "Depth (blocks)"}, "automargin": True},
        shapes=[_frame(cell, place) for cell, place in zip(sweep.cells, places, strict=True) if cell.state in STATES],
        annotations=[
            _text(cell, place, low, high, narrow=len(columns) > _DETAILED_COLUMNS_MAX)
            for cell, place in zip(sweep.cells, places, strict=True)
        ],
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "itemclick": False},
        hovermode="closest",
        hoverdistance=-1,  # hover anywhere in a cell selects it
        clickmode="event+select",
    )


def _range(scores: Sequence[float]) -> tuple[float, float]:
    """Return the colour range: from the worst to the best cell, widened if they are nearly equal."""
    if not scores:
        return 0.0, 1.0
    low, high = min(scores), max(scores)
    return (low, high) if high - low >= 0.01 else (max(0.0, low - 0.005), min(1.0, high + 0.005))


def _ticks(places: dict[int, int]) -> dict[str, Any]:
    return {
        "tickvals": list(places.values()),
        "ticktext": [str(value) for value in places],
        "range": [-0.5, len(places) - 0.5],
    }


def _legend(states: set[str]) -> list[dict[str, Any]]:
    """Return a legend entry for each kind of frame in the figure."""
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "x": [None],
            "y": [None],
            "line": {"color": colour, "dash": dash, "width": 3},
            "hoverinfo": "skip",
        }
        for state, (name, colour, dash) in STATES.items()
        if state in states
    ]


def _frame(cell: Cell, place: tuple[int, int]) -> dict[str, Any]:
    _, colour, dash = STATES[cell.state]
    column, row = place
    return {
        "type": "rect",
        "x0": column - 0.46,
        "x1": column + 0.46,
        "y0": row - 0.45,
        "y1": row + 0.45,
        "line": {"color": colour, "dash": dash, "width": 3},
        "fillcolor": _EMPTY if cell.accuracy is None else CLEAR,
        "layer": "below" if cell.accuracy is None else "above",
    }


def _text(cell: Cell, place: tuple[int, int], low: float, high: float, *, narrow: bool) -> dict[str, Any]:
    """Return the annotation of a cell: mean, range over seeds, number of seeds, and state, in short lines."""
    found = {"x": place[0], "y": place[1], "text": "<br>".join(_lines(cell, narrow)), "showarrow": False}
    if cell.accuracy is not None:
        found["font"] = {"color": ink_on_scale((cell.accuracy - low) / (high - low))}
    return found


def _lines(cell: Cell, narrow: bool) -> list[str]:
    state = [] if cell.state == "finished" and cell.accuracy is not None else [_state(cell)]
    if cell.accuracy is None:
        return state
    if narrow:
        return [f"{cell.accuracy:.0%}"]
    lines = [f"<b>{cell.accuracy:.1%}</b>{'' if cell.final else ' so far'}"]
    if len(cell.accuracies) > 1:
        lines.append(f"{100 * min(cell.accuracies):.1f} to {100 * max(cell.accuracies):.1f}")
    count = [f"n = {len(cell.accuracies)}"] if cell.seeds > 1 else []
    return [*lines, *([", ".join(count + state)] if count or state else [])]


def _state(cell: Cell) -> str:
    if cell.state == "running" and cell.seeds == 1:
        return f"training, {cell.members[0].share:.0%}"
    return _WORDS.get(cell.state, cell.state)


def _hover_text(cell: Cell) -> str:
    """Return the hover text of a cell: accuracy, and the state of each run."""
    lines = [f"<b>{cell.heads} head{'s' if cell.heads > 1 else ''}, depth {cell.depth}</b>"]
    if cell.accuracy is not None:
        several = len(cell.accuracies)
        spread = f", from {min(cell.accuracies):.1%} to {max(cell.accuracies):.1%}" if several > 1 else ""
        lines.append(f"accuracy{'' if cell.final else ' so far'}: {cell.accuracy:.1%}{spread}")
    for member in cell.members:
        score = "" if member.accuracy is None else f", {member.accuracy:.1%}"
        at = f", epoch {min(member.epoch + 1, member.epochs)} of {member.epochs}" if member.state == "running" else ""
        lines.append(f"seed {member.point.seed}: {_WORDS[member.state]}{at}{score}")
    missing = cell.seeds - len(cell.members)
    if missing > 0:
        lines.append(f"open: {missing} run{'s' if missing > 1 else ''}")
    return "<br>".join(lines)
