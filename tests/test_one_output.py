"""Networks with a single output: a number, no classes."""

import numpy as np
import pytest
import torch

from vit import ViT, ViTConfig
from vit.classes import class_names_of, require_classes
from vit.config import DataConfig, RunConfig
from vit.errors import ExplainError
from vit.evaluation import predict, single_outputs
from vit.explain import capture, chefer, class_probabilities, occlusion
from vit.runs.weights import CheckpointInfo


def regression() -> tuple[ViT, CheckpointInfo]:
    torch.manual_seed(0)
    config = ViTConfig(image_size=32, embed_dim=24, num_heads=2, depth=2, num_classes=1)
    run = RunConfig(model=config, data=DataConfig(source="", image_size=32))
    info = CheckpointInfo(class_names_of(run), (0.5,) * 3, (0.5,) * 3, 32, "", {}, run)
    return ViT(config).eval().requires_grad_(False), info


def test_a_single_output_is_a_number_and_has_no_class_and_no_probability():
    model, info = regression()
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    images = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
    assert info.class_names == ()
    assert class_probabilities(model, capture(model, images).logits).shape == (1, 0)
    assert single_outputs(model, info, [picture])[0] == pytest.approx(float(model(images)), abs=1e-5)
    for refused in (lambda: predict(model, info, [picture]), lambda: require_classes(model.config)):
        with pytest.raises(ExplainError, match="a single output, a number"):
            refused()


def test_relevance_maps_explain_the_number():
    model, _ = regression()
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert chefer(model, images).any()
    assert occlusion(model, images, 0).any()
