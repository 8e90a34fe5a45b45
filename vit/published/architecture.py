"""Which settings of our ViT a timm model is, or what it has that ours has not.

A model is judged by its modules, all of them, and not by its name, so that a family that nobody here has heard of is
judged right. What no rule below thinks of shows up in the end, as a weight that one of the two networks lacks.
"""

from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from vit.config import ViTConfig
from vit.errors import SettingsError, UserError
from vit.support import optional_packages

if TYPE_CHECKING:
    from torch import nn


class NotOurs(UserError):
    """A model that our network cannot be.

    Attributes:
        reason: what differs, a clause such as "it has relative positions".
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} cannot be opened: {reason}.")
        self.reason = reason


class _Differs(Exception):
    """What differs, as a clause."""


def require_timm() -> None:
    """Raise a UserError with the line that installs timm, unless it is there."""
    optional_packages.check("Opening published models", "timm")


def build(architecture: str, *, image_size: int | None = None, **arguments: Any) -> "nn.Module":
    """A timm model without memory for its weights: shapes alone, on the meta device.

    Args:
        architecture: a name of timm's, without a tag.
        image_size: another than its own.
        arguments: of timm's constructor.

    Raises:
        NotOurs: timm cannot make it so.
        UserError: timm is not installed, or has no such model.
    """
    require_timm()
    import timm
    import torch

    if not timm.is_model(architecture):  # other forms of a name are places that timm would fetch from
        raise UserError(f"timm has no model {architecture[:80]!r}: take a name such as vit_small_patch16_224.")
    if image_size is not None:
        arguments["img_size"] = image_size
    with torch.device("meta"):
        with suppress(Exception):  # not every family knows how not to draw numbers, which takes ten times as long
            return timm.create_model(architecture, weight_init="skip", **arguments).eval()
        try:
            return timm.create_model(architecture, **arguments).eval()
        except Exception as error:  # whatever its constructor stumbles on
            raise NotOurs(architecture, f"timm does not make it so ({error})"[:300]) from error


def config_of(model: "nn.Module | str", image_size: int | None = None) -> ViTConfig:
    """The settings with which our ViT is a timm model, with its weights under the same names.

    Args:
        model: a timm model, or the name of one, with or without a tag.
        image_size: of a name, at another size than its own.

    Raises:
        NotOurs: our network cannot be it; the sentence says what differs.
        UserError: timm is not installed, or has no such model.
    """
    if isinstance(model, str):
        return _config_of_name(model.partition(".")[0], image_size)
    return _judge(model, _name(model))


def why_not(name: str, image_size: int | None = None) -> str:
    """What keeps a model of timm's from being opened, a clause; empty where nothing does."""
    try:
        config_of(name, image_size)
    except NotOurs as error:
        return error.reason
    return ""


@lru_cache(maxsize=1024)
def _verdict(architecture: str, image_size: int | None) -> ViTConfig | NotOurs:
    try:
        return _judge(build(architecture, image_size=image_size), architecture)
    except NotOurs as error:
        return error


def _config_of_name(architecture: str, image_size: int | None) -> ViTConfig:
    found = _verdict(architecture, image_size)
    if isinstance(found, NotOurs):
        raise NotOurs(architecture, found.reason)
    return found


def _name(model: "nn.Module") -> str:
    cfg = getattr(model, "pretrained_cfg", None) or {}
    return str(cfg.get("architecture") or type(model).__name__)[:80]


def _judge(model: "nn.Module", name: str) -> ViTConfig:
    try:
        _check_kind(model)
        config = ViTConfig(
            stem="patch",
            num_classes=model.num_classes,
            depth=len(model.blocks),
            **_stem(model),
            **_tokens(model),
            **_blocks(model),
            **_finish(model),
            **_norms(model),
            init_values=1.0 if _has_scales(model) else 0.0,
        )
        _check_weights(model, config)
    except _Differs as error:
        raise NotOurs(name, str(error)) from None
    except SettingsError as error:
        raise NotOurs(name, str(error).rstrip(".")) from None
    except (AttributeError, TypeError) as error:  # a part that a plain one has is missing
        raise NotOurs(name, f"its {type(model).__name__} is made of other parts") from error
    return config


def _check_kind(model: "nn.Module") -> None:
    """What a plain one has nowhere, then whether its forward pass is the plain one."""
    from timm.models.vision_transformer import Block, VisionTransformer

    parts = list(model.modules())
    relative = ("rel_pos", "shared_rel_pos", "rel_pos_h", "relative_position_bias_table")
    if any(getattr(part, name, None) is not None for part in parts for name in relative):
        raise _Differs("it has relative positions")
    if any(getattr(part, "rope", None) is not None for part in parts):
        raise _Differs("it turns queries and keys by their positions (rotary positions, as EVA and DINOv3)")
    if getattr(model, "dist_token", None) is not None:
        raise _Differs("it has a distillation token and a second head")
    if not isinstance(model, VisionTransformer):
        raise _Differs(f"it is no plain Vision Transformer but timm's {type(model).__name__}")
    for method in ("forward", "forward_features", "forward_head", "pool", "_pos_embed"):
        if getattr(type(model), method) is not getattr(VisionTransformer, method):
            raise _Differs(f"its {type(model).__name__} has a forward pass of its own")
    for block in model.blocks:
        _check_block(block, Block)


def _check_block(block: "nn.Module", plain: type) -> None:
    from timm.models.vision_transformer import Attention, Mlp

    kind = type(block).__name__
    if "Diff" in kind or "Diff" in type(getattr(block, "attn", None)).__name__:
        raise _Differs("it has differential attention, the difference of two softmaxes")
    if "Parallel" in kind:
        raise _Differs("it has parallel blocks, whose branches read the same tokens")
    if "Post" in kind:
        raise _Differs("it norms what a branch adds (norm after the branch), instead of what the branch reads")
    if type(block) is not plain:
        raise _Differs(f"its blocks are {kind}")
    attention, mlp = block.attn, block.mlp
    if type(attention) is not Attention:
        raise _Differs(f"its attention is {type(attention).__name__}")
    if _is(attention.q_norm) or _is(attention.k_norm):
        raise _Differs("it norms queries and keys")
    if getattr(attention, "gate", None) is not None:
        raise _Differs("its attention is gated")
    if _is(getattr(attention, "norm", None)):
        raise _Differs("it norms what the heads give")
    if attention.scale != attention.head_dim**-0.5:
        raise _Differs("it scales the scores by another number than 1 / sqrt(head_dim)")
    if attention.qkv.in_features != attention.num_heads * attention.head_dim:
        raise _Differs("its heads together are not as wide as a token")
    if "Glu" in type(mlp).__name__ or "GLU" in type(mlp).__name__:
        raise _Differs("it has a gated MLP")
    if type(mlp) is not Mlp:
        raise _Differs(f"its MLP is {type(mlp).__name__}")
    if _is(mlp.norm):
        raise _Differs("it has a norm within the MLP")


def _is(part: "nn.Module | None") -> bool:
    """Whether a part does anything."""
    from torch import nn

    return part is not None and not isinstance(part, nn.Identity)


def _one(values: Iterator[Any], what: str) -> Any:
    """The value that all blocks share."""
    found = set(values)
    if len(found) != 1:
        raise _Differs(f"its blocks differ in {what}")
    return found.pop()


def _stem(model: "nn.Module") -> dict[str, Any]:
    """Image, patch, width, and the norm that follows them in CLIP."""
    from timm.models.vision_transformer import PatchEmbed

    embed = model.patch_embed
    if "Hybrid" in type(embed).__name__ or getattr(embed, "backbone", None) is not None:
        raise _Differs("its patches come from a convolutional stem (hybrid)")
    if type(embed) is not PatchEmbed:
        raise _Differs(f"its patch embedding is {type(embed).__name__}")
    (height, width), (rows, columns), proj = embed.img_size, embed.patch_size, embed.proj
    if height != width:
        raise _Differs(f"its images are no squares but {height} x {width} pixels")
    if rows != columns:
        raise _Differs(f"its patches are no squares but {rows} x {columns} pixels")
    if height % rows:
        nearest = height // rows * rows
        raise _Differs(
            f"its image of {height} pixels is not a multiple of its patch of {rows}, so that its last pixels are never "
            f"seen; at an image size of {nearest} it can be opened"
        )
    if proj.kernel_size != (rows, rows) or proj.stride != (rows, rows) or proj.padding != (0, 0) or proj.groups != 1:
        raise _Differs("its patches overlap")
    if _is(embed.norm):
        raise _Differs("it norms the patches at once")
    pre_norm = _is(model.norm_pre)
    if pre_norm == (proj.bias is not None):
        raise _Differs(f"its patch embedding has {'a' if pre_norm else 'no'} bias")
    if proj.in_channels != 3:
        raise _Differs(f"its images have {proj.in_channels} channels, not red, green and blue")
    return {
        "image_size": height,
        "patch_size": rows,
        "in_channels": proj.in_channels,
        "embed_dim": proj.out_channels,
        "pre_norm": pre_norm,
    }


def _tokens(model: "nn.Module") -> dict[str, Any]:
    """The tokens before the patches, and what has a position."""
    if model.pos_embed is None:
        raise _Differs("it has no learned positions")
    registers = getattr(model, "reg_token", None)
    return {
        "class_token": model.cls_token is not None,
        "reg_tokens": 0 if registers is None else registers.shape[1],
        "no_embed_class": bool(model.no_embed_class) and bool(model.num_prefix_tokens),
    }


def _blocks(model: "nn.Module") -> dict[str, Any]:
    blocks = list(model.blocks)
    if any(linear.bias is None for block in blocks for linear in (block.attn.proj, block.mlp.fc1, block.mlp.fc2)):
        raise _Differs("its blocks have projections without a bias")
    width = blocks[0].mlp.fc1.in_features
    return {
        "num_heads": _one((block.attn.num_heads for block in blocks), "the number of their heads"),
        "mlp_ratio": _one((block.mlp.fc1.out_features for block in blocks), "the width of their MLP") / width,
        "qkv_bias": _one((block.attn.qkv.bias is not None for block in blocks), "the bias of their queries and keys"),
        "act_layer": _one((_activation(block.mlp.act) for block in blocks), "what lies between the maps of their MLP"),
    }


def _activation(act: "nn.Module") -> str:
    """By what it does to numbers, since the same one has many names."""
    import torch

    from vit.model import ACTIVATIONS

    at = torch.linspace(-6, 6, 241, device="cpu")
    for name, function in ACTIVATIONS.items():
        if torch.allclose(act(at.clone()), function(at), atol=1e-6):
            return name
    raise _Differs(f"its MLP has {type(act).__name__} between its maps")


def _has_scales(model: "nn.Module") -> bool:
    return _one((_is(scale) for block in model.blocks for scale in (block.ls1, block.ls2)), "their layer scale")


def _finish(model: "nn.Module") -> dict[str, Any]:
    """What the head reads, and the norms around it."""
    from torch import nn

    if getattr(model, "attn_pool", None) is not None:
        raise _Differs("its head pools by attention (as SigLIP's)")
    pools = {"token": "cls", "avg": "mean"}
    if model.global_pool not in pools:
        raise _Differs(f"its head reads {model.global_pool or 'no'} pooling of the tokens")
    if model.global_pool == "avg" and model.pool_include_prefix and model.num_prefix_tokens:
        raise _Differs("its mean over the tokens has the class token in it")
    before, after = _is(model.norm), _is(model.fc_norm)
    if before == after:
        raise _Differs("it has two norms after the last block" if before else "it has no norm after the last block")
    if _is(model.head) and (type(model.head) is not nn.Linear or model.head.bias is None):
        raise _Differs("its head is not one linear map with a bias")
    return {"pool": pools[model.global_pool], "fc_norm": after}


def _norms(model: "nn.Module") -> dict[str, Any]:
    """All of them are layer norms with one epsilon."""
    from torch import nn

    blocks = (norm for block in model.blocks for norm in (block.norm1, block.norm2))
    norms = [norm for norm in (model.norm_pre, model.norm, model.fc_norm, *blocks) if _is(norm)]
    for norm in norms:
        if not isinstance(norm, nn.LayerNorm):
            raise _Differs(f"its norms are {type(norm).__name__}, not LayerNorm")
        if norm.weight is None or norm.bias is None:
            raise _Differs("its norms have no learned scale and shift")
    return {"norm_eps": _one((norm.eps for norm in norms), "the epsilon of their norms")}


def _check_weights(model: "nn.Module", config: ViTConfig) -> None:
    """Both have the same weights by name and shape: the last word on what the rules above did not think of."""
    ours, theirs = shapes_of(config), {name: tuple(value.shape) for name, value in model.state_dict().items()}
    for name in sorted(ours.keys() ^ theirs.keys()):
        raise _Differs(f"it has a weight more than this network, {name}" if name in theirs else f"it has no {name}")
    for name, shape in theirs.items():
        if shape != ours[name]:
            raise _Differs(f"its {name} is {shape} where this network's is {ours[name]}")


def shapes_of(config: ViTConfig) -> dict[str, tuple[int, ...]]:
    """The weights of our network by name, from a network without memory for them."""
    import torch

    from vit.model import ViT

    with torch.device("meta"):
        return {name: tuple(value.shape) for name, value in ViT(config).state_dict().items()}
