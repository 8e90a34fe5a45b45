"""Confidence intervals of means over images: the percentile bootstrap (Efron and Tibshirani 1993)."""

from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
COVERAGE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over images with its 95 % confidence interval."""

    mean: float
    low: float
    high: float


def intervals(values: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0) -> list[Interval]:
    """Return the mean of each column with its 95 % percentile interval.

    The images are resampled with replacement, and a resample contains the same images in every column. A resample is
    represented by the count of each image, so that all means are one matrix product.

    Args:
        values: ``(images columns)``, finite.
        resamples: number of resamples.
        seed: seed of the resamples; the same seed gives the same resamples for the same number of images.

    Raises:
        ValueError: there are no images.
    """
    count = len(values)
    if count == 0:
        raise ValueError("an interval needs at least one image.")
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    means = draws @ np.asarray(values, dtype=np.float64) / count  # resamples columns
    tail = 50 * (1 - COVERAGE)
    low, high = np.percentile(means, [tail, 100 - tail], axis=0)
    middle = np.asarray(np.mean(values, axis=0, dtype=np.float64))
    return [Interval(*map(float, numbers)) for numbers in zip(middle, low, high, strict=True)]
