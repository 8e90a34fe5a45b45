"""Translation of timm models into settings, and the reasons for unsupported ones."""

import pytest

timm = pytest.importorskip("timm")

import torch  # noqa: E402
from timm.models.vision_transformer import VisionTransformer  # noqa: E402
from torch import nn  # noqa: E402

from tests.published.models import FAMILIES, TINY, small  # noqa: E402
from vit.config import ViTConfig  # noqa: E402
from vit.errors import UserError  # noqa: E402
from vit.explain import capture  # noqa: E402
from vit.model import ViT  # noqa: E402
from vit.published.architecture import NotSupported, build, config_of  # noqa: E402


def reason_not_supported(name: str, image_size: int | None = None) -> str:
    with pytest.raises(NotSupported) as refusal:
        config_of(name, image_size)
    return refusal.value.reason


def attention_of(model: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    """Return the attention of timm's model in each block: ``b h n m``."""
    seen = []
    for block in model.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_hook(lambda part, given, out: seen.append(out))
    with torch.inference_mode():
        model(images)
    return seen


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_and_attention_equal_timm(family):
    theirs = small(family)
    config = config_of(theirs)
    ours = ViT(config)
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, config.image_size, config.image_size)
    with torch.inference_mode():
        logits, expected = ours.eval()(images), theirs(images)
    assert (logits - expected).abs().max() < 1e-4
    assert logits.std() > 0.01  # the weights matter
    record = capture(ours, images)
    assert record.prefix_tokens == theirs.num_prefix_tokens
    for layer, maps in enumerate(attention_of(theirs, images)):
        assert (record.attention[:, layer] - maps).abs().max() < 1e-4


def test_settings_are_read_from_the_modules():
    assert config_of(small("dinov2-registers")) == ViTConfig(
        image_size=70,
        patch_size=14,
        num_classes=0,
        embed_dim=24,
        depth=2,
        num_heads=3,
        mlp_ratio=4.0,
        stem="patch",
        pool="cls",
        init_values=1.0,
        reg_tokens=4,
        no_embed_class=True,
    )


REFUSED = {
    "vit_relpos_small_patch16_224": "it has relative positions",
    "beit_base_patch16_224": "it has relative positions",
    "eva02_tiny_patch14_224": "rotary positions",
    "vit_small_patch16_dinov3": "rotary positions",
    "vit_base_patch16_siglip_224": "its head pools by attention (as SigLIP's)",
    "deit_tiny_distilled_patch16_224": "it has a distillation token and a second head",
    "vit_giant_patch14_dinov2": "it has a gated MLP",
    "vit_tiny_r_s16_p8_224": "its patches come from a convolutional stem (hybrid)",
    "vit_pwee_patch16_reg1_gap_256": "it has parallel blocks",
    "vit_small_patch16_18x2_224": "it has parallel blocks",
    "vit_base_patch16_rpn_224": "it normalises the output of each branch",
    "vit_dwee_patch16_reg1_gap_256": "it has differential attention",
    "vit_base_patch16_radio_v3": "it has no norm after the last block",
    "vit_so400m_patch14_siglip_gap_384": "at an image size of 378 it can be opened",
    "resnet18": "it is not a plain Vision Transformer but timm's ResNet",
}


@pytest.mark.parametrize(("name", "clause"), REFUSED.items())
def test_unsupported_models_state_the_reason(name, clause):
    assert clause in reason_not_supported(name)
    with pytest.raises(NotSupported, match=rf"^{name} cannot be opened: .*\.$"):
        config_of(name)


class Scaled(VisionTransformer):
    def forward_head(self, x, pre_logits=False):
        return 2 * super().forward_head(x, pre_logits)


class Extra(VisionTransformer):
    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.temperature = nn.Parameter(torch.ones(1))


CHANGED = {
    "it normalises queries and keys": {"qk_norm": True},
    "it normalises the output of the heads": {"scale_attn_norm": True},
    "it has a norm within the MLP": {"scale_mlp_norm": True},
    "its blocks have projections without a bias": {"proj_bias": False},
    "it has no learned positions": {"pos_embed": "none"},
    "its head uses avgmax pooling": {"global_pool": "avgmax", "fc_norm": False},
    "includes the class token": {"global_pool": "avg", "pool_include_prefix": True},
    "it has no norm after the last block": {"final_norm": False},
    "the activation of its MLP is ReLU": {"act_layer": nn.ReLU},
    "its norms are RmsNorm": {"norm_layer": "rmsnorm"},
    "its images are not square": {"img_size": (32, 64)},
    "its patches are not square": {"patch_size": (8, 16)},
    "have 1 channel,": {"in_chans": 1},
}


@pytest.mark.parametrize(("clause", "arguments"), CHANGED.items())
def test_a_plain_vit_with_another_part_is_detected(clause, arguments):
    model = VisionTransformer(**{"img_size": 32, "patch_size": 8, **TINY} | arguments)
    with pytest.raises(NotSupported, match=clause):
        config_of(model)


def test_every_block_is_examined():
    model = VisionTransformer(img_size=32, patch_size=8, **TINY)
    model.blocks[1].mlp.act = nn.SiLU()
    with pytest.raises(NotSupported, match="SiLU"):
        config_of(model)
    model.blocks[1].mlp.act = nn.GELU(approximate="tanh")
    with pytest.raises(NotSupported, match="its blocks differ in the activation"):
        config_of(model)


def test_an_unknown_model_family_is_detected():
    with pytest.raises(NotSupported, match="a different forward pass"):
        config_of(Scaled(img_size=32, patch_size=8, **TINY))
    with pytest.raises(NotSupported, match="an additional weight, temperature"):
        config_of(Extra(img_size=32, patch_size=8, **TINY))


@pytest.mark.parametrize("name", ["vit_smalll_patch16_224", "hf-hub:someone/model", "local-dir:/etc", ""])
def test_only_names_of_timm_are_built(name):
    with pytest.raises(UserError, match="timm has no model"):
        build(name)


def test_another_image_size():
    assert config_of("vit_small_patch14_dinov2.lvd142m", 224).grid == 16
    assert "multiple of its patch size" in reason_not_supported("vit_small_patch14_dinov2", 225)
