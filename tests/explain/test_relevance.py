"""Rollout and gradient relevance against their definitions, written out."""

import numpy as np
import pytest
import torch

from tests.explain.test_capture import make
from vit.explain import capture, chefer, rollout


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_rollout_is_the_product_of_half_attention_half_identity(images, pool):
    model = make(pool=pool)
    for image, seen in zip(capture(model, images).attention.numpy(), rollout(model, images), strict=True):
        product = np.eye(17)
        for layer in image:
            product = (layer.mean(axis=0) / 2 + np.eye(17) / 2) @ product
        np.testing.assert_allclose(product.sum(axis=1), 1, rtol=1e-5)
        summary = product[0] if pool == "cls" else product[1:].mean(axis=0)
        np.testing.assert_allclose(seen, summary[1:].reshape(4, 4), rtol=1e-4)


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_chefer_follows_its_recursion_and_differs_by_class(images, pool):
    model = make(pool=pool)
    record = capture(model, images, grad=True)
    gradients = torch.autograd.grad(record.logits[:, 2].sum(), [layer.attention for layer in record.layers])
    for index in range(2):
        relevance = np.eye(17)
        for layer, gradient in zip(record.layers, gradients, strict=True):
            weighted = (gradient[index] * layer.attention[index]).detach().numpy().clip(min=0)
            relevance = relevance + weighted.mean(axis=0) @ relevance
        added = relevance - np.eye(17)
        summary = added[0] if pool == "cls" else added[1:].mean(axis=0)
        np.testing.assert_allclose(chefer(model, images, 2)[index], summary[1:].reshape(4, 4), atol=1e-6)
    assert not np.allclose(chefer(model, images, 2), chefer(model, images, 3))


def test_chefer_explains_the_likeliest_class_when_none_is_named(images):
    model = make()
    likeliest = int(capture(model, images[:1]).logits.argmax())
    np.testing.assert_array_equal(chefer(model, images[:1]), chefer(model, images[:1], likeliest))
