import numpy as np
import pytest
import torch

from vit.config import AUGMENTATIONS, NO_AUGMENTATION, TrainingConfig
from vit.data.augmentation import NOISE, augment, erase, jitter, move
from vit.data.batches import Batches, mix_seed, normalise, steps_per_epoch, to_tensor
from vit.data.records import Split

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def split(count: int = 50, size: int = 16) -> Split:
    images = np.random.default_rng(0).integers(0, 256, (count, 3, size, size), dtype=np.uint8)
    return Split(images, np.arange(count), None, ("",) * count)


def batches(count: int = 50, **options) -> Batches:
    return Batches(split(count), **{"batch_size": 8, "device": "cpu", "mean": MEAN, "std": STD, "seed": 1} | options)


def labels(loaded) -> list[int]:
    return [label for _, labels in loaded for label in labels.tolist()]


def test_normalise_is_the_formula():
    images = torch.from_numpy(split().images)
    expected = (images / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    assert torch.allclose(normalise(images, MEAN, STD), expected, atol=1e-6)


def test_to_tensor_is_what_the_batches_hold():
    pictures = [image.transpose(1, 2, 0) for image in split(8).images]
    (images, _), *_ = batches(8).in_order()
    assert torch.equal(to_tensor(pictures, MEAN, STD), images)


def test_an_epoch_has_each_image_once_and_the_last_batch_is_kept():
    loaded = batches()
    assert len(loaded) == 7
    assert [len(labels) for _, labels in loaded.epoch(0)] == [8] * 6 + [2]
    assert sorted(labels(loaded.epoch(0))) == list(range(50))


def test_an_incomplete_last_batch_can_be_left_out_and_others_are_what_they_were():
    whole, dropped = batches(), batches(drop_last=True)
    assert len(dropped) == 6
    for (images, rows), (images_there, rows_there) in zip(list(whole.epoch(0))[:6], dropped.epoch(0), strict=True):
        assert torch.equal(images, images_there)
        assert torch.equal(rows, rows_there)
    assert labels(dropped.in_order()) == list(range(48))


def test_which_images_are_left_out_changes_from_epoch_to_epoch():
    dropped = batches(drop_last=True)
    assert set(labels(dropped.epoch(0))) != set(labels(dropped.epoch(1)))


def test_nothing_is_left_out_where_every_batch_is_whole_or_the_only_one():
    assert sorted(labels(batches(48, drop_last=True).epoch(0))) == list(range(48))
    assert sorted(labels(batches(5, drop_last=True).epoch(0))) == list(range(5))
    assert labels(batches(5, drop_last=True).in_order()) == list(range(5))


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 50])
@pytest.mark.parametrize("drop_last", [False, True])
def test_steps_are_counted_without_the_images(count, drop_last):
    loaded = batches(count, drop_last=drop_last)
    counted = steps_per_epoch(count, 8, drop_last)
    assert counted == len(loaded) == len(list(loaded.epoch(0))) == len(list(loaded.in_order()))


def test_images_keep_their_labels():
    source = split()
    for images, rows in batches().epoch(0):
        assert torch.equal(images, normalise(torch.from_numpy(source.images[rows.numpy()]), MEAN, STD))


def test_epochs_and_seeds_differ_in_order():
    loaded = batches()
    assert labels(loaded.epoch(0)) != labels(loaded.epoch(1))
    assert labels(loaded.epoch(0)) != labels(batches(seed=2).epoch(0))


def test_in_order_is_the_order_of_the_split_without_augmentation():
    loaded = batches(augment=True)
    assert labels(loaded.in_order()) == list(range(50))
    assert torch.equal(torch.cat([images for images, _ in loaded.in_order()]), normalise_all())


def normalise_all() -> torch.Tensor:
    return normalise(torch.from_numpy(split().images), MEAN, STD)


@pytest.mark.parametrize("start", [0, 1, 4, 6, 7])
def test_a_step_does_not_depend_on_where_the_epoch_was_entered(start):
    whole = list(batches(augment=True).epoch(3))
    entered = list(batches(augment=True).epoch(3, start))
    assert len(entered) == 7 - start
    for (images, rows), (images_again, rows_again) in zip(whole[start:], entered, strict=True):
        assert torch.equal(images, images_again)
        assert torch.equal(rows, rows_again)


def test_the_global_generator_is_neither_used_nor_moved():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = [images for images, _ in batches(augment=True).epoch(0)]
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(6)
    assert all(map(torch.equal, first, (images for images, _ in batches(augment=True).epoch(0))))


def test_an_image_is_augmented_anew_each_epoch():
    loaded = batches(8, augment=True)
    ((first, rows),), ((second, rows_again),) = loaded.epoch(0), loaded.epoch(1)
    assert torch.equal(rows, rows_again)  # one batch, sorted: the same images
    assert not torch.isclose(first, second).flatten(1).all(dim=1).any()


def test_a_memory_mapped_split_gives_the_same_batches(tmp_path):
    np.save(tmp_path / "images.npy", split().images)
    mapped = Split(np.load(tmp_path / "images.npy", mmap_mode="r"), split().labels, None, ())
    loaded = Batches(mapped, batch_size=8, device="cpu", mean=MEAN, std=STD, augment=True, seed=1)
    for (images, _), (expected, _) in zip(loaded.epoch(0), batches(augment=True).epoch(0), strict=True):
        assert torch.equal(images, expected)


def test_a_set_on_the_device_gives_the_same_batches(monkeypatch):
    expected = list(batches(augment=True).epoch(0))
    monkeypatch.setattr(Batches, "_fits", lambda self: True)  # as on a GPU with room
    resident = batches(augment=True)
    assert resident.resident
    for (images, rows), (images_there, rows_there) in zip(expected, resident.epoch(0), strict=True):
        assert torch.equal(images, images_there)
        assert torch.equal(rows, rows_there)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_batches_and_its_own_augmentation_again_and_again():
    on_gpu = batches(device="cuda")
    assert on_gpu.resident
    for (images, rows), (images_there, rows_there) in zip(batches().epoch(0), on_gpu.epoch(0), strict=True):
        assert torch.equal(rows, rows_there.cpu())
        assert torch.allclose(images, images_there.cpu(), atol=1e-5)
    augmented = batches(augment=True, device="cuda")
    first, again = list(augmented.epoch(0)), list(augmented.epoch(0))
    assert all(torch.equal(one, other) for (one, _), (other, _) in zip(first, again, strict=True))
    assert not torch.equal(first[0][0].cpu(), next(batches().epoch(0))[0])


def test_augment_keeps_shape_and_range_and_is_the_generators():
    images = torch.rand(32, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    first, again, other = (augment(images, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first.shape == images.shape
    assert first.min() >= 0
    assert first.max() <= 1
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_each_image_of_a_batch_is_augmented_in_its_own_way():
    images = torch.rand(1, 3, 24, 24).expand(64, -1, -1, -1).contiguous()
    changed = augment(images, torch.Generator().manual_seed(0))
    assert len(changed.flatten(1).unique(dim=0)) == 64


def test_an_image_is_augmented_the_same_whatever_else_is_in_the_batch():
    images = torch.rand(6, 3, 24, 24)
    others = images.clone()
    others[1:] = 0.5
    first, second = (augment(batch, torch.Generator().manual_seed(0))[0] for batch in (images, others))
    assert torch.allclose(first, second, atol=1e-6)


def test_a_move_flips_and_shifts_within_mirrored_surroundings():
    image = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8)
    images = image.expand(3, 3, -1, -1).contiguous()
    middle, high, half = 0.5, 0.99, 0.99  # a reach of one pixel: thirds are -1, 0, +1; flip below a half
    noise = torch.tensor([[middle, middle, half], [middle, middle, 0.1], [high, middle, half]])
    still, flipped, down = move(images, noise)
    assert torch.equal(still[0], image[0, 0])
    assert torch.equal(flipped[0], image[0, 0].flip(1))
    assert torch.equal(down[0], image[0, 0][[1, 2, 3, 4, 5, 6, 7, 6]])


def test_half_are_flipped_and_all_shifts_occur():
    images = torch.zeros(4000, 3, 16, 16)
    images[:, :, 8, 8] = 1
    moved = augment_move(images)
    places = moved[:, 0].flatten(1).argmax(dim=1)
    rows, columns = places // 16, places % 16
    assert set(rows.tolist()) == {6, 7, 8, 9, 10}
    assert set(columns.tolist()) == {5, 6, 7, 8, 9, 10}  # shifted by two at most, and mirrored: 7.5 is the axis
    assert 0.45 < (columns.double().mean() - 7) < 0.55


def augment_move(images: torch.Tensor) -> torch.Tensor:
    return move(images, torch.rand(len(images), 3, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("on", [(), *((name,) for name in AUGMENTATIONS), ("flip", "shift"), AUGMENTATIONS])
def test_each_part_of_the_augmentation_is_applied_alone_and_all_are_applied_in_order(on):
    recipe = TrainingConfig(**NO_AUGMENTATION | dict.fromkeys(on, True) | {"blank_images": 0.0})
    assert recipe.augmentations == on
    loaded = batches(8, augment=True, recipe=recipe)
    order = loaded.order(0)
    loaded.seed(0, 0)
    generator = torch.Generator().manual_seed(loaded.generator.initial_seed())
    noise = torch.rand(8, NOISE, generator=generator)
    images = torch.from_numpy(split(8).images)[loaded.rows(order, 0)]
    if "flip" in on or "shift" in on:
        still, unflipped = torch.full((8, 2), 0.5), torch.ones(8, 1)
        places = torch.cat((noise[:, :2] if "shift" in on else still, noise[:, 2:3] if "flip" in on else unflipped), 1)
        images = move(images, places)
    images = images / 255
    images = jitter(images, noise[:, 3:6]) if "colour" in on else images
    images = erase(images, noise[:, 6:]) if "erasing" in on else images
    expected = (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    torch.testing.assert_close(loaded.batch(loaded.rows(order, 0))[0], expected, atol=1e-5, rtol=0)


def test_jitter_without_change_is_the_image_and_brightness_scales_it():
    images = torch.rand(2, 3, 8, 8) * 0.5
    noise = torch.full((2, 3), 0.5)
    assert torch.allclose(jitter(images, noise), images, atol=1e-6)
    brighter = torch.tensor([[1.0, 0.5, 0.5]]).expand(2, 3)
    assert torch.allclose(jitter(images, brighter), images * 1.2, atol=1e-6)


def test_jitter_of_contrast_keeps_the_mean_and_of_saturation_keeps_greys():
    grey = (0.3 + 0.4 * torch.rand(1, 1, 8, 8)).expand(1, 3, 8, 8)
    contrast = jitter(grey, torch.tensor([[0.5, 1.0, 0.5]]))
    assert torch.allclose(contrast.mean(), grey.mean(), atol=1e-5)
    assert torch.allclose(contrast.std() / grey.std(), torch.tensor(1.2), atol=1e-4)
    assert torch.allclose(jitter(grey, torch.tensor([[0.5, 0.5, 1.0]])), grey, atol=1e-5)


def test_a_quarter_of_the_images_lose_a_rectangle():
    images = torch.rand(2000, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    erased = erase(images.clone(), torch.rand(2000, 5, generator=torch.Generator().manual_seed(1)))
    changed = (erased != images).any(dim=1)
    share = changed.flatten(1).float().mean(dim=1)
    assert 0.2 < (share > 0).float().mean() < 0.3
    assert share.max() < 0.25
    first = int(share.argmax())
    rows, columns = changed[first].nonzero().unbind(1)
    assert changed[first].sum() == (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
    assert torch.allclose(erased[first][:, changed[first]].std(dim=1), torch.zeros(3), atol=1e-6)


def test_seeds_of_neighbouring_positions_are_far_apart():
    seeds = {mix_seed(seed, epoch, step) for seed in range(10) for epoch in range(10) for step in range(10)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert mix_seed(1, 2) != mix_seed(2, 1)
    ones = np.mean([bin(seed).count("1") for seed in seeds])
    assert 30 < ones < 33
