"""Filters, their principal components, and the similarity of positions."""

import numpy as np
import pytest
import torch

from vit.cnn import CNN
from vit.config import CNNConfig, ReferenceConfig, ViTConfig
from vit.explain.anatomy.filters import (
    filter_sheet,
    first_filters,
    patch_filters,
    position_similarity,
    principal_components,
)
from vit.networks import build_model

SMALL = {"image_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 1}


def norms(filters: np.ndarray) -> np.ndarray:
    return np.linalg.norm(filters.reshape(len(filters), -1), axis=1)


@pytest.mark.parametrize("config", [ViTConfig(**SMALL, stem="patch"), ReferenceConfig(**SMALL)], ids=lambda it: it.name)
def test_patch_filters_are_the_embedding_s_weights_by_descending_norm(config):
    model = build_model(config, seed=0)
    weight = getattr(model.patch_embed, "proj", model.patch_embed).weight.detach().numpy()
    filters = patch_filters(model)
    assert filters.shape == (16, 3, 8, 8)
    np.testing.assert_allclose(filters, weight[np.argsort(-norms(weight))], atol=1e-6)


@pytest.mark.parametrize("config", [ViTConfig(**SMALL, stem="conv"), CNNConfig(), CNNConfig(residual=True)], ids=str)
def test_the_first_convolution_s_filters_are_those_that_it_applies(config):
    model = build_model(config, seed=0)
    layer = next(module for module in model.modules() if isinstance(module, torch.nn.Conv2d))
    images = torch.randn(1, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        answers = layer(images)[0, :, 2, 3].numpy()
    by_hand = (first_filters(model) * images[0, :, 1:4, 2:5].numpy()).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(np.sort(by_hand), np.sort(answers), atol=1e-5)


def test_networks_without_patches_or_positions_are_refused():
    with pytest.raises(TypeError, match="convolutional stem"):
        patch_filters(build_model(ViTConfig(**SMALL, stem="conv")))
    with pytest.raises(TypeError, match="no patch filters"):
        patch_filters(CNN(CNNConfig()))
    with pytest.raises(TypeError, match="no position embedding"):
        position_similarity(CNN(CNNConfig()))


def test_principal_components_reconstruct_the_filters():
    random = np.random.default_rng(0)
    base = np.linalg.qr(random.normal(size=(48, 3)))[0].T
    filters = (random.normal(size=(20, 3)) * (5, 2, 1)) @ base
    components, shares = principal_components(filters.reshape(20, 3, 4, 4))
    assert components.shape == (19, 3, 4, 4)
    flat = components[:3].reshape(3, -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(3), atol=1e-9)
    centred = filters - filters.mean(axis=0)
    np.testing.assert_allclose(centred @ flat.T @ flat, centred, atol=1e-9)
    assert shares[:3].sum() == pytest.approx(1)
    assert (np.diff(shares) <= 1e-12).all()
    assert len(principal_components(random.normal(size=(64, 3, 8, 8)))[0]) == 28


def test_similarity_is_1_with_itself_and_follows_the_embedding():
    model = build_model(ViTConfig(**SMALL), seed=0)
    model.pos_embed.data[0, 1] = 3 * model.pos_embed.data[0, 7]  # patch r1 c1 as r2 c3, the class token left alone
    similarity = position_similarity(model)
    assert similarity.shape == (4, 4, 4, 4)
    np.testing.assert_allclose(np.diag(similarity.reshape(16, 16)), 1, atol=1e-6)
    np.testing.assert_allclose(similarity, similarity.transpose(2, 3, 0, 1), atol=1e-6)
    assert similarity[0, 0, 1, 2] == pytest.approx(1, abs=1e-6)
    assert np.abs(similarity).max() <= 1 + 1e-6


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_sheet_shows_zero_as_grey_and_the_strongest_weight_fully(channels):
    filters = np.zeros((5, channels, 2, 2), dtype=np.float32)
    filters[3, :, 0, 1] = -0.01
    pixels = np.asarray(filter_sheet(filters, columns=3, side=8))
    assert pixels.shape == (24, 36, 4)  # tiles of 8 with gaps of one filter pixel, 4
    assert set(pixels[0, 0, :3]) == {128}
    assert list(pixels[12 + 1, 5]) == [0, 0, 0, 255]  # row 2 of the sheet, top right of its first tile
    assert pixels[0, 9, 3] == 0
