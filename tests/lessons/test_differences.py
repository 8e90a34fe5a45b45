"""Intervals of accuracies and differences: published examples, scipy's intervals, and coverage in a simulation."""

import math
import statistics

import numpy as np
import pytest
from scipy.stats import ttest_ind

from pages.lessons.differences import comparison_words
from vit.lessons import difference, mean_interval, seed_noise
from vit.lessons.differences import Difference
from vit.support.intervals import wilson_interval


def test_two_single_runs_have_newcombes_interval():
    found = difference([0.9], [0.3], 10)  # example (b) of Newcombe (1998), method 10
    assert (round(found.low, 4), round(found.high, 4)) == (0.1705, 0.8090)
    assert difference([0.3], [0.9], 10).high == pytest.approx(-found.low)


def test_without_noise_of_the_images_several_seeds_have_welchs_interval():
    one, other = [0.50, 0.54, 0.58], [0.40, 0.41, 0.45, 0.42]
    welch = ttest_ind(one, other, equal_var=False).confidence_interval()
    found = difference(one, other, 10**12)
    assert (found.low, found.high) == pytest.approx((welch.low, welch.high))
    assert found.value == pytest.approx(statistics.fmean(one) - statistics.fmean(other))


def test_single_runs_get_the_noise_of_the_seeds_from_others():
    """Student's two-sample interval with a pooled variance, of which only the variance comes from other runs."""
    groups = [[0.50, 0.54, 0.58], [0.40, 0.41, 0.45], [0.3]]
    noise = seed_noise(groups)
    assert noise.freedom == 4
    assert noise.variance == pytest.approx(statistics.fmean(statistics.variance(group) for group in groups[:2]))
    found = difference([0.5], [0.4], 10**12, noise)
    assert found.high - found.value == pytest.approx(2.77645 * math.sqrt(2 * noise.variance), rel=1e-5)
    with_images = difference([0.5], [0.4], 1000, noise)
    assert with_images.low < difference([0.5], [0.4], 1000).low
    assert difference(groups[0], groups[1], 1000, noise) == difference(groups[0], groups[1], 1000)
    assert seed_noise([[0.5], [0.4]]) is None


def test_seeds_that_agree_leave_the_noise_of_the_images():
    low, high = mean_interval([0.5, 0.5, 0.5], 1000)
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(0.25 / 1000), rel=1e-3)
    assert mean_interval([0.43], 1000) == wilson_interval(430, 1000)


def test_the_interval_covers_the_true_difference_in_at_least_95_percent_of_simulations():
    rng, covered, covered_single, tries = np.random.default_rng(0), 0, 0, 300
    for _ in range(tries):
        chances = [np.clip(rng.normal(mean, 0.03, 3), 0, 1) for mean in (0.55, 0.45)]
        one, other = (rng.binomial(1000, chance) / 1000 for chance in chances)
        found = difference(list(one), list(other), 1000)
        covered += found.low <= 0.1 <= found.high
        single = difference([one[0]], [other[0]], 1000, seed_noise([rng.normal(0.5, 0.03, 3) for _ in range(4)]))
        covered_single += single.low <= 0.1 <= single.high
    least = 0.95 - 2 * math.sqrt(0.95 * 0.05 / tries)
    assert covered / tries > least
    assert covered_single / tries > least


def test_a_difference_whose_interval_contains_zero_is_called_not_distinguishable():
    assert comparison_words(Difference(0.02, -0.01, 0.05)) == "+2.0 points (−1.0 to +5.0), not distinguishable"
    assert comparison_words(Difference(0.02, 0.01, 0.03)) == "+2.0 points (+1.0 to +3.0)"
