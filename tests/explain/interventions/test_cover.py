"""Covered images, compared pixel by pixel."""

import math

import numpy as np
import pytest
import torch

from vit.explain.interventions.cover import cover, filled, patch_of_pixel


@pytest.fixture
def images():
    return torch.randn(2, 3, 9, 8, generator=torch.Generator().manual_seed(0))


def test_every_pixel_belongs_to_one_patch_for_any_image_size():
    place = patch_of_pixel((2, 3), (5, 8)).numpy()
    assert place.tolist() == [[0, 0, 0, 1, 1, 1, 2, 2]] * 3 + [[3, 3, 3, 4, 4, 4, 5, 5]] * 2


def test_a_covered_patch_has_the_mean_colour_of_its_own_image(images):
    patches = np.zeros((2, 3, 2), dtype=bool)
    patches[0, 1, 0] = patches[1, 2, 1] = True
    found = cover(images, patches, "mean").numpy()
    expected = images.numpy().copy()
    for image, row, column in ((0, 1, 0), (1, 2, 1)):
        for channel in range(3):
            mean = np.mean([images[image, channel, y, x] for y in range(9) for x in range(8)])
            expected[image, channel, 3 * row : 3 * row + 3, 4 * column : 4 * column + 4] = mean
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_blur_is_a_gaussian_mean_with_the_deviation_of_a_patch(images):
    found = filled(images, (3, 2), "blur").numpy()
    for y, x in ((0, 0), (4, 3), (8, 7)):
        total, weights = np.zeros(3), 0.0
        for v in range(9):
            for u in range(8):
                weight = math.exp(-((y - v) ** 2) / (2 * 3**2) - (x - u) ** 2 / (2 * 4**2))
                total += weight * images[1, :, v, u].numpy()
                weights += weight
        np.testing.assert_allclose(found[1, :, y, x], total / weights, atol=1e-5)


def test_one_image_under_many_patterns_and_many_images_under_one(images):
    patterns = np.eye(6, dtype=bool).reshape(6, 3, 2)
    one = cover(images[:1], patterns, "blur")
    assert one.shape == (6, 3, 9, 8)
    for pattern, image in zip(patterns, one, strict=True):
        torch.testing.assert_close(cover(images, pattern, "blur")[0], image)


@pytest.mark.parametrize("fill", ["mean", "blur"])
def test_covering_commutes_with_normalisation(images, fill):
    patches = np.random.default_rng(0).random((2, 3, 2)) < 0.5
    torch.testing.assert_close(cover((images - 0.4) / 0.2, patches, fill), (cover(images, patches, fill) - 0.4) / 0.2)
