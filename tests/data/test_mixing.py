"""Mixed and blank images: against torchvision, by their definition, and the same on several ranks."""

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from tests.data.test_batches import batches
from vit.config import TrainingConfig
from vit.data.mixing import Mix, Mixer, draw_mix
from vit.errors import SettingsError

CLASSES = 50


def mixed(mix: Mix, images: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix each image with the one before it, as torchvision does."""
    mixer = Mixer(torch.device("cpu"))
    mixer.set(mix)
    return mixer.images(images, images.roll(1, 0)), mixer.targets(targets, targets.roll(1, 0))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_a_mix_is_torchvisions_with_the_same_ratio_or_box(kind, seed):
    random = torch.Generator().manual_seed(seed)
    images = torch.rand(8, 3, 16, 16, generator=random)
    targets = torch.eye(5)[torch.randint(5, (8,), generator=random)]
    mix = draw_mix(np.random.default_rng(seed), 16, TrainingConfig(**{kind: 1.0}))
    theirs = v2.MixUp(num_classes=5) if kind == "mixup" else v2.CutMix(num_classes=5)
    params = {"labels": targets, "batch_size": 8, "lam": mix.share, "lam_adjusted": mix.share, "box": mix[1:5]}
    found = mixed(mix, images, targets)
    torch.testing.assert_close(found[0], theirs.transform(images, params), atol=1e-6, rtol=0)
    torch.testing.assert_close(found[1], theirs.transform(targets, params), atol=1e-6, rtol=0)


def test_boxes_and_ratios_have_the_distribution_of_torchvisions():
    torch.manual_seed(0)
    ours = [draw_mix(np.random.default_rng(seed), 32, TrainingConfig(cutmix=1.0)).share for seed in range(2000)]
    theirs = [v2.CutMix(num_classes=2).make_params([torch.zeros(1, 3, 32, 32)])["lam_adjusted"] for _ in range(2000)]
    steps = np.linspace(0.05, 0.95, 19)
    assert np.abs(np.quantile(ours, steps) - np.quantile(theirs, steps)).max() < 0.05
    ratios = [draw_mix(np.random.default_rng(seed), 32, TrainingConfig(mixup=0.2)).share for seed in range(2000)]
    beta = torch.distributions.Beta(torch.tensor(0.2), torch.tensor(0.2)).sample((20_000,)).numpy()
    assert np.abs(np.quantile(ratios, steps) - np.quantile(beta, steps)).max() < 0.07


def test_both_kinds_occur_and_only_in_the_share_of_batches_that_is_asked_for():
    recipe = TrainingConfig(mixup=0.5, cutmix=1.0, mix_probability=0.5)
    drawn = [draw_mix(np.random.default_rng(seed), 16, recipe) for seed in range(1000)]
    blended, untouched = sum(it.weight < 1 for it in drawn), sum(it == Mix() for it in drawn)
    assert 200 < blended < 300
    assert 450 < untouched < 600  # and a few boxes are empty
    assert draw_mix(np.random.default_rng(0), 16, TrainingConfig()) == Mix()


STRONG = TrainingConfig(mixup=0.4, cutmix=1.0, blank_images=0.3, randaugment=2, seed=1)


def soft(part: slice = slice(None), **options):
    loaded = batches(augment=True, recipe=STRONG, **options)
    loaded.seed(1, 2)
    return loaded.soft_batch(torch.arange(8, 16), CLASSES, part)


def test_a_rank_gets_its_part_of_the_batch_that_one_process_gets():
    whole = soft()
    for start, stop in ((0, 3), (3, 6), (6, 8)):
        for values, expected in zip(soft(slice(start, stop)), whole, strict=True):
            torch.testing.assert_close(values, expected[start:stop])


def test_each_step_is_mixed_in_its_own_way_and_again_the_same():
    loaded = batches(augment=True, recipe=STRONG)

    def at(step: int) -> torch.Tensor:
        loaded.seed(0, step)
        return loaded.soft_batch(torch.arange(8), CLASSES).targets

    first = at(0)
    assert torch.equal(at(0), first)
    assert len({at(step).numpy().tobytes() for step in range(5)}) == 5
    torch.testing.assert_close(first.sum(1), torch.ones(8))


def test_a_blank_image_has_one_colour_its_own_mean_or_that_of_all_and_an_even_target():
    loaded = batches(recipe=TrainingConfig(blank_images=0.5))
    loaded.seed(0, 0)
    images, targets, blank = loaded.soft_batch(torch.arange(50), CLASSES)
    (plain, labels), *_ = batches(batch_size=50).in_order()
    assert set(blank.tolist()) == {0.0, 1.0}
    assert 15 <= blank.sum() <= 35
    colours = []
    for image, target, is_blank, before, label in zip(images, targets, blank, plain, labels, strict=True):
        if is_blank:
            colours.append(bool(image.any()))
            torch.testing.assert_close(image, colours[-1] * before.mean((1, 2), keepdim=True).expand_as(image))
            torch.testing.assert_close(target, torch.full((CLASSES,), 1 / CLASSES))
        else:
            assert torch.equal(image, before)
            assert torch.equal(target, torch.eye(CLASSES)[label])
    assert set(colours) == {True, False}


def test_a_repeated_image_is_several_times_in_a_batch_each_time_augmented_anew():
    loaded = batches(48, augment=True, batch_size=24, recipe=TrainingConfig(repeats=3))
    assert len(loaded) == 2
    seen = []
    for images, labels in loaded.epoch(1):
        values, counts = labels.unique(return_counts=True)
        assert counts.tolist() == [3] * 8
        assert len(images.flatten(1).unique(dim=0)) == 24
        seen += values.tolist()
    assert len(set(seen)) == 16  # a third of the images
    assert {label for _, labels in loaded.epoch(2) for label in labels.tolist()} != set(seen)


def test_without_any_of_it_a_batch_is_what_it_was():
    for recipe in (None, TrainingConfig(average=0.9, teacher="a", optimizer="muon")):
        plain, loaded = batches(augment=True), batches(augment=True, recipe=recipe)
        for (images, labels), (expected, rows) in zip(loaded.epoch(1), plain.epoch(1), strict=True):
            assert torch.equal(images, expected)
            assert torch.equal(labels, rows)


@pytest.mark.parametrize("settings", [{"mixup": -1}, {"blank_images": 0.9}, {"repeats": 0}, {"randaugment": 9}])
def test_bounds_are_checked(settings):
    with pytest.raises(SettingsError):
        TrainingConfig(**settings)
