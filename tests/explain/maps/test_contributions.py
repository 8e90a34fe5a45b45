"""Contributions of tokens, compared with the norms of the single vectors."""

import numpy as np
import pytest
import torch

from tests.explain.test_capture import make
from vit.errors import ExplainError
from vit.explain import capture, contributions
from vit.reference import ReferenceViT


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def vectors(block, entering: torch.Tensor, attention: torch.Tensor, scale: torch.Tensor | float) -> np.ndarray:
    """alpha f(x) of one image of a ViT's block, ``(h n m e)``, a head, a query and a key at a time."""
    e, heads = entering.shape[-1], block.attn.num_heads
    d = e // heads
    x = block.norm1(entering)
    found = np.zeros((heads, len(x), len(x), e))
    for head in range(heads):
        own = slice(head * d, (head + 1) * d)
        to_value = block.attn.qkv.weight[2 * e :][own].T  # e d
        bias = block.attn.qkv.bias[2 * e :][own]
        out = block.attn.proj.weight[:, own].T  # d e
        for m in range(len(x)):
            f = ((x[m] @ to_value + bias) @ out) * scale
            for n in range(len(x)):
                found[head, n, m] = (attention[head, n, m] * f).numpy()
    return found


@pytest.mark.parametrize(
    "settings", [{"pool": "cls", "stem": "patch"}, {"pool": "mean"}, {"stem": "patch", "init_values": 0.3}]
)
def test_a_contribution_is_the_norm_of_the_vector_that_a_head_carries_over(images, settings):
    model = make(depth=2, **settings)
    with torch.no_grad():
        for block in model.blocks:
            block.attn.qkv.bias.normal_()
            if model.config.layer_scale:
                block.ls1.gamma.uniform_(0.1, 2)
    record = capture(model, images)
    seen, unscaled = contributions(model, record), contributions(model, record, layer_scale=False)
    assert (seen.shape, seen.dtype) == ((2, 2, 2, 17, 17), np.float32)
    for image in range(2):
        entering = record.embedded[image]
        for depth, block in enumerate(model.blocks):
            layer = record.layers[depth]
            gamma = block.ls1.gamma if model.config.layer_scale else 1.0
            carried = vectors(block, entering, layer.attention[image], gamma)
            np.testing.assert_allclose(seen[image, depth], np.linalg.norm(carried, axis=-1), atol=1e-5)
            plain = np.linalg.norm(vectors(block, entering, layer.attention[image], 1.0), axis=-1)
            np.testing.assert_allclose(unscaled[image, depth], plain, atol=1e-5)
            # All that is carried to a token, and the projection's bias, is what the attention adds to it.
            added = carried.sum(axis=(0, 2)) + (block.attn.proj.bias * gamma).numpy()
            np.testing.assert_allclose(layer.out[image], added, atol=1e-5)
            entering = layer.tokens[image]


@pytest.mark.parametrize("more", [(), ("output",), ("scaling", "softmax"), ("scaling", "softmax", "output", "finish")])
def test_in_a_mended_course_network_they_are_what_its_own_heads_carry(images, more):
    torch.manual_seed(0)
    mended = ("projection", "mlp", *more)
    model = ReferenceViT(image_size=32, patch_size=8, embed_dim=16, mended=mended).eval().requires_grad_(False)
    record = capture(model, images)
    seen, entering = contributions(model, record), record.embedded[1]
    for depth, block in enumerate(model.blocks):
        x = block.norm1(entering)
        for head, linear in enumerate(block.attn.heads):
            for m in range(17):
                f = linear.v(x[m])
                if "scaling" not in more:
                    f = f / 8**0.5
                if "output" in more:
                    f = block.attn.proj.weight[:, head * 8 : head * 8 + 8] @ f
                expected = record.layers[depth].attention[1, head, :, m] * f.norm()
                np.testing.assert_allclose(seen[1, depth, head, :, m], expected, atol=1e-5)
        entering = record.layers[depth].tokens[1]


@pytest.mark.parametrize("mended", [(), ("softmax", "mlp"), ("projection",)])
def test_a_network_that_mixes_positions_is_refused(images, mended):
    torch.manual_seed(0)
    model = ReferenceViT(image_size=32, patch_size=8, embed_dim=16, mended=mended)
    with pytest.raises(ExplainError, match="mixes positions"):
        contributions(model, capture(model, images))
