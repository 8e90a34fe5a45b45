"""Runs grouped by a setting, and their places on parallel axes."""

import math
import subprocess
import sys

import pytest

from tests.conftest import tiny_config
from vit.config import CNNConfig
from vit.runs.groups import Result, group_by, varied_settings
from vit.runs.parallel import ACCURACY, parallel_axes


def result(accuracy: float, *, seed: int = 0, lr: float = 1e-3, model=None, **vit) -> Result:
    config = tiny_config(**vit)
    training = config.training.model_copy(update={"seed": seed, "lr": lr})
    changes = {"training": training} | ({"model": model} if model else {})
    return Result(f"run-{accuracy}", config.model_copy(update=changes), accuracy)


def test_grouping_imports_no_torch():
    code = "import sys, vit.runs.parallel; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_group_has_the_mean_and_range_over_its_seeds():
    found = [result(0.5, depth=2), result(0.75, depth=2, seed=1), result(0.7, depth=12), result(0.6, depth=3)]
    assert varied_settings([one.config for one in found]) == ["Depth"]
    groups = group_by("Depth", found)
    assert [group.title for group in groups] == ["2", "3", "12"]  # by size, not by letter
    assert groups[0].accuracies == [0.75, 0.5]
    assert (groups[0].mean, groups[0].seeds) == (0.625, 2)
    assert not any(group.varied for group in groups)


def test_other_settings_that_differ_within_a_group_are_named():
    found = [result(0.5, depth=2), result(0.6, depth=2, lr=1e-2), result(0.7, depth=4)]
    assert [group.varied for group in group_by("Depth", found)] == [("Learning rate",), ()]


def test_a_network_without_the_setting_is_a_group_of_its_own():
    cnn = CNNConfig(image_size=32, num_classes=5)
    groups = group_by("Heads", [result(0.5, num_heads=4), result(0.6, model=cnn), result(0.4, num_heads=2)])
    assert [(group.title, len(group.results)) for group in groups] == [("2", 1), ("4", 1), ("–", 1)]
    assert (
        len(group_by("Layer scale", [result(0.5), result(0.6, model=cnn)])) == 2
    )  # none is not the same as no setting


def test_numbers_have_places_by_size_names_at_equal_distances_and_the_accuracy_is_last():
    found = [
        result(0.5, depth=2, pool="cls", lr=1e-4),
        result(0.9, depth=3, pool="mean", lr=1e-2),
        result(0.7, depth=6, pool="cls", lr=1e-3),
    ]
    axes = {axis.title: axis for axis in parallel_axes(found)}
    assert list(axes)[-1] == ACCURACY
    assert axes["Depth"].places == pytest.approx((0, 0.25, 1))
    assert [tick.text for tick in axes["Depth"].ticks] == ["2", "3", "6"]
    assert axes["Learning rate"].places == pytest.approx((0, 1, 0.5))  # logarithmic
    assert axes[ACCURACY].places == pytest.approx((0, 1, 0.5))
    assert [tick.text for tick in axes[ACCURACY].ticks] == ["50%", "60%", "70%", "80%", "90%"]
    (pooling,) = [axis for title, axis in axes.items() if title not in ("Depth", "Learning rate", ACCURACY)]
    assert sorted(pooling.places) == [0, 0, 1]
    assert [tick.at for tick in pooling.ticks] == [0, 1]


def test_a_setting_that_some_networks_lack_has_a_place_for_none():
    cnn = CNNConfig(image_size=32, num_classes=5)
    found = [result(0.5, num_heads=4), result(0.6, model=cnn), result(0.4, num_heads=2)]
    (heads, accuracy) = parallel_axes(found, ["Heads"])
    assert [tick.text for tick in heads.ticks] == ["–", "2", "4"]
    assert heads.places == (1, 0, 0.5)
    assert accuracy.title == ACCURACY


def test_equal_accuracies_and_many_values_have_places_and_a_few_ticks():
    found = [result(0.5, lr=10 ** (-number / 10)) for number in range(20)]
    rate, accuracy = parallel_axes(found, ["Learning rate"])
    assert set(accuracy.places) == {0.5}
    assert len(rate.ticks) <= 8
    assert rate.places[0] == 1
    assert math.isclose(rate.places[-1], 0, abs_tol=1e-9)
