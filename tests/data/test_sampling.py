import numpy as np
import pytest

from vit.data.sampling import split_off, spread, subset
from vit.errors import DataError

LABELS = np.repeat([0, 1, 2], [50, 30, 5])
NAMES = ("a", "b", "c")


def test_one_in_five_of_each_class_is_for_validation():
    train, val = split_off(LABELS, NAMES, seed=0)
    assert np.bincount(LABELS[val]).tolist() == [10, 6, 1]
    assert sorted([*train, *val]) == list(range(85))


def test_the_split_is_the_seeds():
    same, again, other = (split_off(LABELS, NAMES, seed)[1].tolist() for seed in (3, 3, 4))
    assert same == again != other


def test_two_images_are_enough_for_a_split_and_one_is_not():
    train, val = split_off(np.array([0, 0, 1, 1]), ("a", "b"), seed=0)
    assert len(train) == len(val) == 2
    with pytest.raises(DataError, match="'b' has only one image"):
        split_off(np.array([0, 0, 1]), ("a", "b"), seed=0)


@pytest.mark.parametrize("count", [3, 4, 10, 17, 84])
def test_a_subset_is_exact_and_stratified(count):
    rows = subset(LABELS, count, seed=0)
    taken = np.bincount(LABELS[rows], minlength=3)
    assert len(set(rows.tolist())) == count
    assert taken.min() >= 1
    if count >= 17:
        assert np.abs(taken - np.array([50, 30, 5]) * count / 85).max() < 1
    assert rows.tolist() == subset(LABELS, count, seed=0).tolist() == sorted(rows)


def test_a_subset_of_more_than_all_is_all():
    assert subset(LABELS, None, 0).tolist() == subset(LABELS, 1000, 0).tolist() == list(range(85))


def test_a_subset_has_room_for_each_class():
    with pytest.raises(DataError, match="2 images are too few for 3 classes"):
        subset(LABELS, 2, seed=0)


def test_fewer_images_than_classes_are_one_each_of_some_classes():
    labels = np.arange(4000) % 1000
    rows = spread(labels, 500, 0)
    assert len(rows) == len(set(labels[rows])) == 500
    assert rows.tolist() == sorted(rows)
    assert rows.tolist() == spread(labels, 500, 0).tolist()
    np.testing.assert_array_equal(spread(LABELS, 20, 0), subset(LABELS, 20, 0))
    np.testing.assert_array_equal(spread(LABELS, None, 0), np.arange(85))
