"""The logit lens, compared with a plain implementation."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pages.tokens.logit_lens import about_patches
from pages.tokens.shared import ImageTokens
from tests.explain.test_capture import make
from vit import ViT
from vit.config import DEPARTURES
from vit.explain import capture, prediction_stable_from, summary_lens, token_lens
from vit.reference import ReferenceViT

NETWORKS = [{"pool": "cls"}, {"pool": "mean", "stem": "patch"}, {"pool": "mean", "patch_size": 16, "stem": "conv"}]


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def trained_like(**settings) -> ViT:
    """A model whose norm and head have other weights than at initialisation, so that none can be forgotten."""
    model = make(**settings)
    for parameter in (*model.norm.parameters(), *model.head.parameters()):
        torch.nn.init.normal_(parameter, std=0.7)
    return model


def normed(model: ViT, token: np.ndarray, eps: float = 1e-6) -> np.ndarray:
    scaled = (token - token.mean()) / np.sqrt(token.var() + eps)
    return scaled * model.norm.weight.numpy() + model.norm.bias.numpy()


def answer(model: ViT, read: np.ndarray) -> np.ndarray:
    logits = model.head.weight.numpy().astype(np.float64) @ read + model.head.bias.numpy()
    raised = np.exp(logits - logits.max())
    return raised / raised.sum()


def test_with_a_norm_of_the_mean_the_patches_logits_do_not_average_to_the_answer(images):
    model = trained_like(pool="mean", stem="patch", fc_norm=True)
    for parameter in model.fc_norm.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    record = capture(model, images)
    mean = model.classify_each(record.layers[-1].tokens[:, 1:]).mean(dim=1)
    assert not torch.allclose(mean, record.logits, atol=0.1)
    view = SimpleNamespace(splits_answer=ImageTokens.splits_answer.fget(as_tokens(model, record)), record=record)
    assert "the mean of the patches' logits is not the network's answer" in about_patches(view)
    model = trained_like(pool="mean", stem="patch")
    record = capture(model, images)
    view = SimpleNamespace(splits_answer=ImageTokens.splits_answer.fget(as_tokens(model, record)), record=record)
    assert "the mean of their logits is the network's answer" in about_patches(view)


def as_tokens(model, record):
    return SimpleNamespace(run=SimpleNamespace(config=SimpleNamespace(model=model.config)), record=record)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_lens_applies_norm_pooling_and_head_to_every_state(images, network):
    model = trained_like(**network)
    record = capture(model, images)
    summary, each = summary_lens(model, record), token_lens(model, record)
    assert summary.shape == (2, 4, 5)
    assert each.shape == (2, 4, record.embedded.shape[1], 5)
    for image in range(2):
        for state, taken in enumerate([record.embedded, *(layer.tokens for layer in record.layers)]):
            tokens = [normed(model, token) for token in taken[image].numpy().astype(np.float64)]
            read = tokens[0] if network["pool"] == "cls" else np.mean(tokens[1:], axis=0)
            np.testing.assert_allclose(summary[image, state], answer(model, read), atol=1e-5)
            for place, token in enumerate(tokens):
                np.testing.assert_allclose(each[image, state, place], answer(model, token), atol=1e-5)


@pytest.mark.parametrize("network", NETWORKS)
def test_after_the_last_layer_the_lens_is_the_model_s_prediction(images, network):
    model = trained_like(**network)
    own = model(images).softmax(dim=1).numpy()
    np.testing.assert_allclose(summary_lens(model, capture(model, images))[:, -1], own, atol=1e-5)


def test_with_mean_pooling_the_logits_are_the_mean_of_the_patches_logits(images):
    model = trained_like(pool="mean")
    record = capture(model, images)
    logits = np.log(token_lens(model, record)[:, -1, 1:].astype(np.float64)).mean(axis=1)
    expected = model(images).softmax(dim=1).numpy()
    found = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("mended", "reason"),
    [((), "mixes positions"), (("projection", "mlp"), "over the queries"), (("softmax", "mlp"), "mixes positions")],
)
def test_the_course_networks_patches_are_refused_and_its_summary_is_read(images, mended, reason):
    torch.manual_seed(0)
    model = ReferenceViT(image_size=32, patch_size=8, embed_dim=16, mended=mended).requires_grad_(False)
    record = capture(model, images)
    with pytest.raises(TypeError, match=f"{reason}.*summary token"):
        token_lens(model, record)
    own = model(images).softmax(dim=1).numpy()
    np.testing.assert_allclose(summary_lens(model, record)[:, -1], own, atol=1e-5)
    before = record.embedded[0].numpy().mean(axis=0)
    np.testing.assert_allclose(summary_lens(model, record)[0, 0], answer(model, before), atol=1e-5)


def test_the_mended_course_network_has_a_lens_on_every_token(images):
    torch.manual_seed(0)
    model = ReferenceViT(image_size=32, patch_size=8, embed_dim=16, mended=DEPARTURES).requires_grad_(False)
    record = capture(model, images)
    token = normed(model, record.layers[0].tokens[1, 5].numpy().astype(np.float64), eps=1e-5)
    np.testing.assert_allclose(token_lens(model, record)[1, 1, 5], answer(model, token), atol=1e-5)


@pytest.mark.parametrize(
    ("likeliest", "state"), [([1, 1, 1], 0), ([0, 1, 1], 1), ([1, 0, 1], 2), ([2, 0, 1, 1, 1], 2), ([3], 0)]
)
def test_a_prediction_is_stable_from_the_last_change_on(likeliest, state):
    assert prediction_stable_from(np.eye(4)[likeliest]) == state
