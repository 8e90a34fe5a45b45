"""Scenes: reproducible, independent of one another, the same at every size, and fair to their masks."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from PIL import Image, ImageFilter

from vit.data import scenes
from vit.paths import project_root


@pytest.fixture(scope="module")
def many() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return scenes.draw_many(200, split="val", image_size=64)


def test_a_scene_is_a_function_of_seed_split_and_index(many):
    images, masks, _ = many
    for index in (7, 3, 199):
        image, mask, label = scenes.draw(index, split="val")
        assert np.array_equal(image.transpose(2, 0, 1), images[index])
        assert np.array_equal(mask, masks[index])
        assert label == index % 5
    again = scenes.draw(7, split="val")[0]
    for other in (scenes.draw(12, split="val"), scenes.draw(7), scenes.draw(7, split="val", seed=1)):
        assert np.abs(other[0].astype(int) - again).mean() > 5


def test_classes_are_balanced_and_in_order(many):
    labels = many[2]
    assert labels.dtype == np.int64
    assert np.bincount(labels).tolist() == [40] * len(scenes.CLASSES)


def test_the_pool_draws_what_this_process_draws():
    done = []
    images, masks, labels = scenes.draw_many(510, image_size=32, workers=2, progress=lambda *state: done.append(state))
    assert done[-1] == (510, 510)
    assert [state[0] for state in done] == sorted(state[0] for state in done)
    for index in (0, 49, 50, 509):
        image, mask, label = scenes.draw(index, image_size=32)
        assert np.array_equal(image.transpose(2, 0, 1), images[index])
        assert np.array_equal(mask, masks[index])
        assert label == labels[index]


def test_the_pool_works_under_a_script_without_a_guard(tmp_path):
    script = tmp_path / "unguarded.py"
    script.write_text(
        textwrap.dedent("""
        from vit.data.scenes import draw_many
        print(draw_many(500, image_size=32, workers=2)[0].shape)
        """)
    )
    found = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env={"PYTHONPATH": str(project_root())}, timeout=60
    )
    assert found.stdout == "(500, 3, 32, 32)\n", found.stderr


def test_a_progress_that_raises_ends_the_workers():
    def full(done: int, total: int) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        scenes.draw_many(500, image_size=32, workers=2, progress=full)


def test_scenes_are_drawn_into_the_arrays_that_are_given():
    out = np.zeros((10, 3, 48, 48), np.uint8), np.zeros((10, 48, 48), np.uint8)
    images, masks, _ = scenes.draw_many(10, image_size=48, out=out)
    assert images is out[0]
    assert masks is out[1]
    assert all(array.any(axis=tuple(range(1, array.ndim))).all() for array in out)


@pytest.mark.parametrize("size", [32, 57, 96, 128, 224])
def test_a_scene_is_the_same_at_every_size(size):
    for index in range(10):
        image, mask, _ = scenes.draw(index, image_size=size)
        assert image.shape == (size, size, 3)
        assert image.dtype == np.uint8
        assert mask.shape == (size, size)
        assert mask.dtype == np.uint8
        reference, outline, _ = scenes.draw(index, image_size=64)
        small, small_reference = (
            np.asarray(Image.fromarray(picture).resize((16, 16), Image.Resampling.BOX), dtype=float)
            for picture in (image, reference)
        )
        assert np.corrcoef(small.ravel(), small_reference.ravel())[0, 1] > 0.98
        assert mask.mean() == pytest.approx(outline.mean(), abs=0.02)


@pytest.mark.parametrize("size", [31, 225])
def test_other_sizes_are_refused(size):
    with pytest.raises(ValueError, match=str(size)):
        scenes.draw(0, image_size=size)


def test_the_mask_covers_a_fair_part_of_the_frame(many):
    masks = many[1]
    shares = masks.mean(axis=(1, 2))
    assert set(np.unique(masks)) == {0, 1}
    assert shares.min() > 0.06
    assert shares.max() < 0.8
    assert 0.15 < shares.mean() < 0.4


def test_the_mask_is_where_the_object_is(many):
    """Without its object a scene changes inside the mask, and nowhere else but at its rim."""
    images, masks, _ = many
    for index in range(40):
        empty = scenes.draw_background(index, split="val").transpose(2, 0, 1)
        change = np.abs(images[index].astype(int) - empty).max(axis=0)
        inside = masks[index].astype(bool)
        assert (change[inside] > 8).mean() > 0.75
        grown = np.asarray(Image.fromarray(masks[index] * 255).filter(ImageFilter.MaxFilter(5))) > 0
        assert (change[~grown] > 0).mean() < 0.02


def test_objects_have_the_same_places_and_sizes_in_every_class(many):
    _, masks, labels = many
    spans = np.array([[np.ptp(axis) + 1 for axis in np.nonzero(mask)] for mask in masks]).max(axis=1)
    centres = np.array([[(axis.min() + axis.max()) / 2 for axis in np.nonzero(mask)] for mask in masks])
    for label in range(5):
        assert abs(spans[labels == label].mean() - spans.mean()) < 4
        assert np.abs(centres[labels == label].mean(axis=0) - centres.mean(axis=0)).max() < 4


def test_mean_colours_do_not_tell_the_classes_apart(many):
    images, _, labels = many
    colours = images.mean(axis=(2, 3))
    spread = colours.std(axis=0)
    for label in range(5):
        assert np.all(np.abs(colours[labels == label].mean(axis=0) - colours.mean(axis=0)) < 0.6 * spread)


def test_scenes_need_no_torch():
    code = "import sys, vit.data.scenes; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=project_root(), check=True)
    assert found.stdout.strip() == "False"
