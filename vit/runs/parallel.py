"""Parallel coordinates: each run as a line over its settings, which ends at its accuracy. Imports no torch."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from vit.runs.comparison import ABSENT, settings, shown
from vit.runs.groups import Result, order, varied_settings

ACCURACY = "Accuracy"
LOG_RATIO = 8.0
"""A numeric axis whose largest value is at least this multiple of the smallest one is logarithmic."""

TICKS_MAX = 7
"""With more different values, an axis of numbers names only some of them."""


class Tick(NamedTuple):
    """A named place on an axis: ``at`` from 0 (the start) to 1 (the end), and its ``text``."""

    at: float
    text: str


class Axis(NamedTuple):
    """One axis.

    Attributes:
        title: the setting, or :data:`ACCURACY`.
        ticks: the named places.
        places: the place of each run, 0 to 1.
    """

    title: str
    ticks: tuple[Tick, ...]
    places: tuple[float, ...]


def parallel_axes(results: Sequence[Result], names: Sequence[str] | None = None) -> list[Axis]:
    """Return an axis for each setting, and the accuracy as the last one.

    Numbers are placed by size, on a logarithmic axis where they span a wide range. All other values are placed at equal
    distances in the order of :func:`vit.runs.groups.order`; so are numbers that some of the networks do not have.

    Args:
        results: the runs.
        names: titles of settings; None takes all in which the runs differ.
    """
    each = [settings(one.config) for one in results]
    titles = varied_settings([one.config for one in results]) if names is None else names
    axes = [_axis(title, [one.get(title, ABSENT) for one in each]) for title in titles]
    return [*axes, _accuracy([one.accuracy for one in results])]


def _axis(title: str, values: Sequence[Any]) -> Axis:
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return _numbers(title, values)
    texts = {value: ABSENT if value == ABSENT else shown(title, value) for value in values}
    ranked = sorted(texts, key=lambda value: (value != ABSENT, *order(value, texts[value])))
    places = {value: _share(place, len(ranked)) for place, value in enumerate(ranked)}
    ticks = tuple(Tick(places[value], texts[value]) for value in ranked)
    return Axis(title, ticks, tuple(places[value] for value in values))


def _numbers(title: str, values: Sequence[float]) -> Axis:
    ranked = sorted(set(values))
    low, high = ranked[0], ranked[-1]
    scale = math.log if low > 0 and high / low >= LOG_RATIO else float
    start, length = scale(low), scale(high) - scale(low)
    at = {value: (scale(value) - start) / length if length else 0.5 for value in ranked}
    step = max(1, math.ceil((len(ranked) - 1) / (TICKS_MAX - 1)))
    named = sorted({*ranked[::step], high})
    return Axis(title, tuple(Tick(at[value], shown(title, value)) for value in named), tuple(at[it] for it in values))


def _accuracy(values: Sequence[float]) -> Axis:
    low, high = min(values), max(values)
    if high - low < 0.001:  # equal accuracies are in the middle
        low, high = low - 0.005, high + 0.005
    form = ".0%" if high - low > 0.05 else ".1%"
    steps = 4
    ticks = tuple(Tick(step / steps, format(low + step / steps * (high - low), form)) for step in range(steps + 1))
    return Axis(ACCURACY, ticks, tuple((value - low) / (high - low) for value in values))


def _share(place: int, count: int) -> float:
    return place / (count - 1) if count > 1 else 0.5
