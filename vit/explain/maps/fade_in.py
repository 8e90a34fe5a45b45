"""Integrate a function along the path from a blank image to an image, with nodes where the score changes.

Along the path ``a * image``, a network whose first layers normalise contrast changes its answer while ``a`` is still
tiny: between 1e-5 and 1e-3 in trained networks with a convolutional stem, near 1e-20 in untrained ones. Evenly spaced
nodes miss that part. Here the path is stretched logarithmically, and Simpson's rule is refined where it disagrees with
the known change of the score. (The rule of McKeeman 1962, with another estimate of the error.)
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

SCAN = tuple(10.0**power for power in range(-24, 0, 2))
"""Fractions of the path at which the score is computed first, to find where it begins to change."""

UNCHANGED = 1e-3
"""The score counts as unchanged if it differs from that of the blank image by at most this part of its range."""

TOLERANCE = 0.05
"""Refinement ends when the estimated error, which is rather too large, is at most this part of the scores' range."""

FIRST_PANELS, PANELS_AT_ONCE = 8, 4
NODES_MIN = 2 * FIRST_PANELS + 1


class Panel(NamedTuple):
    """An interval of Simpson's rule, by its three positions on the stretched path."""

    left: float
    middle: float
    right: float

    def halves(self) -> tuple["Panel", "Panel"]:
        """Return the two halves of the panel; they need one new node each."""
        return (
            Panel(self.left, (self.left + self.middle) / 2, self.middle),
            Panel(self.middle, (self.middle + self.right) / 2, self.right),
        )


class PathIntegral:
    """The integral over ``a`` from 0 to 1 of an array, whose sum is the derivative of a score, for one image.

    The stretched path is ``a = start * ((1 + 1 / start) ** position - 1)`` for positions from 0 to 1.

    Args:
        start: the score begins to change near this ``a``.
        nodes: maximum number of nodes, at least :data:`NODES_MIN`.
    """

    def __init__(self, start: float, nodes: int) -> None:
        self.start, self.nodes, self.stretch = start, nodes, float(np.log1p(1 / start))
        self.scores: dict[float, float] = {}
        self.values: dict[float, np.ndarray] = {}
        edges = [index / (NODES_MIN - 1) for index in range(NODES_MIN)]
        self.panels = [Panel(*edges[index : index + 3]) for index in range(0, NODES_MIN - 1, 2)]

    def fraction(self, position: float) -> float:
        """Return ``a`` at a position of the stretched path."""
        return self.start * float(np.expm1(position * self.stretch))

    def add(self, position: float, score: float, array: np.ndarray) -> None:
        """Add the score and the array at a node."""
        self.scores[position] = score
        self.values[position] = array * self.stretch * (self.fraction(position) + self.start)

    def refine(self) -> list[float]:
        """Return the positions of the nodes that are needed next; none if the integral is finished."""
        if not self.scores:
            return sorted({position for panel in self.panels for position in panel})
        errors = [self._error(panel) for panel in self.panels]
        every = list(self.scores.values())
        split = min(PANELS_AT_ONCE, (self.nodes - len(self.scores)) // 2)
        if split == 0 or sum(errors) <= TOLERANCE * (max(every) - min(every)):
            return []
        worst = set(np.argsort(errors)[-split:].tolist())
        halves = [half for index in worst for half in self.panels[index].halves()]
        self.panels = [panel for index, panel in enumerate(self.panels) if index not in worst] + halves
        return [half.middle for half in halves]

    def integral(self) -> np.ndarray:
        """Return the integral with the nodes so far."""
        return np.sum([self._simpson(panel) for panel in self.panels], axis=0)

    def _simpson(self, panel: Panel) -> np.ndarray:
        left, middle, right = (self.values[position] for position in panel)
        return (panel.right - panel.left) / 6 * (left + 4 * middle + right)

    def _error(self, panel: Panel) -> float:
        """Return how far the integral of the parabola over each half of the panel is from the score's change there."""
        left, middle, right = (float(self.values[position].sum()) for position in panel)
        before, between, after = (self.scores[position] for position in panel)
        width = panel.right - panel.left
        first = width / 24 * (5 * left + 8 * middle - right) - (between - before)
        second = width / 24 * (5 * right + 8 * middle - left) - (after - between)
        return abs(first) + abs(second)


def find_starts(scores: np.ndarray) -> np.ndarray:
    """Return where the score of each image begins to change: ``(b)``, values of :data:`SCAN`.

    Args:
        scores: ``(b, 2 + len(SCAN))``: at 0, at each fraction of :data:`SCAN`, and at 1.
    """
    away = np.abs(scores - scores[:, :1])
    moved = away[:, 1:-1] > UNCHANGED * away.max(axis=1, keepdims=True)
    first = np.where(moved.any(axis=1), moved.argmax(axis=1), len(SCAN))
    return np.array(SCAN)[np.maximum(first - 1, 0)]


Evaluate = Callable[[Sequence[tuple[int, float]]], tuple[np.ndarray, np.ndarray]]
"""Called with pairs (image, fraction of the path); returns the scores ``(k)`` and the arrays ``(k rows columns)``."""


def integrate(starts: np.ndarray, nodes: int, evaluate: Evaluate) -> np.ndarray:
    """Return the integral of each image's arrays along its path: ``(b rows columns)``.

    Args:
        starts: ``(b)``, from :func:`find_starts`.
        nodes: maximum number of nodes for each image, at least :data:`NODES_MIN`.
        evaluate: see :data:`Evaluate`.
    """
    paths = [PathIntegral(float(start), nodes) for start in starts]
    while wanted := [(index, position) for index, path in enumerate(paths) for position in path.refine()]:
        scores, arrays = evaluate([(index, paths[index].fraction(position)) for index, position in wanted])
        for (index, position), score, array in zip(wanted, scores, arrays, strict=True):
            paths[index].add(position, float(score), array)
    return np.stack([path.integral() for path in paths])
