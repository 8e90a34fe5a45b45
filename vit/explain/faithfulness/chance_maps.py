"""Control maps that do not depend on the image; a useful explanation must score better than these.

A further control is each method itself on untrained weights (Adebayo et al. 2018), which
:mod:`vit.explain.faithfulness.measure` computes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

WIDTH = 1 / 4
"""Standard deviation of the centred Gaussian, as a share of the image's side."""


def noise(grid: tuple[int, int], seed: int, image: int) -> np.ndarray:
    """Return random numbers in [0, 1), ``(rows columns)``, which depend only on the seed and the image's number."""
    return np.random.default_rng([seed, image]).random(grid)


def uniform(grid: tuple[int, int], seed: int, image: int) -> np.ndarray:
    """Return the same value for every patch: ``(rows columns)`` of 1."""
    return np.ones(grid)


def gaussian(grid: tuple[int, int], seed: int, image: int) -> np.ndarray:
    """Return a centred Gaussian, ``(rows columns)``: in photographs the object is usually near the centre."""
    # This form is exactly symmetric in floating point.
    down, across = ((2 * np.arange(side) + 1 - side) / (2 * side * WIDTH) for side in grid)
    return np.exp(-(down[:, None] ** 2 + across**2) / 2)


@dataclass(frozen=True)
class ChanceMap:
    """A control map that does not depend on the image.

    Attributes:
        function: ``(grid, seed, image's number) -> (rows columns)``.
        title: the name on screen.
        phrase: the name within a sentence.
    """

    function: Callable[[tuple[int, int], int, int], np.ndarray]
    title: str
    phrase: str


CHANCE_MAPS: dict[str, ChanceMap] = {
    "uniform": ChanceMap(uniform, "Uniform map", "the uniform map"),
    "gaussian": ChanceMap(gaussian, "Centred Gaussian", "the centred Gaussian"),
    "random": ChanceMap(noise, "Random order", "a random order"),
}
"""The control maps that every method is compared with, by name."""


def order(relevance: np.ndarray, seed: int, image: int) -> np.ndarray:
    """Return the patch numbers by descending relevance: ``(rows columns) -> (patches)``.

    Ties are in random order; otherwise they would always start at the top left. The random order is that of
    :func:`noise`, so the uniform map, which has only ties, gets the same curves as the random order.
    """
    return np.lexsort((-noise(relevance.shape, seed, image).ravel(), -relevance.ravel()))
