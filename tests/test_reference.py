"""The course network against the facts of its report, and against its own equations written out."""

import pytest
import torch
import torchinfo

from vit.config import ReferenceConfig
from vit.errors import SettingsError
from vit.explain import capture, chefer, rollout
from vit.reference import ReferenceViT

SMALL = {"image_size": 32, "patch_size": 8, "embed_dim": 16}


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


def test_matmul_and_einsum_give_the_same_logits_and_gradients_with_the_same_weights(images):
    models = [make("matmul"), make("einsum")]
    models[1].load_state_dict(models[0].state_dict())
    first, second = (model(images) for model in models)
    torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-5)
    for logits in (first, second):
        logits.square().sum().backward()
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert one.grad.abs().sum() > 0
        torch.testing.assert_close(one.grad, other.grad, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_a_block_is_the_report_s_equations(images, heads):
    record = capture(make(num_heads=heads), images)
    block, before, d = make(num_heads=heads).blocks[1], record.layers[0].tokens, 16 // heads
    normed = block.norm1(before)
    outputs = []
    for index, head in enumerate(block.attn.heads):
        own = normed[:, :, index * d : (index + 1) * d].reshape(3, 17 * d)
        q, k, v = (linear(own).reshape(3, 17, d) for linear in (head.q, head.k, head.v))
        attention = torch.nn.Softmax(dim=1)(q @ k.transpose(1, 2))
        torch.testing.assert_close(record.layers[1].attention[:, index], attention)
        outputs.append(attention @ v / d**0.5)
    after = before + torch.cat(outputs, dim=-1)
    hidden = torch.relu(block.mlp.fc1(block.norm2(after).reshape(3, -1)))
    torch.testing.assert_close(record.layers[1].tokens, after + block.mlp.fc2(hidden).reshape(3, 17, 16))


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
def test_it_refuses_what_follows_patches_from_layer_to_layer(images, method):
    with pytest.raises(TypeError, match="mixes positions"):
        method(make(), images)


def test_it_takes_any_batch_and_other_grids_and_refuses_images_of_another_size(images):
    for count in (1, 3):
        assert make(num_classes=7)(images[:count]).shape == (count, 7)
    assert ReferenceViT(image_size=48, embed_dim=16, num_heads=1, depth=1).pos_embed.shape == (1, 10, 16)
    with pytest.raises(ValueError, match=r"\(batch, 3, 32, 32\)"):
        make()(torch.zeros(1, 3, 64, 64))


def test_a_network_beyond_a_billion_parameters_is_refused_in_a_sentence():
    with pytest.raises(SettingsError, match="billion parameters: choose larger patches"):
        ReferenceConfig(patch_size=4)
