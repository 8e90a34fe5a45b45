"""The course network, compared with the facts of its report and with its equations."""

import numpy as np
import pytest
import torch
import torchinfo

from vit.config import DEPARTURES, ReferenceConfig
from vit.errors import SettingsError
from vit.explain import attention_arrays, capture, chefer, rollout, token_rows
from vit.model import MultiHeadAttention
from vit.reference import ReferenceViT

SMALL = {"image_size": 32, "patch_size": 8, "embed_dim": 16}
RUNGS = [DEPARTURES[:count] for count in range(len(DEPARTURES) + 1)]
MENDED = [*RUNGS, *((name,) for name in DEPARTURES[1:])]
"""Every step from the course network to the standard design, and every switch alone."""


def make(attention: str = "matmul", **settings) -> ReferenceViT:
    torch.manual_seed(0)
    return ReferenceViT(attention, **SMALL | settings)


@pytest.fixture
def images():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("attention", ["matmul", "einsum"])
def test_size_and_cost_are_those_of_the_report(attention):
    with torch.device("meta"):
        model, images = ReferenceViT(attention=attention), torch.empty(16, 3, 64, 64)
        cost = torchinfo.summary(model, input_data=images, device="meta", verbose=0)
    assert sum(parameter.numel() for parameter in model.parameters()) == 52_213_253
    assert len(list(model.parameters())) == 46
    assert model.cls_token.numel() + model.pos_embed.numel() == 2_304
    assert sum(parameter.numel() for parameter in model.patch_embed.parameters()) == 98_432
    assert sum(parameter.numel() for parameter in model.blocks[1].parameters()) == 26_055_936
    assert round(cost.total_mult_adds / 1e6, 2) == 859.00


def test_the_course_network_s_weights_keep_their_names():
    block = "norm1.weight norm1.bias norm2.weight norm2.bias mlp.fc1.weight mlp.fc1.bias mlp.fc2.weight mlp.fc2.bias"
    heads = [f"attn.heads.{head}.{part}.{kind}" for head in (0, 1) for part in "qkv" for kind in ("weight", "bias")]
    names = {f"blocks.{index}.{name}" for index in (0, 1) for name in [*block.split(), *heads]}
    names |= {"cls_token", "pos_embed", "patch_embed.weight", "patch_embed.bias", "head.weight", "head.bias"}
    assert set(make().state_dict()) == names


@pytest.mark.parametrize("mended", MENDED)
def test_matmul_and_einsum_give_the_same_logits_and_gradients_with_the_same_weights(images, mended):
    models = [make("matmul", mended=mended), make("einsum", mended=mended)]
    models[1].load_state_dict(models[0].state_dict())
    first, second = (model(images) for model in models)
    torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-5)
    for logits in (first, second):
        logits.square().sum().backward()
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert one.grad.abs().sum() > 0
        torch.testing.assert_close(one.grad, other.grad, atol=1e-5, rtol=1e-5)


def written_out(block: torch.nn.Module, before: torch.Tensor, mended: tuple[str, ...], heads: int) -> tuple:
    """Compute maps and tokens of a block by the report's equations, or the standard ones where a switch is on."""
    b, n, e = before.shape
    d = e // heads
    normed = block.norm1(before)
    maps, outputs = [], []
    for index, head in enumerate(block.attn.heads):
        if "projection" in mended:
            q, k, v = (
                torch.stack([linear(normed[:, j]) for j in range(n)], dim=1) for linear in (head.q, head.k, head.v)
            )
        else:
            own = normed[:, :, index * d : (index + 1) * d].reshape(b, n * d)
            q, k, v = (linear(own).reshape(b, n, d) for linear in (head.q, head.k, head.v))
        scores = q @ k.transpose(1, 2) / (d**0.5 if "scaling" in mended else 1)
        attention = torch.nn.Softmax(dim=2 if "softmax" in mended else 1)(scores)
        maps.append(attention)
        outputs.append(attention @ v / (1 if "scaling" in mended else d**0.5))
    out = torch.cat(outputs, dim=-1)
    after = before + (block.attn.proj(out) if "output" in mended else out)
    activation = torch.nn.GELU() if "finish" in mended else torch.nn.ReLU()
    if "mlp" in mended:
        added = [block.mlp.fc2(activation(block.mlp.fc1(block.norm2(after)[:, j]))) for j in range(n)]
        return maps, after + torch.stack(added, dim=1)
    hidden = activation(block.mlp.fc1(block.norm2(after).reshape(b, -1)))
    return maps, after + block.mlp.fc2(hidden).reshape(b, n, e)


@pytest.mark.parametrize(("mended", "heads"), [*((one, 2) for one in MENDED), ((), 1), ((), 4), (DEPARTURES, 4)])
def test_a_block_follows_the_report_s_equations_and_its_switches(images, mended, heads):
    model = make(num_heads=heads, mended=mended)
    record = capture(model, images)
    maps, tokens = written_out(model.blocks[1], record.layers[0].tokens, mended, heads)
    for index, attention in enumerate(maps):
        torch.testing.assert_close(record.layers[1].attention[:, index], attention)
    torch.testing.assert_close(record.layers[1].tokens, tokens)
    last = torch.nn.functional.layer_norm(tokens, (16,)) if "finish" in mended else tokens
    torch.testing.assert_close(record.logits, model.head(last.mean(dim=1)))


@pytest.mark.parametrize("mended", MENDED)
def test_the_axis_that_sums_to_1_is_the_one_it_names_and_the_softmax_is_of_the_scores(images, mended):
    recorded = {}
    model = make(mended=mended)
    model(images, record=recorded)
    record = capture(model, images)
    over_keys = "softmax" in mended
    assert record.normalised_over == ("key" if over_keys else "query")
    assert record.mixes_positions == (not {"projection", "mlp"} <= set(mended))
    attention, ones = record.attention, torch.ones(3, 2, 2, 17)
    summed, other = (-1, -2) if over_keys else (-2, -1)
    torch.testing.assert_close(attention.sum(dim=summed), ones)
    assert not torch.allclose(attention.sum(dim=other), ones, atol=1e-3)
    for layer, seen in zip(recorded["layers"], record.layers, strict=True):
        torch.testing.assert_close(layer["scores"].softmax(dim=summed), seen.attention)
        products = seen.q @ seen.k.transpose(-1, -2)
        torch.testing.assert_close(layer["scores"], products / 8**0.5 if "scaling" in mended else products)


def test_each_switch_gives_the_weights_of_the_standard_design():
    shapes = {mended: {k: tuple(v.shape) for k, v in make(mended=mended).state_dict().items()} for mended in MENDED}
    course = shapes[()]
    assert (course["blocks.0.attn.heads.0.q.weight"], course["blocks.0.mlp.fc1.weight"]) == ((136, 136), (544, 272))
    for mended, weights in shapes.items():
        whole, token_wise = "projection" in mended, "mlp" in mended
        assert weights["blocks.1.attn.heads.1.v.weight"] == ((8, 16) if whole else (136, 136))
        assert weights["blocks.0.mlp.fc1.weight"] == ((32, 16) if token_wise else (544, 272))
        assert weights["blocks.0.mlp.fc2.weight"] == ((16, 32) if token_wise else (272, 544))
        new = {
            name for block in (0, 1) for name in (f"blocks.{block}.attn.proj.weight", f"blocks.{block}.attn.proj.bias")
        }
        expected = (new if "output" in mended else set()) | (
            {"norm.weight", "norm.bias"} if "finish" in mended else set()
        )
        assert set(weights) - set(course) == expected


@pytest.mark.parametrize("attention", ["matmul", "einsum"])
def test_with_all_switches_the_attention_equals_the_vit_s(images, attention):
    model = make(attention, mended=DEPARTURES)
    own, textbook = model.blocks[0].attn, MultiHeadAttention(embed_dim=16, num_heads=2, dropout=0.0)
    with torch.no_grad():
        for part, place in (("weight", textbook.qkv.weight), ("bias", textbook.qkv.bias)):
            place.copy_(torch.cat([getattr(getattr(head, name), part) for name in "qkv" for head in own.heads]))
    textbook.proj = own.proj
    tokens = torch.randn(3, 17, 16)
    torch.testing.assert_close(own(tokens), textbook(tokens), atol=1e-6, rtol=1e-5)


def test_with_all_switches_a_query_depends_on_its_token_only(images):
    for mended, alone in ((DEPARTURES, True), (("projection",), True), ((), False)):
        block = make(mended=mended).blocks[0]
        tokens = torch.randn(1, 17, 16, requires_grad=True)
        recorded = {}
        block(tokens, recorded)
        (gradient,) = torch.autograd.grad(recorded["q"][0, :, 5].sum(), tokens)
        touched = (gradient[0].abs().sum(dim=-1) > 0).nonzero().flatten().tolist()
        assert (touched == [5]) is alone
        (gradient,) = torch.autograd.grad(block.mlp(tokens)[0, 5].sum(), tokens)
        touched = (gradient[0].abs().sum(dim=-1) > 0).nonzero().flatten().tolist()
        assert (touched == [5]) is ("mlp" in mended)


def test_columns_of_its_maps_sum_to_1_and_rows_do_not(images):
    model = make(depth=3, num_heads=4).train()
    record = capture(model, images)
    assert (record.normalised_over, record.prefix_tokens, record.grid) == ("query", 1, (4, 4))
    assert record.attention.shape == (3, 3, 4, 17, 17)
    assert record.layers[0].q.shape == record.layers[0].v.shape == (3, 4, 17, 4)
    assert record.layers[0].out.shape == record.embedded.shape == (3, 17, 16)
    torch.testing.assert_close(record.attention.sum(dim=-2), torch.ones(3, 3, 4, 17))
    assert not torch.allclose(record.attention.sum(dim=-1), torch.ones(3, 3, 4, 17), atol=1e-3)
    torch.testing.assert_close(record.logits, model(images))
    torch.testing.assert_close(record.logits, model.head(record.layers[2].tokens.mean(dim=1)))


def test_the_graph_reaches_every_layer_s_attention(images):
    record = capture(make().requires_grad_(False), images, grad=True)
    gradients = torch.autograd.grad(record.logits[:, 1].sum(), [layer.attention for layer in record.layers])
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


@pytest.mark.parametrize("method", [rollout, chefer])
@pytest.mark.parametrize(
    ("mended", "reason"),
    [
        ((), "mixes positions"),
        (("softmax", "mlp"), "mixes positions"),
        (("softmax", "projection"), "mixes positions"),
        (("projection", "mlp"), "over the queries"),
    ],
)
def test_methods_that_follow_patches_through_layers_are_refused(images, method, mended, reason):
    with pytest.raises(TypeError, match=reason):
        method(make(mended=mended), images)


@pytest.mark.parametrize("mended", [("projection", "softmax", "mlp"), DEPARTURES])
def test_attention_can_be_followed_if_positions_are_not_mixed(images, mended):
    model = make(mended=mended)
    record = capture(model, images, grad=True)
    assert record.caveat == ""
    mean_row = token_rows(record, attention_arrays(record), 0)
    torch.testing.assert_close(torch.tensor(mean_row), record.attention[0].mean(dim=-2).detach())
    rolled, relevance = torch.eye(17), torch.eye(17)
    gradients = torch.autograd.grad(record.logits[1, 3], [layer.attention for layer in record.layers])
    for layer, gradient in zip(record.layers, gradients, strict=True):
        attention = layer.attention[1].detach()
        rolled = (attention.mean(dim=0) + torch.eye(17)) / 2 @ rolled
        relevance = relevance + (gradient[1] * attention).clamp(min=0).mean(dim=0) @ relevance
    expected = rolled.mean(dim=0)[1:].reshape(4, 4)
    torch.testing.assert_close(torch.tensor(rollout(model, images)[1]), expected)
    expected = (relevance - torch.eye(17)).mean(dim=0)[1:].reshape(4, 4)
    torch.testing.assert_close(torch.tensor(chefer(model, images, 3)[1]), expected, atol=1e-6, rtol=1e-4)
    assert not np.allclose(chefer(model, images, 3), chefer(model, images, 2))


@pytest.mark.parametrize(
    ("mended", "mixed", "over_queries"),
    [((), True, True), (("softmax",), True, False), (("projection", "mlp"), False, True), (DEPARTURES, False, False)],
)
def test_the_caveat_matches_the_switches(images, mended, mixed, over_queries):
    caveat = capture(make(mended=mended), images).caveat
    assert ("mixes positions" in caveat) is mixed
    assert ("columns of a map sum to 1" in caveat) is over_queries


def test_it_takes_any_batch_and_other_grids_and_refuses_images_of_another_size(images):
    for count in (1, 3):
        assert make(num_classes=7)(images[:count]).shape == (count, 7)
    assert ReferenceViT(image_size=48, embed_dim=16, num_heads=1, depth=1).pos_embed.shape == (1, 10, 16)
    with pytest.raises(ValueError, match=r"\(batch, 3, 32, 32\)"):
        make()(torch.zeros(1, 3, 64, 64))


def test_a_network_of_more_than_a_billion_parameters_is_refused():
    with pytest.raises(SettingsError, match="billion parameters: choose larger patches"):
        ReferenceConfig(patch_size=4)
