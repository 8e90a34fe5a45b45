"""The folder of results: bounded in size and number, one file for each kind and settings."""

from dataclasses import replace

import numpy as np
import pytest

from vit import data, runs
from vit.results import stored
from vit.results.kinds import Array, Kind
from vit.results.stored import StoredResult, stored_result

NUMBERS: Kind[np.ndarray] = Kind(
    "numbers",
    {"numbers": Array("float32", "heads any", nan=True)},
    lambda found: {"numbers": found},
    lambda arrays: arrays["numbers"],
)


@pytest.fixture
def split(trained) -> data.Split:
    return data.load(runs.get_run("tiny").config.data, splits=("val",)).val


def place(split: data.Split, **settings: int) -> StoredResult[np.ndarray]:
    return stored_result(runs.get_run("tiny"), NUMBERS, split, settings)


def test_results_with_other_settings_stand_side_by_side(split):
    numbers = np.ones((2, 3), np.float32)
    place(split, count=1).keep(numbers)
    place(split, count=2).keep(2 * numbers)
    assert place(split, count=1).path != place(split, count=2).path
    np.testing.assert_array_equal(place(split, count=1).read(), numbers)
    np.testing.assert_array_equal(place(split, count=2).read(), 2 * numbers)
    place(split, count=2).path.rename(place(split, count=1).path)
    assert place(split, count=1).read() is None  # measured with other settings


def test_axes_have_the_sizes_of_the_network(split):
    for wrong in (np.ones((3, 3), np.float32), np.ones(2, np.float32), np.full((2, 1), np.inf, np.float32)):
        place(split).keep(wrong)
        assert place(split).read() is None
    place(split).keep(np.full((2, 1), np.nan, np.float32))
    assert np.isnan(place(split).read()).all()


def test_a_result_that_is_too_large_is_not_stored(split, monkeypatch):
    monkeypatch.setattr(stored, "BYTES_MAX", 100)
    place(split).keep(np.ones((2, 50), np.float32))
    assert not place(split).path.exists()


def test_the_oldest_results_make_room(split, monkeypatch):
    monkeypatch.setattr(stored, "RESULTS_MAX", 3)
    for count in range(5):
        place(split, count=count).keep(np.full((2, 2), count, np.float32))
    found = [place(split, count=count).read() is not None for count in range(5)]
    assert found == [False, False, True, True, True]
    size = place(split, count=4).path.stat().st_size
    monkeypatch.setattr(stored, "FOLDER_BYTES_MAX", 5 * size // 2)  # compressed sizes differ a little
    place(split, count=5).keep(np.full((2, 2), 5, np.float32))
    assert len(list(place(split).path.parent.iterdir())) == 2
    place(split, count=5).keep(np.full((2, 2), 6, np.float32))  # replaced, so that nothing else has to go
    assert len(list(place(split).path.parent.iterdir())) == 2
    assert place(split, count=5).read()[0, 0] == 6


def test_left_over_temporary_files_are_removed_with_the_others(split):
    place(split).keep(np.ones((2, 2), np.float32))
    (place(split).path.parent / ".numbers.npz-abc").write_bytes(b"half")
    runs.remove_leftovers(runs.get_run("tiny").path)
    assert [file.name for file in place(split).path.parent.iterdir()] == ["numbers.npz"]


def test_the_fingerprint_of_images_covers_pixels_labels_and_masks(split):
    masks = np.array(split.masks)
    masks[1, 2, 3] ^= 1
    assert replace(split, masks=masks).fingerprint != split.fingerprint
    same = replace(split, images=np.array(split.images), labels=list(split.labels) and np.array(split.labels))
    assert same.fingerprint == split.fingerprint
