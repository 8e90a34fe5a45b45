"""What a token is the sum of, and how many tokens a head looks at."""

import numpy as np
import pytest
import torch

from vit.config import ViTConfig
from vit.explain import capture
from vit.explain.tokens.first_look import effective_tokens, token_parts
from vit.model import ViT


@pytest.mark.parametrize(
    "settings",
    [{}, {"stem": "patch", "reg_tokens": 2}, {"class_token": False}, {"no_embed_class": True}],
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
def test_a_patch_that_there_is_not_is_refused(patch):
    model = ViT(ViTConfig(image_size=32, embed_dim=16, num_heads=2))
    with pytest.raises(ValueError, match="choose 1 to 16"):
        token_parts(model, torch.zeros(1, 3, 32, 32), patch)


def test_effective_tokens_count_those_that_share_evenly():
    rows = np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25] * 4], dtype=np.float32)
    np.testing.assert_allclose(effective_tokens(rows), [1, 2, 4], rtol=1e-6)
