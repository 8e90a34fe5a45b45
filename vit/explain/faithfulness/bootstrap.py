"""How sure a mean over images is: percentile bootstrap intervals (Efron and Tibshirani 1993)."""

from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
COVERAGE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over images and the interval that it would fall into for other images of this kind."""

    mean: float
    low: float
    high: float


def intervals(values: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0) -> list[Interval]:
    """The mean of each column with its 95 % percentile interval.

    The images are drawn anew, with replacement, ``resamples`` times; each time the means of all columns are of the same
    images. A resample is written as how often each image is in it, so that all means are one matrix product.

    Args:
        values: ``(images columns)``, finite.
        seed: of the resamples; the same one gives the same draws for as many images.
    """
    count = len(values)
    if count == 0:
        raise ValueError("a mean over no images has no interval.")
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    means = draws @ np.asarray(values, dtype=np.float64) / count  # resamples columns
    tail = 50 * (1 - COVERAGE)
    low, high = np.percentile(means, [tail, 100 - tail], axis=0)
    middle = np.asarray(np.mean(values, axis=0, dtype=np.float64))
    return [Interval(*map(float, numbers)) for numbers in zip(middle, low, high, strict=True)]
