"""One image through several networks, compared with each network alone."""

import gc
import weakref

import numpy as np
import pytest
import torch

from tests.explain.test_capture import make
from vit import ViT
from vit.cnn import CNN
from vit.config import CNNConfig
from vit.explain import chefer, token_maps
from vit.explain.recording import capture
from vit.explain.timelapse import as_shares, attention_distance, attention_entropy, make_frame, method_maps, time_lapse
from vit.reference import ReferenceViT

EPOCHS = (0, 3, 7)
SETTINGS = [{"pool": "cls", "stem": "patch"}, {"pool": "mean", "stem": "patch"}, {"pool": "mean", "stem": "conv"}]


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def snapshots(**settings) -> dict[int, ViT]:
    """Different networks, as after different epochs of a run."""
    models = {}
    for scale, epoch in enumerate(EPOCHS):
        models[epoch] = make(**settings)
        generator = torch.Generator().manual_seed(epoch)
        for block in models[epoch].blocks:
            weight = block.attn.qkv.weight
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.4 * scale)
        models[epoch].head.weight.normal_(generator=generator)
    return models


@pytest.mark.parametrize("settings", SETTINGS)
def test_each_frame_equals_the_capture_of_its_network(images, settings):
    models = snapshots(**settings)
    lapse = time_lapse(models.get, EPOCHS, images)
    assert lapse.epochs == EPOCHS
    assert lapse.attention.shape == (3, 3, 2, 17, 17)
    for place, epoch in enumerate(EPOCHS):
        record = capture(models[epoch], images[:1])
        np.testing.assert_array_equal(lapse.attention[place], record.attention[0].numpy())
        for token in (0, 7):
            np.testing.assert_array_equal(lapse.maps(token)[place], token_maps(record, token))
            np.testing.assert_array_equal(
                lapse.rows([7, token])[place, 1, ..., 1:], token_maps(record, token).reshape(3, 2, 16)
            )
    assert not np.allclose(lapse.attention[0], lapse.attention[2])


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_lens_applies_the_head_to_each_state_and_ends_with_the_prediction(images, settings):
    models = snapshots(**settings)
    lapse = time_lapse(models.get, EPOCHS, images)
    for place, model in enumerate(models.values()):
        tokens = model.embed(images[:1])
        for stage in range(4):
            if stage:
                tokens = model.blocks[stage - 1](tokens)
            normed = model.norm(tokens)[0]
            summary = normed[0] if settings["pool"] == "cls" else normed[1:].mean(dim=0)
            scores = np.exp((model.head.weight @ summary + model.head.bias).numpy().astype(float))
            np.testing.assert_allclose(lapse.lens[place, stage], scores / scores.sum(), atol=1e-5)
        np.testing.assert_allclose(lapse.probabilities[place], model(images[:1]).softmax(1)[0].numpy(), atol=1e-5)


def test_head_statistics_are_sums_over_patches_and_the_patches_they_look_at(images):
    models = snapshots(pool="cls")
    lapse = time_lapse(models.get, EPOCHS, images)
    for place, model in enumerate(models.values()):
        attention = capture(model, images).attention[0].double().numpy()
        for layer, head in np.ndindex(3, 2):
            entropies, distances = [], []
            for query in range(16):
                row = attention[layer, head, 1 + query]
                entropies.append(-sum(share * np.log(share) for share in row if share))  # 0 log 0 = 0
                patches, total = row[1:], row[1:].sum()
                away = [8 * np.hypot(query // 4 - key // 4, query % 4 - key % 4) for key in range(16)]
                distances.append(sum(share / total * far for share, far in zip(patches, away, strict=True)))
            assert lapse.entropy[place, layer, head] == pytest.approx(np.mean(entropies), abs=1e-5)
            assert lapse.distance[place, layer, head] == pytest.approx(np.mean(distances), rel=1e-5)


def test_uniform_attention_has_the_reference_values_and_a_single_link_has_zero():
    lapse = time_lapse(snapshots().get, EPOCHS[:1], torch.zeros(1, 3, 32, 32))
    even, own = np.full((17, 17), 1 / 17), np.eye(17)
    assert attention_entropy(even, 1) == pytest.approx(lapse.even_entropy)
    assert attention_distance(even, (4, 4), 1, 8) == pytest.approx(lapse.even_distance)
    assert attention_entropy(own, 1) == attention_distance(own, (4, 4), 1, 8) == 0
    # scores of weights 0 are even: before training all heads are
    np.testing.assert_allclose(lapse.entropy, lapse.even_entropy, rtol=1e-5)
    np.testing.assert_allclose(lapse.distance, lapse.even_distance, rtol=1e-5)


def test_a_method_explains_the_same_class_in_every_frame(images):
    models = snapshots()
    maps = method_maps(models.get, EPOCHS, images, chefer, 2)
    for place, model in enumerate(models.values()):
        np.testing.assert_allclose(maps[place], chefer(model, images[:1], 2)[0], rtol=1e-5)


def test_shares_of_a_map_add_up_to_one_and_keep_their_signs():
    maps = np.array([[[1.0, 3.0], [0.0, 0.0]], [[-2.0, 2.0], [4.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    shares = as_shares(maps)
    np.testing.assert_allclose(shares, [[[0.25, 0.75], [0, 0]], [[-0.25, 0.25], [0.5, 0]], [[0, 0], [0, 0]]])


def test_only_one_network_is_in_memory_at_a_time(images):
    last, counted = [], []

    def load(epoch: int) -> ViT:
        gc.collect()
        assert all(reference() is None for reference in last)
        model = make()
        last.append(weakref.ref(model))
        return model

    time_lapse(load, EPOCHS, images, progress=lambda *done: counted.append(done))
    assert counted == [(0, 3), (1, 3), (2, 3)]


def test_a_stop_raised_by_progress_ends_the_work(images):
    def stop(done: int, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    loaded = []
    with pytest.raises(KeyboardInterrupt):
        time_lapse(lambda epoch: loaded.append(epoch) or make(), EPOCHS, images, progress=stop)
    assert loaded == [0]


def test_the_course_network_has_frames_with_their_caveat_and_a_cnn_is_refused(images):
    torch.manual_seed(0)
    frame = make_frame(ReferenceViT(image_size=32, patch_size=8, embed_dim=16), images, 4)
    assert frame.epoch == 4
    assert "mixes positions" in frame.caveat
    np.testing.assert_allclose(frame.rows(0), 1 / 17, rtol=1e-5)
    assert np.isfinite(frame.entropy).all()
    with pytest.raises(TypeError, match="Grad-CAM"):
        make_frame(CNN(CNNConfig(image_size=32)), images, 0)
