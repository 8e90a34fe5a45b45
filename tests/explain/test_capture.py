"""The recorded forward pass and its maps."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from vit import ViT, ViTConfig
from vit.cnn import CNN
from vit.config import CNNConfig
from vit.explain import attention_arrays, capture, prefix_share, recompute, token_maps
from vit.reference import ReferenceViT


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def make(**settings) -> ViT:
    torch.manual_seed(0)
    model = ViT(ViTConfig(**{"image_size": 32, "embed_dim": 24, "num_heads": 2, "depth": 3} | settings))
    for block in model.blocks:
        torch.nn.init.normal_(block.attn.qkv.weight, std=0.5)
    return model.eval().requires_grad_(False)


def test_record_has_the_shapes_and_the_logits_of_the_model(images):
    model = make()
    record = capture(model, images)
    assert record.attention.shape == (2, 3, 2, 17, 17)
    assert (record.grid, record.prefix_tokens, record.normalised_over) == ((4, 4), 1, "key")
    assert (record.mixes_positions, record.caveat) == (False, "")
    assert record.layers[0].q.shape == record.layers[0].k.shape == record.layers[0].v.shape == (2, 2, 17, 12)
    assert record.layers[2].out.shape == record.layers[2].tokens.shape == (2, 17, 24)
    torch.testing.assert_close(record.logits, model(images), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(record.attention.sum(-1), torch.ones(2, 3, 2, 17))
    torch.testing.assert_close(record.attention[:, 1], record.layers[1].attention)


def test_attention_out_is_the_difference_that_the_block_adds_before_its_mlp(images):
    model = make()
    record = capture(model, images)
    block, before = model.blocks[1], record.layers[0].tokens
    after_attention = before + record.layers[1].out
    inner = block.ls2(block.mlp(block.norm2(after_attention)))
    torch.testing.assert_close(record.layers[1].tokens, after_attention + inner)


def test_a_model_in_training_mode_is_captured_in_eval_mode_and_not_changed(images):
    model = make(dropout=0.5)
    expected = capture(model, images).logits
    model.train()
    torch.testing.assert_close(capture(model, images).logits, expected)
    assert model.training


def test_graph_reaches_every_layers_attention_with_frozen_weights(images):
    record = capture(make(), images, grad=True)
    gradients = torch.autograd.grad(record.logits[:, 1].sum(), [layer.attention for layer in record.layers])
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    assert not capture(make(), images).logits.requires_grad


@pytest.mark.parametrize("model", [CNN(CNNConfig()), torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3))])
def test_a_convolutional_network_is_refused_with_a_hint_at_grad_cam(images, model):
    with pytest.raises(TypeError, match="Grad-CAM"):
        capture(model, images)


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_maps_of_a_token_are_its_rows_of_the_matrix(images, pool):
    record = capture(make(pool=pool), images)
    matrix = attention_arrays(record, image=1)
    maps = token_maps(record, 7, image=1)
    assert maps.shape == (3, 2, 4, 4)
    np.testing.assert_array_equal(maps[2, 1, 3, 2], matrix[2, 1, 7, 1 + 3 * 4 + 2])
    summary = matrix[:, :, 0] if pool == "cls" else matrix[:, :, 1:].mean(axis=2)
    np.testing.assert_allclose(token_maps(record, 0, image=1).reshape(3, 2, 16), summary[..., 1:])
    for token in (0, 7):
        total = token_maps(record, token, image=1).sum(axis=(2, 3)) + prefix_share(record, token, image=1)
        np.testing.assert_allclose(total, 1, rtol=1e-5)


def test_the_course_network_s_summary_row_is_uniform(images):
    torch.manual_seed(0)
    record = capture(ReferenceViT(image_size=32, patch_size=8, embed_dim=16), images)
    matrix = attention_arrays(record, image=1)
    np.testing.assert_array_equal(token_maps(record, 7, image=1).reshape(2, 2, 16), matrix[:, :, 7, 1:])
    np.testing.assert_allclose(matrix.mean(axis=2), 1 / 17, rtol=1e-5)
    np.testing.assert_allclose(token_maps(record, 0, image=1), 1 / 17, rtol=1e-5)
    np.testing.assert_allclose(prefix_share(record, 0, image=1), 1 / 17, rtol=1e-5)


def test_a_token_that_does_not_exist_is_refused(images):
    with pytest.raises(ValueError, match="from 1 to 16"):
        token_maps(capture(make(), images), 18)  # 17 is the class token


def test_two_threads_over_one_model_do_not_disturb_each_other(images):
    model = make()
    expected = {grad: capture(model, images).attention for grad in (False, True)}
    wrong = []

    def look(grad: bool) -> None:
        for _ in range(20):
            seen = capture(model, images, grad=grad).attention.detach()
            if not torch.equal(seen, expected[grad]):
                wrong.append(grad)

    threads = [threading.Thread(target=look, args=(grad,)) for grad in (False, True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("settings", [{}, {"pool": "mean"}, {"stem": "conv", "depth": 2}])
def test_the_captured_maps_give_the_model_s_own_logits(images, settings):
    model = make(**settings)
    record = capture(model, images)
    torch.testing.assert_close(recompute(model, images, record), model(images), atol=1e-5, rtol=1e-5)


def test_changed_maps_give_different_logits(images):
    model = make()
    record = capture(model, images)
    wrong = [replace(layer, attention=layer.attention.flip(-1)) for layer in record.layers]
    seen = recompute(model, images, replace(record, layers=tuple(wrong)))
    assert (seen - model(images)).abs().max() > 1e-3


def test_the_captured_maps_of_the_course_network_give_its_logits(images):
    torch.manual_seed(0)
    model = ReferenceViT(image_size=32, patch_size=8, embed_dim=16).eval()
    torch.testing.assert_close(recompute(model, images, capture(model, images)), model(images), atol=1e-5, rtol=1e-5)
