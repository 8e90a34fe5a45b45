"""The model, compared with its equation, with timm, and with its own record."""

import pytest
import timm
import torch

from vit import ViT, ViTConfig
from vit.errors import SettingsError
from vit.model import StandardisedConv2d, fused_attention, interpolate_positions


def make(**settings) -> ViT:
    torch.manual_seed(0)
    model = ViT(
        ViTConfig(**{"image_size": 32, "patch_size": 8, "embed_dim": 48, "num_heads": 3, "depth": 3} | settings)
    )
    for parameter in model.parameters():  # weights as large as trained ones, so that a wrong path shows
        torch.nn.init.normal_(parameter, std=0.15)
    return model.eval()


@pytest.mark.parametrize("stem", ["patch", "conv"])
@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_recording_changes_no_logit(stem, pool):
    model, images = make(stem=stem, pool=pool), torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(model(images), model(images, record={}), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("settings", [{"stem": "patch"}, {"stem": "conv", "drop_path": 0.5}, {"depth": 1}])
def test_the_last_block_computes_only_the_token_that_is_read_with_the_gradients_of_all(settings):
    model, images = make(pool="cls", **settings).train(), torch.randn(4, 3, 32, 32)
    outputs, gradients = [], []
    model.blocks[-1].register_forward_hook(lambda module, inputs, output: outputs.append(output.shape[1]))
    for record in (None, {}):
        model.zero_grad()
        torch.manual_seed(1)
        model(images, record=record).logsumexp(dim=1).square().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert outputs == [1, 17]
    for lean, whole in zip(*gradients, strict=True):
        torch.testing.assert_close(lean, whole, atol=1e-4, rtol=1e-3)


def test_recorded_attention_is_equation_one():
    model, record = make(), {}
    model(torch.randn(2, 3, 32, 32), record=record)
    for layer in record["layers"]:
        q, k, v = layer["q"], layer["k"], layer["v"]
        weights = torch.softmax(q @ k.transpose(-2, -1) / 16**0.5, dim=-1)
        torch.testing.assert_close(layer["attention"], weights, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(layer["heads"], weights @ v, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(layer["attention"].sum(-1), torch.ones(2, 3, 17))


def timm_model(pool: str) -> torch.nn.Module:
    pooling = {"cls": {"global_pool": "token"}, "mean": {"global_pool": "avg", "fc_norm": False}}[pool]
    return timm.models.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=48, depth=3, num_heads=3, num_classes=5, mlp_ratio=2.0, **pooling
    ).eval()


def timm_attention(model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return timm's attention weights of each block from its unfused path: (b depth h n m)."""
    seen = []
    for block in model.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_hook(lambda module, inputs, output: seen.append(output))
    model(images)
    return torch.stack(seen, dim=1)


def test_attention_is_computed_in_float32_under_autocast_on_a_cpu():
    q, k, v = torch.randn(3, 2, 4, 17, 8).bfloat16().unbind(0)
    expected = (q.float() @ k.float().mT / 8**0.5).softmax(dim=-1) @ v.float()
    with torch.autocast("cpu", torch.bfloat16):
        heads = fused_attention(q, k, v)
    assert heads.dtype == torch.float32
    torch.testing.assert_close(heads, expected, atol=1e-5, rtol=1e-5)
    assert fused_attention(q, k, v).dtype == torch.bfloat16  # a network in bfloat16 stays so


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_weights_go_into_timm_and_back_with_equal_logits_and_attention(pool):
    from vit.explain import capture

    ours, theirs, images = make(stem="patch", pool=pool), timm_model(pool), torch.randn(3, 3, 32, 32)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(
            capture(ours, images).attention, timm_attention(theirs, images), atol=1e-5, rtol=1e-4
        )

        for parameter in theirs.parameters():
            torch.nn.init.normal_(parameter, std=0.15)
        ours.load_state_dict(theirs.state_dict(), strict=True)
        torch.testing.assert_close(ours(images), theirs(images), atol=1e-5, rtol=1e-4)


def test_a_patch_affects_only_its_own_embedded_token():
    embedding, images = make(stem="patch").patch_embed, torch.randn(1, 3, 32, 32)
    changed = images.clone()
    changed[0, :, 8:16, 24:32] += 1  # row 1, column 3 of a 4 x 4 grid
    moved = (embedding(images) - embedding(changed)).abs().amax(dim=-1)[0] > 1e-6
    assert moved.nonzero().flatten().tolist() == [7]


def test_tokens_of_an_image_do_not_depend_on_its_batch():
    model, images = make(stem="conv").train(), torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(model(images)[:1], model(images[:1]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("settings", [{"dropout": 0.5}, {"drop_path": 0.8}])
def test_dropout_and_stochastic_depth_act_in_training_only(settings):
    model, images = make(**settings), torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(model(images), model(images))
    model.train()
    assert not torch.allclose(model(images), model(images))


def test_stochastic_depth_keeps_the_mean_of_its_branch():
    from vit.model import DropPath

    torch.manual_seed(0)
    kept = DropPath(0.25).train()(torch.ones(20_000, 1, 1))
    assert kept.unique().tolist() == pytest.approx([0, 4 / 3])
    assert kept.mean().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"image_size": 30, "patch_size": 8}, "patch_size = 8"),
        ({"embed_dim": 50, "num_heads": 3}, "embed_dim = 50"),
        ({"image_size": 36, "patch_size": 12, "stem": "conv"}, "convolutional stem"),
        ({"depth": 0}, "depth"),
        ({"num_haeds": 3}, "num_haeds"),
    ],
)
def test_invalid_settings_are_refused_by_name(settings, named):
    with pytest.raises(SettingsError, match=named):
        ViTConfig(**settings)


def test_images_of_another_size_are_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"\(1, 3, 48, 48\).*\(batch, 3, 32, 32\)"):
        make()(torch.zeros(1, 3, 48, 48))


def test_a_layer_scale_is_a_factor_of_what_each_branch_adds():
    model = ViT(ViTConfig(image_size=32, init_values=0.5)).eval()
    plain = ViT(ViTConfig(image_size=32, init_values=0.0)).eval()
    missing, unexpected = plain.load_state_dict(model.state_dict(), strict=False)
    assert not missing
    assert {name.split(".", 2)[2] for name in unexpected} == {"ls1.gamma", "ls2.gamma"}
    for own, other in zip(model.blocks, plain.blocks, strict=True):
        for scaled, whole in ((own.attn.proj, other.attn.proj), (own.mlp.fc2, other.mlp.fc2)):
            whole.weight.data = 0.5 * scaled.weight
            whole.bias.data = 0.5 * scaled.bias
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(model(images), plain(images))


def test_filters_of_the_stem_are_used_with_mean_zero_and_deviation_one():
    conv = StandardisedConv2d(3, 4, kernel_size=3, padding=1, bias=False)
    conv.weight.data = 3 * conv.weight.data + 2
    impulse = torch.zeros(3, 3, 5, 5)
    impulse[range(3), range(3), 2, 2] = 1  # an impulse in each channel answers with the filter, turned round
    filters = conv(impulse)[:, :, 1:4, 1:4].flip(2, 3).transpose(0, 1)
    torch.testing.assert_close(filters.mean(dim=(1, 2, 3)), torch.zeros(4), atol=1e-6, rtol=0)
    torch.testing.assert_close(filters.var(dim=(1, 2, 3), correction=0), torch.ones(4), atol=1e-4, rtol=0)


@pytest.mark.parametrize("prefix", [0, 1, 5])
@pytest.mark.parametrize(
    ("old", "new"), [((14, 14), (7, 7)), ((7, 7), (14, 14)), ((16, 16), (14, 14)), ((4, 6), (5, 3))]
)
def test_interpolated_positions_equal_timm_s(old, new, prefix):
    positions = torch.randn(1, prefix + old[0] * old[1], 12)
    theirs = timm.layers.resample_abs_pos_embed(positions, list(new), list(old), num_prefix_tokens=prefix)
    assert torch.equal(interpolate_positions(positions, old, new, prefix), theirs)


def test_positions_of_the_same_grid_are_unchanged_and_keep_half_precision():
    positions = torch.randn(1, 17, 8).half()
    assert interpolate_positions(positions, (4, 4), (4, 4), 1) is positions
    assert interpolate_positions(positions, (4, 4), (6, 6), 1).dtype is torch.half


def test_positions_that_do_not_fill_the_grid_are_refused():
    with pytest.raises(ValueError, match=r"takes \(1, 26, embed_dim\)"):
        interpolate_positions(torch.zeros(1, 17, 8), (5, 5), (4, 4), 1)
