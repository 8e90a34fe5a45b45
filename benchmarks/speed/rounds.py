"""Sides of a comparison, timed in turns within one process, so that whatever else the machine does slows all alike."""

import gc
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

TURN = 0.3
"""Seconds that a turn takes about, where a step takes less."""
WARM_UP = 8
"""Steps before the clock starts: libraries are imported, kernels chosen, a graph is captured. Of long steps two do."""
LEAST = 3
"""Rounds that are taken however long they are."""

Steps = Callable[[int], None]
"""Takes so many steps, and waits until the device has done them."""


class Quartiles(NamedTuple):
    """A median, and the quartiles below and above it."""

    median: float
    low: float
    high: float


def quartiles(values: Sequence[float]) -> Quartiles:
    """Of measured values."""
    return Quartiles(*np.percentile(values, [50, 25, 75]).tolist())


def spread(values: dict[str, float], form: str) -> str:
    """Quartiles, as ``_asdict`` has them, in words; ``form`` is a number's format."""
    return f"{values['median']:{form}} ({values['low']:{form}} to {values['high']:{form}})"


def ratios(theirs: Sequence[float], ours: Sequence[float]) -> Quartiles:
    """How many times as long theirs took, of the rounds' own ratios."""
    return quartiles([a / b for a, b in zip(theirs, ours, strict=True)])


def in_turns(sides: dict[str, Steps], seconds: float) -> dict[str, list[float]]:
    """Seconds a step of each side, a value a round; rounds are taken for about so many seconds, and at least three.

    A side takes as many steps a turn as fill :data:`TURN`. The order is another one each round.
    """
    counts = {name: max(1, round(TURN / _warm(steps))) for name, steps in sides.items()}
    return rounds({name: _turn(steps, counts[name]) for name, steps in sides.items()}, seconds)


def rounds(turns: dict[str, Callable[[], float]], seconds: float, *, least: int = LEAST) -> dict[str, list[float]]:
    """What each side's turn returned, a value a round."""
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
    """Take steps that do not count; the seconds of the last one."""
    steps(1)
    for _ in range(WARM_UP):
        if (took := _timed(steps, 1)) > TURN:
            break
    return took


def _turn(steps: Steps, count: int) -> Callable[[], float]:
    return lambda: _timed(steps, count) / count


def _timed(steps: Steps, count: int) -> float:
    """Seconds of so many steps; rubbish is collected before them, not within."""
    gc.collect()
    gc.disable()
    try:
        begun = time.perf_counter()
        steps(count)
        return time.perf_counter() - begun
    finally:
        gc.enable()
