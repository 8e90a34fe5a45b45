"""The overlap of thresholded attention maps with object masks."""

from itertools import combinations

import numpy as np
import pytest

from vit import data, load_checkpoint
from vit.errors import DataError
from vit.explain import capture, token_maps
from vit.explain.heads.object_overlap import jaccard, keep_mass, object_overlap, on_grid


def test_the_kept_patches_are_the_fewest_that_hold_the_mass():
    maps = np.array([[0.5, 0.2, 0.2, 0.1], [0.1, 0.1, 0.1, 0.7], [0.25, 0.25, 0.25, 0.25]])
    assert keep_mass(maps, 0.6).tolist() == [[True, True, False, False], [False] * 3 + [True], [True] * 3 + [False]]
    assert np.array_equal(keep_mass(3 * maps, 0.6), keep_mass(maps, 0.6))
    random = np.random.default_rng(0).random((20, 30))
    kept = keep_mass(random)
    held = (random * kept).sum(axis=1) / random.sum(axis=1)
    without_smallest = held - np.where(kept, random, np.inf).min(axis=1) / random.sum(axis=1)
    assert (held >= 0.6).all()
    assert (without_smallest < 0.6).all()


def test_jaccard_counts_pixels():
    kept = np.array([[True, False], [False, False]])
    mask = np.zeros((4, 4), bool)
    mask[0:2, 1:4] = True  # two of its six pixels lie in the kept patch of four
    assert jaccard(kept, mask) == pytest.approx(2 / 8)


def test_no_choice_of_patches_overlaps_more_than_the_bound():
    masks = np.random.default_rng(1).random((4, 6, 6)) < 0.4
    masks[0] = False
    masks[0, :3, :2] = True
    bound = jaccard(on_grid(masks, (3, 3)), masks)
    for mask, most in zip(masks, bound, strict=True):
        every = []
        for count in range(10):
            for chosen in combinations(range(9), count):
                kept = np.zeros(9, bool)
                kept[list(chosen)] = True
                every.append(jaccard(kept.reshape(3, 3), mask))
        assert most == pytest.approx(max(every))


def test_a_head_is_measured_by_its_own_map(trained):
    model, info = load_checkpoint("tiny")
    split = data.load(info.config.data, splits=("val",)).val
    found = object_overlap(model, info, split, 10)
    assert found.heads.shape == (2, 2)
    assert found.images == 10
    from vit.data.batches import to_tensor
    from vit.data.sampling import subset

    rows = subset(split.labels, 10, 0)
    values = []
    for row in rows:
        record = capture(model, to_tensor([split.images[row].transpose(1, 2, 0)], info.mean, info.std))
        flat = token_maps(record, 0)[1, 1]
        values.append(jaccard(keep_mass(flat.reshape(-1)).reshape(flat.shape), split.masks[row].astype(bool)))
    assert found.heads[1, 1] == pytest.approx(np.mean(values), abs=1e-6)
    assert found.bound >= found.heads.max()
    with pytest.raises(DataError, match="no object masks"):
        object_overlap(model, info, data.Split(split.images, split.labels, None, split.files))
