"""Integrated gradients and occlusion, compared with plain implementations, for every kind of network."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients

from tests.explain.maps.test_gradcam import make_cnn
from tests.explain.test_capture import make
from vit import data
from vit.config import ViTConfig
from vit.data.batches import normalise
from vit.explain import Target, gain_over_blank, integrated_gradients, occlusion
from vit.explain.maps import attribution
from vit.explain.passes import memory
from vit.networks import build_model
from vit.reference import ReferenceViT
from vit.runs import SHIPPED_RUN
from vit.runs.weights import load_checkpoint


def course() -> ReferenceViT:
    torch.manual_seed(0)
    return ReferenceViT(image_size=32, patch_size=8, embed_dim=16).eval().requires_grad_(False)


MODELS = pytest.mark.parametrize(
    ("model", "side", "grid"),
    [
        (make(pool="cls", stem="patch"), 32, 4),
        (make(pool="mean"), 32, 4),
        (course(), 32, 4),
        (make_cnn(), 32, 8),
        (make_cnn(), 36, 8),
    ],
    ids=["cls", "mean", "course", "cnn", "cnn, 36 pixels"],
)


def pictures(side: int) -> torch.Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


def squares(side: int, count: int) -> list[slice]:
    """The squares that Faithfulness covers: pixel x lies in square x * count // side."""
    edges = [-(-side * index // count) for index in range(count + 1)]
    return [slice(low, high) for low, high in pairwise(edges)]


@pytest.mark.parametrize(
    ("model", "side", "grid"),
    [(make(pool="cls", stem="patch"), 32, 4), (course(), 32, 4), (make_cnn(), 32, 8), (make_cnn(), 36, 8)],
    ids=["cls", "course", "cnn", "cnn, 36 pixels"],
)
def test_integrated_gradients_equal_captum_s_with_many_even_nodes_where_those_converge(model, side, grid):
    images, labels = pictures(side), torch.tensor([3, 1])
    seen = integrated_gradients(model, images, Target(labels, against=0))

    def score(images, labels):
        logits = model(images)
        return logits.gather(1, labels[:, None])[:, 0] - logits[:, 0]

    captum = IntegratedGradients(score)
    pixels = captum.attribute(images, 0.0, additional_forward_args=labels, n_steps=100, internal_batch_size=64)
    for image, heat in zip(pixels.detach().sum(dim=1), seen, strict=True):
        expected = [[image[rows, columns].sum() for columns in squares(side, grid)] for rows in squares(side, grid)]
        assert np.abs(heat - np.array(expected)).sum() < 0.12 * np.abs(heat).sum()


def conv_stem_at(start: float) -> torch.nn.Module:
    """A network that normalises contrast, so that its score changes near this fraction of the path."""
    model = untrained(pool="mean", stem_blocks=0)
    for norm in (module for module in model.modules() if isinstance(module, torch.nn.GroupNorm)):
        norm.eps = (5 * start) ** 2
        torch.nn.init.constant_(norm.bias, 0.5)
    return model


def untrained(**settings) -> torch.nn.Module:
    return build_model(ViTConfig(image_size=32, embed_dim=24, num_heads=2, depth=2, **settings), seed=0).eval()


@pytest.mark.parametrize(
    "model",
    [
        untrained(stem="conv"),
        untrained(stem="conv", stem_blocks=2),
        conv_stem_at(1e-6),
        conv_stem_at(1e-2),
        make(pool="cls", stem="patch"),
        make_cnn(),
        course(),
    ],
    ids=["conv", "blocks", "at 1e-6", "at 1e-2", "linear", "cnn", "course"],
)
def test_integrated_gradients_are_complete_wherever_on_the_path_the_score_changes(model):
    images = pictures(32)
    for target in (None, Target(torch.tensor([2, 0]), against=1)):
        gain, total = gain_over_blank(model, images, target), integrated_gradients(model, images, target).sum((1, 2))
        np.testing.assert_allclose(total, gain, atol=0.05 * np.abs(gain).max())


def test_integrated_gradients_of_the_included_run_are_complete():
    model, info = load_checkpoint(SHIPPED_RUN)
    scenes = data.load(info.config.data, splits=("val",)).val
    images = normalise(torch.from_numpy(np.array(scenes.images[:2])), info.mean, info.std)
    gain = gain_over_blank(model, images)
    np.testing.assert_allclose(integrated_gradients(model, images).sum(axis=(1, 2)) / gain, 1, atol=0.06)


def test_integrated_gradients_of_a_blank_image_are_zero():
    assert not integrated_gradients(make(), torch.zeros(1, 3, 32, 32)).any()
    with pytest.raises(ValueError, match="steps = 5 is too small: choose at least 17"):
        integrated_gradients(make(), pictures(32), steps=5)


def test_integrated_gradients_sum_to_the_gain_over_the_blank_image():
    model, images = make(stem="patch"), pictures(32)
    target = Target(torch.tensor([2, 0]), against=1)
    with torch.no_grad():
        logits, blank = model(images), model(torch.zeros(1, 3, 32, 32))[0]
    gain = [float(logits[i, k] - logits[i, 1] - blank[k] + blank[1]) for i, k in enumerate((2, 0))]
    np.testing.assert_allclose(gain_over_blank(model, images, target), gain, atol=1e-6)
    np.testing.assert_allclose(integrated_gradients(model, images, target, steps=100).sum(axis=(1, 2)), gain, atol=5e-3)
    likeliest = logits.argmax(dim=1)
    np.testing.assert_array_equal(
        gain_over_blank(model, images), gain_over_blank(model.train(), images, Target(likeliest))
    )


@MODELS
def test_occlusion_is_the_drop_of_the_score_without_one_square(model, side, grid):
    images, labels = pictures(side), [3, 1]
    seen = occlusion(model, images, Target(torch.tensor(labels), against=0))
    assert (seen < 0).any()
    for image, label, heat in zip(images, labels, seen, strict=True):
        expected = np.zeros((grid, grid))
        for row, rows in enumerate(squares(side, grid)):
            for column, columns in enumerate(squares(side, grid)):
                covered = image.clone()
                covered[:, rows, columns] = 0
                with torch.no_grad():
                    before, after = model(torch.stack([image, covered]))
                expected[row, column] = (before[label] - before[0]) - (after[label] - after[0])
        np.testing.assert_allclose(heat, expected, atol=1e-5 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("method", [integrated_gradients, occlusion])
def test_each_image_s_likeliest_class_on_the_whole_image_is_explained_when_none_is_named(method):
    model, images = make_cnn(num_classes=40), pictures(32)
    images = images + torch.tensor([3.0, -3.0])[:, None, None, None]
    likeliest = model(images).argmax(dim=1)
    assert len(set(likeliest.tolist())) == 2
    np.testing.assert_array_equal(method(model, images), method(model, images, Target(likeliest)))


@pytest.mark.parametrize("method", [integrated_gradients, occlusion])
def test_the_batch_size_does_not_change_the_maps(method, monkeypatch):
    model, images = make(), torch.cat([pictures(32), 1 - pictures(32)])
    labels = Target(torch.tensor([0, 1, 2, 3]))
    together = method(model, images, labels)
    monkeypatch.setattr(memory, "PART_BYTES", 3 * memory.PART_BYTES // memory.recording_batch_size(model))
    assert memory.recording_batch_size(model) == 3
    np.testing.assert_allclose(method(model, images, labels), together, atol=1e-5)


@pytest.mark.parametrize(
    ("method", "total"), [(integrated_gradients, 2 * attribution.STEPS), (occlusion, 2 * (16 + 1))]
)
def test_progress_is_reported_and_can_stop_the_work(method, total, monkeypatch):
    monkeypatch.setattr(attribution, "BATCH_MAX", 4)
    told = []
    method(make(), pictures(32), 1, progress=lambda done, of: told.append((done, of)))
    assert len(told) > 5
    assert told[-1] == (total, total)
    assert [done for done, _ in told] == sorted(done for done, _ in told)

    class Stop(BaseException):
        pass

    def stop(done: int, total: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        method(make(), pictures(32), 1, progress=stop)


@pytest.mark.parametrize("method", [integrated_gradients, occlusion])
def test_a_model_in_training_mode_is_run_in_eval_mode_and_not_changed(method):
    model, images = make(dropout=0.5), pictures(32)
    expected = method(model, images, 1)
    model.train()
    np.testing.assert_array_equal(method(model, images, 1), expected)
    assert model.training
    assert not images.requires_grad
    assert not any(parameter.requires_grad for parameter in model.parameters())
