"""Votes equal the direct logit attribution of TransformerLens on its ViT (make oracles)."""

import pytest
import torch

pytest.importorskip("transformer_lens", reason="make oracles installs transformer-lens", exc_type=ImportError)

from transformer_lens.model_bridge import TransformerBridge
from transformers import ViTConfig as TheirConfig
from transformers import ViTForImageClassification

from tests.helpers.published_runs import published_like
from vit import ViTConfig
from vit.explain.heads.votes import votes
from vit.explain.maps.target import Target

E, HEADS, DEPTH = 24, 3, 3


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Our network and TransformerLens' one with the same random weights; nothing is downloaded."""
    settings = {"image_size": 32, "patch_size": 8, "embed_dim": E, "depth": DEPTH, "num_heads": HEADS, "num_classes": 5}
    ours = published_like(ViTConfig(**settings, mlp_ratio=2.0, stem="patch", pool="cls", init_values=None))
    config = TheirConfig(
        image_size=32,
        patch_size=8,
        hidden_size=E,
        num_hidden_layers=DEPTH,
        num_attention_heads=HEADS,
        intermediate_size=2 * E,
        layer_norm_eps=1e-6,
        hidden_act="gelu",
        num_labels=5,
        attn_implementation="eager",
    )
    theirs, own = ViTForImageClassification(config).eval(), ours.state_dict()
    weights = {
        "vit.embeddings.cls_token": own["cls_token"],
        "vit.embeddings.position_embeddings": own["pos_embed"],
        "vit.embeddings.patch_embeddings.projection": "patch_embed.proj",
        "vit.layernorm": "norm",
        "classifier": "head",
    }
    for layer in range(DEPTH):
        there, here = f"vit.layers.{layer}", f"blocks.{layer}"
        weights |= {
            f"{there}.attention.o_proj": f"{here}.attn.proj",
            f"{there}.layernorm_before": f"{here}.norm1",
            f"{there}.layernorm_after": f"{here}.norm2",
            f"{there}.mlp.fc1": f"{here}.mlp.fc1",
            f"{there}.mlp.fc2": f"{here}.mlp.fc2",
        }
        for part, name in enumerate(("q_proj", "k_proj", "v_proj")):
            for kind in ("weight", "bias"):
                rows = own[f"{here}.attn.qkv.{kind}"][part * E : (part + 1) * E]
                weights[f"{there}.attention.{name}.{kind}"] = rows
    tensors = {}
    for name, value in weights.items():
        if isinstance(value, str):
            tensors |= {f"{name}.{kind}": own[f"{value}.{kind}"] for kind in ("weight", "bias")}
        else:
            tensors[name] = value
    theirs.load_state_dict(tensors)
    folder = tmp_path_factory.mktemp("vit")
    theirs.save_pretrained(folder)
    return ours, TransformerBridge.boot_transformers(str(folder), hf_model=theirs, device="cpu")


def test_votes_equal_transformer_lens(both):
    ours, theirs = both
    image = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits, cache = theirs.run_with_cache(image)
        torch.testing.assert_close(logits, ours(image), atol=1e-4, rtol=1e-4)
        direction = ours.norm.weight * (ours.head.weight[1] - ours.head.weight[3])
        heads = cache.apply_ln_to_stack(cache.stack_head_results(layer=-1, pos_slice=0), layer=-1, pos_slice=0)
        parts, labels = cache.decompose_resid(layer=-1, pos_slice=0, return_labels=True)
        parts = dict(zip(labels, cache.apply_ln_to_stack(parts, layer=-1, pos_slice=0) @ direction, strict=True))
    found = votes(ours, image, Target(1, 3))
    assert found.by_head()[0].ravel() == pytest.approx((heads @ direction).ravel().numpy(), abs=1e-4)
    assert found.content[0].sum() + found.positions[0].sum() == pytest.approx(float(parts["embed"]), abs=1e-4)
    for layer in range(DEPTH):
        assert found.mlps[0, layer].sum() == pytest.approx(float(parts[f"{layer}_mlp_out"]), abs=1e-4)
        attention = found.by_head()[0, layer].sum() + found.attention_bias[0, layer].sum()
        assert attention == pytest.approx(float(parts[f"{layer}_attn_out"]), abs=1e-4)
