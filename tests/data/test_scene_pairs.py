"""Minimal pairs of scenes: only one factor changes, pixel by pixel."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from vit.data import scenes
from vit.data.scenes.pairs import CHANGES, scene_pair

INDICES = range(10)


def grown(mask: np.ndarray, size: int = 15) -> np.ndarray:
    """The mask with a rim: outlines and smoothing reach a little beyond it, and so do whiskers."""
    return np.asarray(Image.fromarray(mask * 255).filter(ImageFilter.MaxFilter(size))) > 0


def shrunk(mask: np.ndarray, size: int = 9) -> np.ndarray:
    return np.asarray(Image.fromarray(mask * 255).filter(ImageFilter.MinFilter(size))) > 0


def options(index: int) -> dict:
    """Settings of a scene. At 224 pixels nearly no part is thinner than the half pixel that a mask needs."""
    return {"split": "val", "image_size": 224, "seed": index % 2}


@pytest.mark.parametrize("index", INDICES)
def test_without_a_change_the_scene_is_drawn(index):
    for drawn, again in zip(
        scenes.draw(index, **options(index)), scenes.draw_changed(index, **options(index)), strict=True
    ):
        assert np.array_equal(drawn, again)


@pytest.mark.parametrize("index", INDICES)
def test_another_object_changes_no_pixel_outside_both_masks(index):
    image, mask, label = scenes.draw(index, **options(index))
    for other in set(range(5)) - {label}:
        changed, other_mask, shown = scenes.draw_changed(index, label=other, **options(index))
        assert shown == other
        outside = ~(grown(mask) | grown(other_mask))
        assert np.array_equal(image[outside], changed[outside])
        assert (image != changed).any(axis=2)[shrunk(mask)].mean() > 0.3


@pytest.mark.parametrize("index", INDICES)
def test_another_background_changes_no_pixel_inside_the_mask(index):
    image, mask, label = scenes.draw(index, **options(index))
    changed, same, shown = scenes.draw_changed(index, background=index + 7, **options(index))
    assert np.array_equal(mask, same)
    assert shown == label
    inside = shrunk(mask)
    differs = (image != changed).any(axis=2)
    # An outline is drawn half outside the object's shape, and a part with a gap lets the background through.
    assert differs[inside].mean() < 0.01
    assert differs[~grown(mask)].mean() > 0.5


def test_the_background_is_that_of_the_other_scene():
    """It has the other scene's colours and distractors; light and texture remain those of the first scene."""
    likeness = []
    for index in INDICES:
        changed, mask, _ = scenes.draw_changed(index, background=index + 7, **options(index))
        theirs, their_mask, _ = scenes.draw(index + 7, **options(index))
        mine = scenes.draw(index, **options(index))[0]
        outside = ~(grown(mask) | grown(their_mask))
        own = changed[outside].astype(float).ravel()
        likeness.append([np.corrcoef(own, one[outside].astype(float).ravel())[0, 1] for one in (theirs, mine)])
    close, far = np.mean(likeness, axis=0)
    assert close > far + 0.15


def test_its_own_background_changes_nothing():
    for index in INDICES:
        same = scenes.draw_changed(index, background=index, **options(index))[0]
        assert np.array_equal(same, scenes.draw(index, **options(index))[0])


def test_a_pair_is_a_scene_and_its_change():
    for index in range(20):
        pairs = {change: scene_pair(index, change, image_size=32) for change in CHANGES}
        for pair in pairs.values():
            assert np.array_equal(pair.clean, scenes.draw(index, split="val", image_size=32)[0])
            assert pair.label == index % 5
            assert not np.array_equal(pair.clean, pair.corrupt)
        assert pairs["object"].other not in (None, index % 5)
        assert pairs["background"].other == index % 5
        assert pairs["no-object"].other is None
        assert np.array_equal(pairs["no-object"].corrupt, scenes.draw_background(index, split="val", image_size=32))
    assert {scene_pair(index, "object", image_size=32).other for index in range(0, 20, 5)} == {1, 2, 3, 4}


def test_what_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="choose 0 to 4"):
        scenes.draw_changed(0, label=5)
    with pytest.raises(ValueError, match="No scene"):
        scenes.draw_changed(0, background=-1)
    with pytest.raises(ValueError, match="already shows class 3"):
        scene_pair(3, "object", other=3)
