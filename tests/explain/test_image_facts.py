"""Figures of one image: each against its definition, written out or computed by another package."""

import numpy as np
import pytest

from vit.explain import image_facts


@pytest.fixture
def attention() -> np.ndarray:
    """Rows that sum to 1: 2 layers, 3 heads, a class token and 4 patches."""
    weights = np.random.default_rng(0).random((2, 3, 5, 5)) ** 4
    return (weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)


def test_moved_shares_are_what_one_query_attends_to_more_than_the_other(attention):
    found = image_facts.moved_shares(attention, 1, 2)
    for layer, head, patch in np.ndindex(2, 3, 4):
        one, other = attention[layer, head, 2], attention[layer, head, 1 + patch]
        more = sum(max(0.0, float(b - a)) for a, b in zip(one, other, strict=True))
        assert found[layer, head, patch] == pytest.approx(more, abs=1e-6)
    assert image_facts.mean_of_others(found)[0, 0] == pytest.approx(np.delete(found[0, 0], 1).mean())


def test_maps_without_a_common_token_move_completely():
    attention = np.eye(3)[None, None]
    assert image_facts.moved_shares(attention, 0, 1)[0, 0].tolist() == [0, 1, 1]


def test_correlations_are_those_of_numpy_and_a_constant_map_has_none():
    maps = np.random.default_rng(0).random((4, 9))
    assert np.allclose(image_facts.map_correlations(maps), np.corrcoef(maps))
    pairs = [np.corrcoef(maps[i], maps[j])[0, 1] for i in range(4) for j in range(i)]
    assert image_facts.mean_correlation(image_facts.map_correlations(maps)) == pytest.approx(np.mean(pairs))
    flat = image_facts.map_correlations(np.stack([maps[0], np.full(9, 0.1)]))
    assert np.allclose(flat, np.eye(2))


def test_patches_beside_the_object_are_as_many_and_none_of_it():
    cover = np.array([0, 0.1, 0.9, 0.5, 0, 0, 0, 0.2, 0])
    assert image_facts.patches_on_and_beside(cover) == ((3, 4), (1, 9))
    assert image_facts.patches_on_and_beside(np.array([0.3, 0.2, 0])) == ((1,), (3,))
    assert image_facts.patches_on_and_beside(np.ones(2)) == ((1, 2), ())


def test_an_image_fits_if_its_weakest_claim_holds():
    good = {"certainty": 0.9, "moved": 0.8, "correlation": 0.1, "object_ratio": 2.0}
    assert image_facts.ImageFacts(**good).fit >= 1
    for name, weak in {"certainty": 0.5, "moved": 0.2, "correlation": 0.9, "object_ratio": 1.0}.items():
        assert image_facts.ImageFacts(**good | {name: weak}).fit < 1
