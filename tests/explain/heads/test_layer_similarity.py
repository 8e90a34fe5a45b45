"""CKA, compared with plain implementations of its formulas, for every kind of network."""

import numpy as np
import pytest
import torch

from tests.conftest import tiny_config
from vit import ViT
from vit.cnn import CNN
from vit.config import CNNConfig, ReferenceConfig
from vit.errors import DataError
from vit.explain.heads import layer_similarity
from vit.networks import build_model
from vit.runs.weights import CheckpointInfo


def info_of(model, image_size: int = 32) -> CheckpointInfo:
    config = tiny_config()
    half = (0.5, 0.5, 0.5)
    return CheckpointInfo(config.data.class_names, half, half, image_size, "scenes", {}, config)


def make(seed: int = 0, **settings) -> ViT:
    model = build_model(tiny_config(**settings).model, seed=seed)
    with torch.no_grad():
        for name, one in model.named_parameters():
            if one.ndim == 2:
                one.normal_(std=0.3, generator=torch.Generator().manual_seed(len(name)))
    return model.eval().requires_grad_(False)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (40, 3, 32, 32), dtype=np.uint8)


def features(seed: int, width: int) -> np.ndarray:
    shared = np.random.default_rng(0).normal(size=(30, 8))
    own = np.random.default_rng(seed).normal(size=(8, width))
    return shared @ own + 0.5 * np.random.default_rng(seed + 1).normal(size=(30, width)) + 3


def kornblith(x: np.ndarray, y: np.ndarray) -> float:
    """Kornblith et al. (2019), section 3: in features, without a Gram matrix."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    return np.linalg.norm(y.T @ x) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))


def song(k: np.ndarray, l: np.ndarray) -> float:  # noqa: E741
    """Song et al. (2012), eq. 5, as in Nguyen et al. (2021), eq. 3."""
    n, one = len(k), np.ones(len(k))
    k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))  # noqa: E741
    inner = (
        np.trace(k @ l) + (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ k @ l @ one)
    )
    return inner / (n * (n - 3))


def nguyen(x: np.ndarray, y: np.ndarray) -> float:
    k, l = x @ x.T, y @ y.T  # noqa: E741
    return song(k, l) / np.sqrt(song(k, k) * song(l, l))


def test_cka_equals_both_formulas():
    x, y = features(1, 12), features(2, 50)
    assert layer_similarity.cka(x @ x.T, y @ y.T, unbiased=False) == pytest.approx(kornblith(x, y), abs=1e-9)
    assert layer_similarity.cka(x @ x.T, y @ y.T) == pytest.approx(nguyen(x, y), abs=1e-9)


@pytest.mark.parametrize("unbiased", [True, False])
def test_cka_is_invariant_to_rotation_and_scale_but_not_to_stretching(unbiased):
    x = features(1, 12)
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(12, 12)))[0]
    turned, stretched = 7 * x @ turn - 4, x * np.geomspace(1, 100, 12)
    assert layer_similarity.cka(x @ x.T, x @ x.T, unbiased=unbiased) == pytest.approx(1)
    assert layer_similarity.cka(x @ x.T, turned @ turned.T, unbiased=unbiased) == pytest.approx(1)
    assert layer_similarity.cka(x @ x.T, stretched @ stretched.T, unbiased=unbiased) < 0.95


def test_independent_features_have_unbiased_cka_near_zero_and_high_biased_cka():
    random = np.random.default_rng(3)
    x, y = random.normal(size=(30, 2000)), random.normal(size=(30, 2000))
    assert abs(layer_similarity.cka(x @ x.T, y @ y.T)) < 0.1
    assert layer_similarity.cka(x @ x.T, y @ y.T, unbiased=False) > 0.9


def test_too_few_images_are_refused(images):
    with pytest.raises(ValueError, match="at least 4"):
        layer_similarity.cka(np.eye(3), np.eye(3))
    with pytest.raises(DataError, match="at least 10"):
        layer_similarity.grams(make(), info_of(make()), images[:9])


@pytest.mark.parametrize("settings", [{"pool": "cls"}, {"stem": "patch", "pool": "mean", "depth": 3, "num_heads": 4}])
def test_similarity_of_two_networks_equals_the_formula_on_their_recorded_tokens(images, settings):
    networks = [make(pool="cls"), make(1, **settings)]
    seen = (torch.from_numpy(images).float() / 255 - 0.5) / 0.5
    stages = []
    for model in networks:
        record: dict = {}
        model(seen, record=record)
        before, of_model = record["embedded"], [record["embedded"]]
        for layer in record["layers"]:
            of_model += [before + layer["out"], layer["tokens"]]
            before = layer["tokens"]
        stages.append([one.numpy().astype(np.float64) for one in of_model])
    first, second = (layer_similarity.grams(model, info_of(model), images) for model in networks)
    assert first.names[:3] == ("Embedding", "Layer 1 attention", "Layer 1 MLP")
    assert second.names[-1] == f"Layer {len(networks[1].blocks)} MLP"

    found = layer_similarity.similarity(first, second)
    assert found.shape == (5, 1 + 2 * len(networks[1].blocks))
    for row, x in enumerate(stages[0]):
        for column, y in enumerate(stages[1]):
            x_flat, y_flat = x.reshape(len(x), -1), y.reshape(len(y), -1)
            assert found[row, column] == pytest.approx(nguyen(x_flat, y_flat), abs=1e-5)

    found = layer_similarity.similarity(first, second, of="summary")
    x, y = stages[0][3][:, 0], stages[1][2]
    y = y[:, 0] if settings["pool"] == "cls" else y[:, 1:].mean(axis=1)
    assert found[3, 2] == pytest.approx(nguyen(x, y), abs=1e-5)


def test_a_network_compared_with_itself_is_symmetric_with_ones_on_the_diagonal(images):
    found = layer_similarity.similarity(layer_similarity.grams(make(), info_of(make()), images))
    np.testing.assert_allclose(np.diag(found), 1)
    np.testing.assert_allclose(found, found.T)


def test_a_stage_that_is_the_same_for_every_image_has_no_similarity(images):
    model = make(pool="cls")  # whose class token is the same for all before the first block
    found = layer_similarity.similarity(layer_similarity.grams(model, info_of(model), images), of="summary")
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1:, 1:]).all()
    assert layer_similarity.largest_change(found) in (1, 2, 3)
    assert layer_similarity.largest_change(np.full((1, 1), 1.0)) is None


def test_networks_of_any_kind_and_size_can_be_compared(images):
    cnn = CNN(CNNConfig(image_size=64)).eval()
    course = build_model(ReferenceConfig(image_size=32, patch_size=8, embed_dim=16), seed=0).eval()
    of_cnn = layer_similarity.grams(cnn, info_of(cnn, 64), images)
    of_course = layer_similarity.grams(course, info_of(course), images)
    assert of_cnn.names == ("Block 1", "Block 2", "Block 3", "Block 4")
    found = layer_similarity.similarity(of_cnn, of_course)
    assert found.shape == (4, 5)
    assert np.isfinite(found).all()


def test_progress_reaches_its_total_and_can_stop_the_work(images):
    told = []
    layer_similarity.grams(make(), info_of(make()), images, progress=lambda *it: told.append(it))
    assert told[-1] == (120, 120)
    assert len(told) == 6

    class Stop(BaseException):
        pass

    def stop(*_):
        raise Stop

    with pytest.raises(Stop):
        layer_similarity.grams(make(), info_of(make()), images, progress=stop)
