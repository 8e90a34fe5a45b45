"""Each attention-based map, compared with a plain implementation of its definition."""

import numpy as np
import pytest
import torch

from tests.explain.maps.test_gradcam import make_cnn
from tests.explain.test_capture import make
from vit.config import DEPARTURES
from vit.edits import BlockEdit
from vit.errors import ExplainError
from vit.explain import (
    METHODS,
    Target,
    attention_gradient,
    capture,
    chefer,
    grad_cam,
    gradient_rollout,
    last_attention,
    methods_for,
    reason_unavailable,
    relevance_maps,
    rollout,
    token_grad_cam,
)
from vit.explain.maps.attention import leave_out_smallest
from vit.explain.passes import memory
from vit.reference import ReferenceViT

KINDS = pytest.mark.parametrize(
    "settings",
    [{"pool": "cls", "stem": "patch"}, {"pool": "mean"}, {"pool": "mean", "stem": "patch", "depth": 1}],
    ids=str,
)


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def summary(model, matrix: np.ndarray) -> np.ndarray:
    """The rows that the head reads, without the class token, as a map."""
    row = matrix[0] if model.pool == "cls" else matrix[1:].mean(axis=0)
    return row[1:].reshape(4, 4)


def attentions_of(model, image: torch.Tensor) -> list[np.ndarray]:
    """Of one image, ``(h n m)`` by layer."""
    return list(capture(model, image[None]).attention[0].double().numpy())


def gradients_of(model, image: torch.Tensor, label: int, against: int | None = None) -> list[np.ndarray]:
    """Of one image's score with respect to its attention, ``(h n m)`` by layer."""
    record = capture(model, image[None], grad=True)
    score = record.logits[0, label] - (0 if against is None else record.logits[0, against])
    layers = [layer.attention for layer in record.layers]
    return [gradient[0].double().numpy() for gradient in torch.autograd.grad(score, layers)]


def without_smallest(fused: np.ndarray, share: float) -> np.ndarray:
    flat = fused.ravel().copy()
    for place in np.argsort(flat)[: int(share * flat.size)]:
        if place:
            flat[place] = 0
    return flat.reshape(fused.shape)


@KINDS
def test_the_last_layer_s_attention_is_its_mean_over_heads(images, settings):
    model = make(**settings)
    for image, seen in zip(images, last_attention(model, images), strict=True):
        np.testing.assert_allclose(seen, summary(model, attentions_of(model, image)[-1].mean(axis=0)), atol=1e-6)


@KINDS
def test_rollout_is_the_product_of_half_attention_half_identity(images, settings):
    model = make(**settings)
    for image, seen in zip(images, rollout(model, images), strict=True):
        product = np.eye(17)
        for layer in attentions_of(model, image):
            product = (layer.mean(axis=0) / 2 + np.eye(17) / 2) @ product
        np.testing.assert_allclose(product.sum(axis=1), 1, rtol=1e-5)
        np.testing.assert_allclose(seen, summary(model, product), rtol=1e-5)


@KINDS
@pytest.mark.parametrize("fusion", ["mean", "max", "min"])
@pytest.mark.parametrize("discard", [0.0, 0.9])
def test_rollout_combines_heads_drops_the_smallest_weights_and_normalises_rows(images, settings, fusion, discard):
    model = make(**settings)
    for image, seen in zip(images, rollout(model, images, fusion=fusion, discard=discard), strict=True):
        product = np.eye(17)
        for layer in attentions_of(model, image):
            fused = without_smallest(getattr(layer, fusion)(axis=0), discard)
            mixed = (fused + np.eye(17)) / 2
            product = (mixed / mixed.sum(axis=1, keepdims=True)) @ product
        np.testing.assert_allclose(product.sum(axis=1), 1, rtol=1e-5)
        np.testing.assert_allclose(seen, summary(model, product), atol=1e-6)


def test_the_smallest_weights_of_each_image_are_dropped_except_the_first_token_s_own():
    random = torch.rand(2, 17, 17, generator=torch.Generator().manual_seed(0)) + 0.1
    random[:, 0, 0] = 1e-3
    kept = leave_out_smallest(random, 0.5)
    for before, after in zip(random, kept, strict=True):
        assert after[0, 0] == before[0, 0]
        assert (after == 0).sum() == 143  # half of 289, less the one that is kept
        assert before[after == 0].max() < before[after > 0][1:].min()


@pytest.mark.parametrize(
    "wrong", [{"fusion": "median"}, {"discard": 1.0}, {"discard": -0.1}, {"discard": float("nan")}]
)
def test_invalid_options_are_refused(images, wrong):
    with pytest.raises(ValueError, match="choose"):
        rollout(make(), images, **wrong)


@KINDS
def test_chefer_follows_its_recursion_and_differs_by_class(images, settings):
    model = make(**settings)
    seen = chefer(model, images, Target(2, against=1))
    for image, heat in zip(images, seen, strict=True):
        relevance = np.eye(17)
        for layer, gradient in zip(attentions_of(model, image), gradients_of(model, image, 2, 1), strict=True):
            relevance = relevance + (gradient * layer).clip(min=0).mean(axis=0) @ relevance
        np.testing.assert_allclose(heat, summary(model, relevance - np.eye(17)), atol=1e-6)
    assert not np.allclose(seen, chefer(model, images, 2))
    assert not np.allclose(chefer(model, images, 2), chefer(model, images, 3))


def test_chefer_explains_the_likeliest_class_when_none_is_named(images):
    model = make()
    likeliest = int(capture(model, images[:1]).logits.argmax())
    np.testing.assert_array_equal(chefer(model, images[:1]), chefer(model, images[:1], likeliest))


@KINDS
def test_attention_times_gradient_is_that_of_the_last_layer(images, settings):
    model = make(**settings)
    for image, seen in zip(images, attention_gradient(model, images, 2), strict=True):
        weighted = gradients_of(model, image, 2)[-1] * attentions_of(model, image)[-1]
        np.testing.assert_allclose(seen, summary(model, weighted.clip(min=0).mean(axis=0)), atol=1e-7, rtol=1e-5)


def test_the_gradient_equals_a_finite_difference_of_the_score(images):
    model = make(pool="cls", stem="patch", depth=2).double()
    record: dict = {}
    model(images[:1].double(), record=record)
    attention, step = record["layers"][1]["attention"], 1e-6
    links = torch.eye(2 * 17 * 17, dtype=torch.double).view(-1, 2, 17, 17)  # one link of one head in each image
    scores = []
    for sign in (1, -1):
        edit = BlockEdit(pattern=attention + sign * step * links, replaced=torch.ones(()))
        logits = model(images[:1].double().expand(len(links), -1, -1, -1), edits={1: edit})
        scores.append(logits[:, 2] - logits[:, 0])
    gradient = ((scores[0] - scores[1]) / (2 * step)).view(2, 17, 17)
    expected = (gradient * attention[0]).clamp(min=0).mean(dim=0).detach().numpy()
    seen = attention_gradient(model.float(), images[:1], Target(2, against=0))[0]
    np.testing.assert_allclose(seen, summary(model, expected), atol=1e-5 * expected.max())


@KINDS
@pytest.mark.parametrize("discard", [0.0, 0.5])
def test_gradient_rollout_is_the_product_of_positive_weights_without_the_identity_path(images, settings, discard):
    model = make(**settings)
    for image, seen in zip(images, gradient_rollout(model, images, 2, discard=discard), strict=True):
        product = stays = np.eye(17)
        for layer, gradient in zip(attentions_of(model, image), gradients_of(model, image, 2), strict=True):
            fused = without_smallest((gradient * layer).mean(axis=0).clip(min=0), discard)
            mixed = (fused + np.eye(17)) / 2
            sums = mixed.sum(axis=1, keepdims=True)
            product, stays = (mixed / sums) @ product, (np.eye(17) / 2 / sums) @ stays
        if model.pool == "cls":
            assert not summary(model, stays).any()  # there it is vit-explain's map
        expected = summary(model, product - stays)
        assert expected.max() > 0
        np.testing.assert_allclose(seen, expected, atol=1e-5 * expected.max())


@KINDS
def test_grad_cam_of_a_transformer_weighs_the_channels_that_enter_its_last_block(images, settings):
    model = make(**settings)
    with torch.no_grad():
        model.head.weight.normal_(generator=torch.Generator().manual_seed(1))
    for image, seen in zip(images, token_grad_cam(model, images, Target(2, against=4)), strict=True):
        tokens = model.embed(image[None])
        for block in list(model.blocks)[:-1]:
            tokens = block(tokens)
        tokens = tokens.detach().requires_grad_()
        logits = model.classify(model.blocks[-1](tokens))[0]
        (gradient,) = torch.autograd.grad(logits[2] - logits[4], tokens)
        values, slopes = tokens.detach().numpy()[0, 1:], gradient.numpy()[0, 1:]
        expected = sum(slopes[:, channel].mean() * values[:, channel] for channel in range(values.shape[1]))
        np.testing.assert_allclose(seen.ravel(), np.maximum(expected, 0), atol=1e-5 * np.abs(expected).max())


def test_maps_of_a_batch_equal_those_of_single_images(images, monkeypatch):
    model = make()
    images = torch.cat([images, images.flip(0) + 1])
    labels = torch.tensor([3, 0, 2, 2])
    together = relevance_maps(model, images, Target(labels, against=1))
    monkeypatch.setattr(memory, "PART_BYTES", 3 * memory.PART_BYTES // memory.recording_batch_size(model))
    assert memory.recording_batch_size(model) == 3
    in_parts = relevance_maps(model, images, Target(labels, against=1))
    for name, maps in together.items():
        assert maps.shape == (4, 4, 4)
        np.testing.assert_allclose(in_parts[name], maps, atol=1e-6, err_msg=name)
        for index, label in enumerate(labels.tolist()):
            alone = METHODS[name].function(model, images[index : index + 1], Target(label, against=1))
            np.testing.assert_allclose(maps[index], alone[0], atol=1e-6, err_msg=name)


def test_the_shared_model_is_not_changed(images):
    model = make().train()
    relevance_maps(model, images, 1)
    assert model.training
    assert not images.requires_grad
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in model.parameters())


def course(*mended: str) -> ReferenceViT:
    torch.manual_seed(0)
    return ReferenceViT(image_size=32, patch_size=8, embed_dim=16, mended=mended).eval().requires_grad_(False)


@pytest.mark.parametrize(
    "model",
    [
        make(depth=2),
        make_cnn(),
        make_cnn(residual=True),
        course(),
        course("softmax", "mlp"),
        course("projection", "mlp"),
        course("projection", "mlp", "softmax"),
        course(*DEPARTURES),
    ],
    ids=lambda model: model.config.title,
)
def test_methods_for_lists_the_available_methods(images, model):
    offered = methods_for(model)
    assert offered == methods_for(model.config)
    assert (reason_unavailable(model) == "") is (len(offered) == len(METHODS))
    for name, method in METHODS.items():
        if name in offered:
            heat = method.function(model, images, Target(1, against=2))
            assert (heat.ndim, heat.shape[0], heat.dtype) == (3, 2, np.float32)
            assert np.isfinite(heat).all()
            assert method.signed or (heat >= 0).all()
            other = method.function(model, images, Target(3))
            assert method.for_class or np.array_equal(heat, other)
        else:
            with pytest.raises(ExplainError):
                method.function(model, images, Target(1))


def test_a_convolutional_network_s_grad_cam_takes_two_classes_too(images):
    model = make_cnn()
    activations = model.blocks(images[:1]).detach().requires_grad_()
    logits = model.head(activations.mean(dim=(2, 3)))[0]
    (gradient,) = torch.autograd.grad(logits[2] - logits[3], activations)
    expected = (gradient.mean(dim=(2, 3), keepdim=True) * activations).sum(dim=1).clamp(min=0).detach().numpy()
    np.testing.assert_allclose(grad_cam(model, images, Target(2, against=3))[:1], expected, atol=1e-5, rtol=1e-5)
