"""Similarity, principal components, norms and parts of tokens, compared with plain implementations."""

import numpy as np
import pytest
import torch

from tests.explain.test_capture import make
from vit.config import DEPARTURES, ViTConfig
from vit.explain import (
    Record,
    capture,
    principal_components,
    similarity_to,
    token_norms,
    token_similarity,
    token_states,
)
from vit.explain.tokens.states import effective_tokens, token_parts
from vit.model import ViT
from vit.reference import ReferenceViT

NETWORKS = [{"pool": "cls"}, {"pool": "mean", "stem": "patch"}, {"pool": "mean", "patch_size": 16, "stem": "conv"}]


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def states(record: Record) -> np.ndarray:
    """Collect ``(b l n e)`` without the tested function."""
    return np.stack([record.embedded.numpy(), *(layer.tokens.numpy() for layer in record.layers)], axis=1)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.sqrt(one @ one) / np.sqrt(other @ other))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("centre", [True, False])
def test_similarity_is_the_cosine_of_each_pair_of_tokens(images, network, centre):
    record = capture(make(**network), images)
    seen = token_similarity(record, centre=centre)
    tokens = states(record).astype(np.float64)
    assert seen.shape == (2, 4, tokens.shape[2], tokens.shape[2])
    for image in range(2):
        for state in range(4):
            taken = tokens[image, state]
            if centre:
                taken = taken - taken[1:].mean(axis=0)
            expected = [[cosine(one, other) for other in taken] for one in taken]
            np.testing.assert_allclose(seen[image, state], expected, atol=1e-5)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("centre", [True, False])
def test_a_chosen_tokens_similarity_follows_the_numbering_of_the_pages(images, network, centre):
    record = capture(make(**network), images)
    every = token_similarity(record, centre=centre)[1]
    seen = similarity_to(record, [3, 0, 1], image=1, centre=centre)
    np.testing.assert_allclose(seen[:, 0], every[:, 3], atol=1e-6)
    np.testing.assert_allclose(seen[:, 2], every[:, 1], atol=1e-6)
    np.testing.assert_allclose(similarity_to(record, [0], image=1, centre=centre)[:, 0], seen[:, 1], atol=1e-6)
    if network["pool"] == "cls":
        np.testing.assert_allclose(seen[:, 1], every[:, 0], atol=1e-6)
    else:  # the mean of the patches, which has no direction once the mean is taken out
        tokens = states(record)[1]
        expected = np.array([[cosine(taken[1:].mean(axis=0), other) for other in taken] for taken in tokens])
        if centre:
            expected -= expected[:, 1:].mean(axis=1, keepdims=True)
        np.testing.assert_allclose(seen[:, 1], expected, atol=1e-5)


def test_the_course_networks_summary_is_compared_as_the_mean_of_all_tokens(images):
    torch.manual_seed(0)
    record = capture(ReferenceViT(image_size=32, patch_size=8, embed_dim=16), images)
    tokens = states(record)[0]
    expected = [[cosine(taken.mean(axis=0), other) for other in taken] for taken in tokens]
    np.testing.assert_allclose(similarity_to(record, [0], centre=False)[:, 0], expected, atol=1e-5)


def test_a_single_patch_has_similarity_zero_after_centring(images):
    record = capture(make(patch_size=32, depth=1), images)
    np.testing.assert_array_equal(token_similarity(record)[:, :, 1], 0)
    assert principal_components(record).colours.shape == (2, 1, 1, 3)
    np.testing.assert_array_equal(principal_components(record).colours, 0.5)
    np.testing.assert_array_equal(principal_components(record).shares, 0)


@pytest.mark.parametrize("network", NETWORKS)
def test_norms_are_those_of_all_tokens_including_the_prefix(images, network):
    record = capture(make(**network), images)
    expected = [[[np.sqrt((token**2).sum()) for token in state] for state in image] for image in states(record)]
    np.testing.assert_allclose(token_norms(record), expected, rtol=1e-5)
    np.testing.assert_array_equal(token_states(record).numpy(), states(record))


@pytest.mark.parametrize("network", [*NETWORKS[:2], {"embed_dim": 8}])  # more patches than numbers in a token
def test_components_are_those_of_a_singular_value_decomposition_of_the_patches(images, network):
    record = capture(make(**network), images)
    found = principal_components(record, image=1, align=False)
    for state, tokens in enumerate(states(record)[1].astype(np.float64)):
        patches = tokens[1:] - tokens[1:].mean(axis=0)
        _, values, directions = np.linalg.svd(patches)
        np.testing.assert_allclose(found.shares[state], (values**2 / (values**2).sum())[:3], atol=1e-5)
        for component in range(3):
            expected = patches @ directions[component]
            expected = expected * np.sign(expected[np.abs(expected).argmax()])
            np.testing.assert_allclose(found.scores[state, ..., component].ravel(), expected, atol=1e-5)
            low, high = np.percentile(expected, [2, 98])
            scaled = ((expected - low) / (high - low)).clip(0, 1)
            np.testing.assert_allclose(found.colours[state, ..., component].ravel(), scaled, atol=1e-5)


def stack_of(layers: list[np.ndarray]) -> Record:
    """A record with these patch tokens ``(n e)``, one array for each state, after a class token of zeros."""
    record = capture(make(depth=len(layers) - 1, embed_dim=4, num_heads=1), torch.zeros(1, 3, 32, 32))
    tokens = [torch.from_numpy(np.vstack([np.zeros(4), layer])[None]).float() for layer in layers]
    rest = [type(old)(**vars(old) | {"tokens": new}) for old, new in zip(record.layers, tokens[1:], strict=True)]
    return Record(**vars(record) | {"embedded": tokens[0], "layers": tuple(rest)})


def test_alignment_keeps_the_colours_of_unchanged_directions():
    """Two directions that swap their order of variance, and one that changes sign, keep colour and sign."""
    random = np.random.default_rng(0)
    base = random.normal(size=(16, 4))
    base = np.linalg.qr(base - base.mean(axis=0))[0]
    record = stack_of([base * [4, 3, 2, 0.1], base * [3, 4, -2, 0.1], base * [4, 3, -2, 0.1]])
    found = principal_components(record)
    for state in (1, 2):
        for component in range(3):
            one, other = found.scores[0, ..., component].ravel(), found.scores[state, ..., component].ravel()
            assert np.corrcoef(one, other)[0, 1] > 0.99
    assert found.shares[1, 0] < found.shares[1, 1]
    alone = principal_components(record, align=False)
    assert (np.diff(alone.shares, axis=1) <= 0).all()
    assert abs(np.corrcoef(alone.scores[0, ..., 0].ravel(), alone.scores[1, ..., 0].ravel())[0, 1]) < 0.5


def test_colours_do_not_depend_on_the_sign_of_the_decomposition(images):
    record = capture(make(), images)
    turned = Record(**vars(record) | {"embedded": -record.embedded})
    one, other = (principal_components(it, align=False).scores[0] for it in (record, turned))
    peaks = np.abs(one).reshape(-1, 3).argmax(axis=0)
    for component, peak in enumerate(peaks):
        assert one[..., component].ravel()[peak] > 0
        assert other[..., component].ravel()[peak] > 0


def test_the_corrected_course_network_has_token_states(images):
    torch.manual_seed(0)
    record = capture(ReferenceViT(image_size=32, patch_size=8, embed_dim=16, mended=DEPARTURES), images)
    assert token_similarity(record).shape == (2, 3, 17, 17)
    assert principal_components(record).colours.shape == (3, 4, 4, 3)


@pytest.mark.parametrize(
    "settings",
    [{}, {"stem": "patch", "reg_tokens": 2}, {"class_token": False, "pool": "mean"}, {"no_embed_class": True}],
    ids=["plain", "registers", "no class token", "patches' places alone"],
)
def test_the_parts_of_a_token_sum_to_what_enters_the_first_block(settings):
    model = ViT(ViTConfig(image_size=32, embed_dim=16, num_heads=2, **settings)).eval()
    images = torch.randn(2, 3, 32, 32)
    embedded = capture(model, images).embedded[0, model.num_prefix_tokens :]
    for patch in (1, 16):
        parts = token_parts(model, images, patch)
        np.testing.assert_allclose(parts.values[0] + parts.values[1], parts.values[2], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(parts.values[2], embedded[patch - 1].numpy(), rtol=1e-5, atol=1e-6)
        sizes = np.abs(parts.values).mean(axis=1)
        assert parts.place_share == pytest.approx(sizes[1] / sizes[0], rel=1e-5)


@pytest.mark.parametrize("patch", [0, 17])
def test_a_patch_that_does_not_exist_is_refused(patch):
    model = ViT(ViTConfig(image_size=32, embed_dim=16, num_heads=2))
    with pytest.raises(ValueError, match="choose 1 to 16"):
        token_parts(model, torch.zeros(1, 3, 32, 32), patch)


def test_effective_tokens_of_uniform_attention_are_their_number():
    rows = np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25] * 4], dtype=np.float32)
    np.testing.assert_allclose(effective_tokens(rows), [1, 2, 4], rtol=1e-6)
