"""Intervals of accuracies and of their differences, from one training or from several seeds."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from vit.support.intervals import LEVEL, wilson_interval

Order = Literal["better", "worse", "similar"]

SEEDS_MIN = 3
"""Seeds on each side from which on their own variance is used, although that of other trainings is known."""


class SeedNoise(NamedTuple):
    """How much the accuracy of trainings varies with the seed, estimated from trainings with several seeds.

    Attributes:
        variance: variance over the seeds, pooled over the settings.
        freedom: degrees of freedom of the estimate.
    """

    variance: float
    freedom: int


@dataclass(frozen=True)
class Difference:
    """The difference of two accuracies with its 95 % interval.

    Attributes:
        value: the first accuracy minus the second.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    value: float
    low: float
    high: float

    @property
    def order(self) -> Order:
        """Whether the first is better or worse; ``similar`` if the interval contains 0."""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "similar"


def mean_interval(accuracies: Sequence[float], images: int) -> tuple[float, float]:
    """Return the 95 % interval of the accuracy of trainings with these settings, on images of this kind.

    One training has Wilson's interval (Wilson 1927): another seed may lie outside it. Several seeds have Student's
    interval of the mean, whose variance is that over the seeds plus the binomial one of the images.

    Args:
        accuracies: one per seed.
        images: number of validation images, the same for all.
    """
    if len(accuracies) == 1:
        return wilson_interval(round(accuracies[0] * images), images)
    mean = statistics.fmean(accuracies)
    reach = _reach([_noise(accuracies, images)])
    return max(0.0, mean - reach), min(1.0, mean + reach)


def seed_noise(groups: Sequence[Sequence[float]]) -> SeedNoise | None:
    """Return the pooled variance over the seeds.

    Args:
        groups: the accuracies of each setting, one per seed.

    Returns:
        The noise; None if no setting has several seeds.
    """
    freedom = sum(len(group) - 1 for group in groups)
    if freedom <= 0:
        return None
    squares = sum(statistics.variance(group) * (len(group) - 1) for group in groups if len(group) > 1)
    return SeedNoise(squares / freedom, freedom)


def difference(one: Sequence[float], other: Sequence[float], images: int, noise: SeedNoise | None = None) -> Difference:
    """Return the difference of two accuracies with a 95 % interval.

    With several seeds on both sides, it is Welch's interval (1947) of the difference of means, to whose variance the
    binomial one of the images is added. With fewer seeds, the variance over the seeds is that of ``noise``, as in
    Student's interval with a pooled variance. Without it, a single training has no variance, and the interval is the
    hybrid score interval of Newcombe (1998, Statistics in Medicine 17:873, method 10), made of two Wilson intervals: it
    covers the choice of the images, but not of the seed.

    Both treat the images of the two sides as independent. They are the same images, on which networks mostly fail
    together, so the intervals are rather too wide: a difference that they find is there.

    Args:
        one: accuracies of the first settings, one per seed.
        other: accuracies of the second settings.
        images: number of validation images, the same for all.
        noise: how much the seed changes such accuracies, for fewer than :data:`SEEDS_MIN` seeds.
    """
    mine, theirs = statistics.fmean(one), statistics.fmean(other)
    value = mine - theirs
    seeds = min(len(one), len(other))
    if noise is not None and seeds < SEEDS_MIN:
        of_images = sum(mean * (1 - mean) / images for mean in (mine, theirs))
        reach = _reach([(noise.variance * (1 / len(one) + 1 / len(other)), of_images, noise.freedom)])
        return Difference(value, max(-1.0, value - reach), min(1.0, value + reach))
    if seeds > 1:
        reach = _reach([_noise(one, images), _noise(other, images)])
        return Difference(value, max(-1.0, value - reach), min(1.0, value + reach))
    (low, high), (their_low, their_high) = (wilson_interval(round(mean * images), images) for mean in (mine, theirs))
    return Difference(
        value,
        value - math.hypot(mine - low, their_high - theirs),
        value + math.hypot(high - mine, theirs - their_low),
    )


def _noise(accuracies: Sequence[float], images: int) -> tuple[float, float, int]:
    """Return the variance of a mean over the seeds, that over the images, and the degrees of freedom of the first."""
    mean, seeds = statistics.fmean(accuracies), len(accuracies)
    return statistics.variance(accuracies) / seeds, mean * (1 - mean) / images, seeds - 1


def _reach(noises: Sequence[tuple[float, float, int]]) -> float:
    """Return half the width of the interval, with the degrees of freedom of Welch and Satterthwaite."""
    from scipy.stats import t  # it takes half a second, which pages without intervals need not wait for

    total = sum(seeds + images for seeds, images, _ in noises)
    unsure = sum(seeds**2 / freedom for seeds, _, freedom in noises)
    freedom = max(1.0, total**2 / unsure) if unsure else math.inf
    return float(t.ppf(0.5 + LEVEL / 200, freedom)) * math.sqrt(total)
