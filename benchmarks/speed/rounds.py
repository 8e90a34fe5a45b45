"""Time the sides of a comparison in turns within one process, so that other load affects all sides equally."""

import gc
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

TURN = 0.3
"""Approximate seconds of a turn if a step is shorter."""
WARM_UP = 8
"""Steps before the clock starts: imports, choice of kernels, capture of a graph. For long steps two are enough."""
LEAST = 3
"""Lowest number of rounds, however long they take."""

Steps = Callable[[int], None]
"""Takes a number of steps, and waits until the device has finished them."""


class Quartiles(NamedTuple):
    """A median, and the quartiles below and above it."""

    median: float
    low: float
    high: float


def quartiles(values: Sequence[float]) -> Quartiles:
    """Return the quartiles of measured values."""
    return Quartiles(*np.percentile(values, [50, 25, 75]).tolist())


def spread(values: dict[str, float], form: str) -> str:
    """Return quartiles (from ``_asdict``) as text; ``form`` is the number format."""
    return f"{values['median']:{form}} ({values['low']:{form}} to {values['high']:{form}})"


def ratios(theirs: Sequence[float], ours: Sequence[float]) -> Quartiles:
    """Return quartiles of the ratio theirs / ours over the rounds."""
    return quartiles([a / b for a, b in zip(theirs, ours, strict=True)])


def in_turns(sides: dict[str, Steps], seconds: float) -> dict[str, list[float]]:
    """Return the seconds per step of each side, one value per round, for about ``seconds`` and at least three rounds.

    A side takes as many steps per turn as fit into :data:`TURN`. The order changes with each round.
    """
    counts = {name: max(1, round(TURN / _warm(steps))) for name, steps in sides.items()}
    return rounds({name: _turn(steps, counts[name]) for name, steps in sides.items()}, seconds)


def rounds(turns: dict[str, Callable[[], float]], seconds: float, *, least: int = LEAST) -> dict[str, list[float]]:
    """Return the results of each side's turns, one value per round."""
    found: dict[str, list[float]] = {name: [] for name in turns}
    names, end, longest = list(turns), time.monotonic() + seconds, 0.0
    while len(found[names[0]]) < least or time.monotonic() + longest < end:
        begun, number = time.monotonic(), len(found[names[0]])
        shift = number % len(names)
        order = names[shift:] + names[:shift]
        for name in order if number % 2 else reversed(order):  # no side always follows the same one
            found[name].append(turns[name]())
        longest = max(longest, time.monotonic() - begun)
    return found


def _warm(steps: Steps) -> float:
    """Take warm-up steps, and return the seconds of the last one."""
    steps(1)
    for _ in range(WARM_UP):
        if (took := _timed(steps, 1)) > TURN:
            break
    return took


def _turn(steps: Steps, count: int) -> Callable[[], float]:
    return lambda: _timed(steps, count) / count


def _timed(steps: Steps, count: int) -> float:
    """Return the seconds of ``count`` steps, without garbage collection in between."""
    gc.collect()
    gc.disable()
    try:
        begun = time.perf_counter()
        steps(count)
        return time.perf_counter() - begun
    finally:
        gc.enable()
