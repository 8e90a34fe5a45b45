"""The image whose answer depends most on its object, against the definition written out for one image at a time."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from vit import data, runs
from vit.config import CNNConfig
from vit.data.batches import to_tensor
from vit.explain import reaction
from vit.explain.interventions.cover import cover
from vit.networks import build_model
from vit.runs.weights import load_checkpoint


@pytest.fixture
def tiny(trained):
    run = runs.find_run("tiny")
    return *load_checkpoint(run.path), data.load(run.config.data, splits=("val",)).val


def losses(model, info, split, patches_of) -> list[tuple[int, float, float]]:
    found = []
    for pixels, number in zip(split.images, range(len(split)), strict=True):
        image = to_tensor([np.moveaxis(pixels, 0, -1)], info.mean, info.std)
        before = model(image).softmax(dim=1)[0]
        answer = int(before.argmax())
        after = model(cover(image, patches_of(number, image, answer))).softmax(dim=1)[0, answer]
        found.append((answer, float(before[answer]), float(after)))
    return found


def check(found, expected) -> None:
    drops = [before - after for _, before, after in expected]
    assert found.image == int(np.argmax(drops))
    answer, before, after = expected[found.image]
    assert found.answer == answer
    assert (found.before, found.after) == pytest.approx((before, after), abs=1e-5)


def test_with_masks_the_patches_of_the_object_are_covered(tiny):
    model, info, split = tiny

    def patches(number, image, answer):
        mask = split.masks[number]
        return np.array([[mask[8 * row : 8 * row + 8, 8 * x : 8 * x + 8].any() for x in range(4)] for row in range(4)])

    found = reaction.strongest_reaction(model, info, split)
    check(found, losses(model, info, split, patches))
    assert (found.images, found.by_mask) == (30, True)
    assert found == reaction.strongest_reaction(model, info, split)


def test_without_masks_the_patches_with_the_largest_estimated_loss_are_covered(tiny):
    model, info, split = tiny
    split = replace(split, masks=None)

    def patches(number, image, answer):
        image = image.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(model(image)[0, answer], image)
        change = image.detach() - image.detach().mean(dim=(2, 3), keepdim=True)
        estimate = [
            float((gradient * change)[..., 8 * row : 8 * row + 8, 8 * x : 8 * x + 8].sum())
            for row in range(4)
            for x in range(4)
        ]
        covered = np.zeros(16, dtype=bool)
        covered[np.argsort(estimate)[-4:]] = True
        return covered.reshape(4, 4)

    found = reaction.strongest_reaction(model, info, split, images=12)
    check(found, losses(model, info, replace(split, images=split.images[:12], labels=split.labels[:12]), patches))
    assert (found.images, found.by_mask) == (12, False)


def test_a_network_without_patches_and_one_that_is_too_large(tiny, monkeypatch):
    _, info, split = tiny
    model = build_model(CNNConfig(image_size=32)).eval()
    assert reaction.strongest_reaction(model, info, split, images=4).images == 4
    monkeypatch.setattr(reaction, "FLOPS_MAX", 1)
    assert reaction.strongest_reaction(model, info, split) is None
