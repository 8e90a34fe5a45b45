"""Maps that know nothing of the image: what any explanation has to beat before it says anything.

The fourth of the kind is a method itself on weights that were never trained (Adebayo et al. 2018), which
:mod:`vit.explain.faithfulness.measure` makes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

WIDTH = 1 / 4
"""Deviation of the centred Gaussian, in sides of the image."""


def noise(grid: tuple[int, int], seed: int, image: int) -> np.ndarray:
    """Uniform numbers in [0, 1), ``(rows columns)``: a function of the seed and the image's number."""
    return np.random.default_rng([seed, image]).random(grid)


def uniform(grid: tuple[int, int], seed: int, image: int) -> np.ndarray:
    """Every patch alike: ``(rows columns)`` of 1."""
    return np.ones(grid)


def gaussian(grid: tuple[int, int], seed: int, image: int) -> np.ndarray:
    """A bump in the middle, ``(rows columns)``: photographers put what matters there."""
    down, across = ((2 * np.arange(side) + 1 - side) / (2 * side * WIDTH) for side in grid)  # mirrored to the last bit
    return np.exp(-(down[:, None] ** 2 + across**2) / 2)


@dataclass(frozen=True)
class ChanceMap:
    """A map without the image.

    Attributes:
        function: ``(grid, seed, image's number) -> (rows columns)``.
        title: what a person calls it.
        phrase: the same within a sentence.
    """

    function: Callable[[tuple[int, int], int, int], np.ndarray]
    title: str
    phrase: str


CHANCE_MAPS: dict[str, ChanceMap] = {
    "uniform": ChanceMap(uniform, "Uniform map", "the uniform map"),
    "gaussian": ChanceMap(gaussian, "Centred Gaussian", "the centred Gaussian"),
    "random": ChanceMap(noise, "Random order", "a random order"),
}
"""The chance rows that every method is held against, by name."""


def order(relevance: np.ndarray, seed: int, image: int) -> np.ndarray:
    """Patches by falling relevance: ``(rows columns) -> (patches)`` numbers, row by row.

    Ties are in random order, for by position they would begin at the top left. The order is that of :func:`noise`, so
    that a map of nothing but ties, the uniform one, has the curves of the random order.
    """
    return np.lexsort((-noise(relevance.shape, seed, image).ravel(), -relevance.ravel()))
