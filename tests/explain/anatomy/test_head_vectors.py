"""The recorded vectors of a head: its attention and output follow from them."""

import pytest
import torch

from vit import ViT, ViTConfig
from vit.errors import ExplainError
from vit.explain import capture
from vit.explain.anatomy.head_vectors import head_vectors
from vit.reference import ReferenceViT


def test_attention_and_output_follow_from_the_vectors():
    torch.manual_seed(0)
    config = ViTConfig(image_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3, stem="patch", num_classes=4)
    record = capture(ViT(config), torch.randn(2, 3, 32, 32))
    found = head_vectors(record, layer=2, head=3, token=5, image=1)
    scores = torch.from_numpy(found.keys @ found.query) / 8**0.5
    assert torch.allclose(scores.softmax(0), torch.from_numpy(found.attention), atol=1e-5)
    assert torch.allclose(torch.from_numpy(found.attention @ found.values), torch.from_numpy(found.output), atol=1e-4)
    assert found.attention.tolist() == record.attention[1, 1, 2, 5].tolist()


def test_a_network_that_normalises_over_the_queries_is_refused():
    record = capture(ReferenceViT(attention="matmul"), torch.randn(1, 3, 64, 64))
    with pytest.raises(ExplainError, match="needs the queries of all tokens"):
        head_vectors(record, layer=1, head=1, token=0)
