"""The arithmetic of a head: every step equals the value that the model records."""

import numpy as np
import pytest
import torch

from vit.cnn import CNN
from vit.config import DEPARTURES, CNNConfig, ReferenceConfig, ViTConfig
from vit.explain.anatomy.arithmetic import head_arithmetic
from vit.networks import build_model

SMALL = {"image_size": 32, "patch_size": 8, "embed_dim": 16}
CONFIGS = [
    ViTConfig(**SMALL, depth=2, num_heads=2, stem="patch"),
    ViTConfig(**SMALL, depth=3, num_heads=4, stem="conv", pool="mean", dropout=0.3, drop_path=0.2),
    ReferenceConfig(**SMALL, num_heads=1, depth=1),
    ReferenceConfig(**SMALL, num_heads=4, attention="einsum"),
    *(ReferenceConfig(**SMALL, mended=DEPARTURES[:count]) for count in range(1, len(DEPARTURES) + 1)),
    *(ReferenceConfig(**SMALL, mended=(name,)) for name in DEPARTURES[1:]),
]


def trained_like(config) -> torch.nn.Module:
    """A model in training mode, without weights that are exactly zero or one."""
    model = build_model(config, seed=0)
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model.train()


def equal(value: np.ndarray, expected: torch.Tensor) -> None:
    np.testing.assert_allclose(value, expected.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "config", CONFIGS, ids=lambda config: f"{config.name}-{'-'.join(getattr(config, 'mended', ()))}"
)
def test_every_step_equals_the_recorded_value(config):
    model = trained_like(config)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    record: dict = {}
    with torch.no_grad():
        model.eval()(images, record=record)
    model.train()
    for layer in range(1, config.depth + 1):
        recorded = {name: value[0] for name, value in record["layers"][layer - 1].items()}
        before = record["embedded"][0] if layer == 1 else record["layers"][layer - 2]["tokens"][0]
        for head in range(1, config.num_heads + 1):
            steps = {step.name: step for step in head_arithmetic(model, images, layer=layer, head=head, token=3)}
            equal(steps["tokens"].value, before)
            equal(steps["norm1"].value, model.blocks[layer - 1].norm1(before).detach())
            for name in ("q", "k", "v", "attention"):
                equal(steps[name].value, recorded[name][head - 1])
            equal(steps["scores" if "scores" in steps else "product"].value, recorded["scores"][head - 1])
            equal(steps["head" if "head" in steps else "weighted"].value, recorded["heads"][head - 1])
            last = next(name for name in ("scale", "out", "heads") if name in steps)
            equal(steps[last].value, recorded["out"])
            equal(steps["residual"].value, before + recorded["out"])
            equal(steps["layer_tokens"].value, recorded["tokens"])


@pytest.mark.parametrize("config", [CONFIGS[0], CONFIGS[1], CONFIGS[3]], ids=lambda config: config.name)
def test_the_first_layer_starts_with_the_patches_and_the_embedding(config):
    model = trained_like(config)
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    steps = {step.name: step for step in head_arithmetic(model, images, layer=1, head=1)}
    with torch.no_grad():
        own = model.patch_embed(images)
    own = own if own.ndim == 3 else own.flatten(2).transpose(1, 2)
    equal(steps["embedded_patches"].value, own[0])
    if getattr(config, "stem", "patch") == "conv":
        assert "patches" not in steps
        assert "convolutional stem" in steps["embedded_patches"].words
    else:
        patch = images[0, :, 8:16, 16:24].reshape(-1)  # second row, third column
        equal(steps["patches"].value[6], patch)
    assert "patches" not in {step.name for step in head_arithmetic(model, images, layer=2, head=1)}


def test_each_value_has_the_shape_of_its_letters():
    config = ViTConfig(**SMALL, depth=1, num_heads=2, stem="patch")
    sizes = {"(r w)": 16, "(c p1 p2)": 192, "n": 17, "m": 17, "e": 16, "d": 8, "(h d)": 16}
    for model_config in (config, ReferenceConfig(**SMALL)):
        for step in head_arithmetic(build_model(model_config), torch.zeros(1, 3, 32, 32), layer=1, head=2):
            assert step.value.shape == tuple(sizes[axis] for axis in step.axes), step.name


def test_the_steps_of_the_course_network_include_its_departures():
    images = torch.randn(1, 3, 32, 32)
    course = "norm1 slice q k v product attention weighted head heads residual layer_tokens"
    textbook = "norm1 q k v product scores attention weighted heads out residual layer_tokens"
    scaled = textbook.replace("out", "out scale")
    for config, names in (
        (ReferenceConfig(**SMALL), course),
        (ViTConfig(**SMALL, stem="patch"), textbook),
        (ViTConfig(**SMALL), scaled),
    ):
        steps = [step.name for step in head_arithmetic(build_model(config), images, layer=2, head=1)]
        assert steps == ["tokens", *names.split()]


@pytest.mark.parametrize("token", [0, 1, 16])
def test_a_worked_number_belongs_to_the_chosen_token(token):
    model = trained_like(CONFIGS[0])
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    for step in head_arithmetic(model, images, layer=2, head=2, token=token):
        if step.name in ("norm1", "residual", "layer_tokens", "out", "weighted"):
            assert step.worked.endswith(f"= {step.value[token, 0]:.3g}"), step.name
        if step.name == "attention":
            assert step.worked.endswith(f"= {step.value[token].max():.3g}")


def test_a_network_without_attention_is_refused():
    with pytest.raises(TypeError, match="no attention"):
        head_arithmetic(CNN(CNNConfig()), torch.zeros(1, 3, 64, 64), layer=1, head=1)


@pytest.mark.parametrize(
    "place", [{"layer": 3, "head": 1}, {"layer": 1, "head": 0}, {"layer": 1, "head": 1, "token": 17}]
)
def test_a_layer_head_or_token_that_does_not_exist_is_refused(place):
    with pytest.raises(ValueError, match="does not exist; choose"):
        head_arithmetic(build_model(CONFIGS[0]), torch.zeros(1, 3, 32, 32), **place)
