"""Grad-CAM, compared with a plain implementation, on models that threads share."""

import threading

import numpy as np
import pytest
import torch

from tests.explain.test_capture import make
from vit.config import CNNConfig
from vit.errors import ExplainError
from vit.explain import chefer, class_map, grad_cam, rollout, token_maps
from vit.explain.recording import MIXED_POSITIONS, capture
from vit.networks import build_model
from vit.reference import ReferenceViT


def make_cnn(**settings) -> torch.nn.Module:
    """A frozen network with changed running statistics, whose classes differ in every channel."""
    model = build_model(CNNConfig(image_size=32, **settings), seed=0)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        model(torch.randn(16, 3, 32, 32, generator=random))
        model.head.weight.normal_(generator=random)
    return model.eval().requires_grad_(False)


@pytest.fixture
def images():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def written_out(model: torch.nn.Module, images: torch.Tensor, label: int, layer: int) -> np.ndarray:
    """Selvaraju et al. (2017), eq. 1 and 2."""
    activations = model.blocks[: layer + 1](images).detach().requires_grad_()
    rest = model.blocks[layer + 1 :]
    score = model.head(rest(activations).mean(dim=(2, 3)))[:, label].sum()
    (gradient,) = torch.autograd.grad(score, activations)
    maps = []
    for activation, slope in zip(activations.detach().numpy(), gradient.numpy(), strict=True):
        weighted = sum(slope[channel].mean() * activation[channel] for channel in range(len(activation)))
        maps.append(np.maximum(weighted, 0))
    return np.stack(maps)


@pytest.mark.parametrize(("residual", "sides"), [(False, [16, 8, 4, 2]), (True, [16, 16, 16, 8, 8, 4, 4])])
def test_a_map_is_the_channels_weighted_by_their_mean_gradient(images, residual, sides):
    model, alive = make_cnn(residual=residual), 0
    for layer, side in enumerate(sides):
        maps = grad_cam(model, images, 2, layer=layer)
        assert (maps.shape, maps.dtype) == ((3, side, side), np.float32)
        np.testing.assert_allclose(maps, written_out(model, images, 2, layer), rtol=1e-3, atol=1e-7)
        alive += maps.any()
    assert alive  # in some blocks of an untrained network nothing speaks for the class
    np.testing.assert_array_equal(grad_cam(model, images, 2), grad_cam(model, images, 2, layer=len(sides) - 1))
    assert not np.allclose(grad_cam(model, images, 2), grad_cam(model, images, 3))


def test_each_image_s_likeliest_class_is_explained_when_none_is_named(images):
    model = make_cnn(num_classes=40)
    images = images + 3 * torch.tensor([[1, 0, -1], [-1, 1, 0], [0, -1, 1]])[:, :, None, None]  # three colours
    likeliest = model(images).argmax(dim=1).tolist()
    assert len(set(likeliest)) > 1
    expected = np.concatenate([grad_cam(model, images[i : i + 1], label) for i, label in enumerate(likeliest)])
    np.testing.assert_allclose(grad_cam(model, images), expected, rtol=1e-4, atol=1e-8)


def test_the_shared_model_and_the_images_are_left_as_they_were(images):
    model = make_cnn(residual=True)
    before, pixels = {name: value.clone() for name, value in model.state_dict().items()}, images.clone()
    grad_cam(model.train(), images, 1)  # in training mode batch norm would learn from the images
    assert model.training
    assert not images.requires_grad
    torch.testing.assert_close(images, pixels)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    for module in model.modules():
        hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
        assert not any(hooks)
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in model.parameters())


def test_threads_over_one_model_get_the_maps_and_predictions_of_their_own_image(images):
    model = make_cnn()
    expected = [grad_cam(model, images[i : i + 1], 2) for i in range(2)]
    logits = model(images)
    wrong = []

    def look(index: int) -> None:
        for _ in range(8):
            if not np.array_equal(grad_cam(model, images[index : index + 1], 2), expected[index]):
                wrong.append(index)

    def predict() -> None:
        for _ in range(30):
            if not torch.equal(model(images), logits):
                wrong.append("prediction")

    threads = [*(threading.Thread(target=look, args=(index,)) for index in range(2)), threading.Thread(target=predict)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_network_without_convolution_blocks_is_refused_with_an_alternative(images):
    with pytest.raises(ExplainError, match="it is a transformer: use rollout or chefer"):
        grad_cam(make(), images)


def test_the_map_for_a_class_is_the_kind_that_the_network_has(images):
    cnn, vit = make_cnn(), make()
    seen = class_map(cnn, images[1:], 3)
    assert (seen.method, seen.caveat) == ("gradcam", "")
    np.testing.assert_allclose(seen.heat, grad_cam(cnn, images, 3)[1], rtol=1e-4, atol=1e-8)
    seen = class_map(vit, images[1:], 3)
    assert (seen.method, seen.caveat) == ("chefer", "")
    np.testing.assert_allclose(seen.heat, chefer(vit, images, 3)[1], rtol=1e-4, atol=1e-8)
    torch.manual_seed(0)
    course = ReferenceViT(image_size=32, patch_size=8, embed_dim=16, mended=("softmax",))
    seen = class_map(course, images[1:], 3)
    assert (seen.method, seen.caveat) == ("raw", MIXED_POSITIONS)
    raw = token_maps(capture(course, images), 0, image=1)
    np.testing.assert_allclose(seen.heat, raw[-1].mean(axis=0), rtol=1e-5)
    with pytest.raises(TypeError, match="mixes positions"):
        rollout(course, images)
