"""Translate a timm model into settings of this program's ViT, or say what makes that impossible.

The decision is based on all modules of the model and not on its name, so that unknown model families are handled
correctly. A difference that no rule below covers is found at the end, as a weight that one of the two networks lacks.
"""

import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from vit.config import ViTConfig
from vit.errors import SettingsError, UserError
from vit.published.weight_names import channels_clause
from vit.support import optional_packages

if TYPE_CHECKING:
    from torch import nn

TimmModule = Any
"""A module of timm. Which parts it has depends on the model, so they are looked up at run time."""


RELATIVES = ("vision_transformer_hybrid", "vision_transformer_relpos", "vision_transformer_sam", "eva", "beit")
"""timm modules of networks that resemble a plain ViT: they are built to say in which part they differ."""


class NotSupported(UserError):
    """Raised for a model that this program's ViT cannot represent.

    Attributes:
        reason: what differs, as a clause such as "it has relative positions".
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} cannot be opened: {reason}.")
        self.reason = reason


class _Difference(Exception):
    """Carries a clause that says what differs."""


def require_timm() -> None:
    """Raise a UserError that says how to install timm if it is missing."""
    optional_packages.check("Opening published models", "timm")


def build(architecture: str, *, image_size: int | None = None, **arguments: Any) -> "nn.Module":
    """Build a timm model on the meta device: shapes only, no memory for weights.

    Args:
        architecture: timm's name, without a tag.
        image_size: image size in pixels; None uses the model's own.
        **arguments: arguments of timm's constructor.

    Raises:
        NotSupported: timm cannot build the model with these arguments.
        UserError: timm is not installed, or has no such model.
    """
    check_name(architecture)
    import timm
    import torch

    if image_size is not None:
        arguments["img_size"] = image_size
    with torch.device("meta"):
        with suppress(Exception):  # not every family can skip the random weights, which take ten times as long
            return timm.create_model(architecture, weight_init="skip", **arguments).eval()
        try:
            return timm.create_model(architecture, **arguments).eval()
        except Exception as error:  # timm's constructors raise all kinds of errors
            raise NotSupported(architecture, f"timm cannot build it with these settings ({error})"[:300]) from error


def config_of(model: "nn.Module | str", image_size: int | None = None) -> ViTConfig:
    """Return the settings with which this program's ViT equals a timm model, with the same names of weights.

    Args:
        model: a timm model, or its name, with or without a tag.
        image_size: image size in pixels for a model given by name; None uses its own.

    Raises:
        NotSupported: the ViT cannot represent the model; the message says what differs.
        UserError: timm is not installed, or has no such model.
    """
    if isinstance(model, str):
        return _config_of_name(model.partition(".")[0], image_size)
    return _examine(model, _name(model))


@lru_cache(maxsize=1024)
def _config_or_reason(architecture: str, image_size: int | None) -> ViTConfig | NotSupported:
    try:
        check_family(architecture)
        return _examine(build(architecture, image_size=image_size), architecture)
    except NotSupported as error:
        return error


def _config_of_name(architecture: str, image_size: int | None) -> ViTConfig:
    found = _config_or_reason(architecture, image_size)
    if isinstance(found, NotSupported):
        raise NotSupported(architecture, found.reason)
    return found


def _name(model: "nn.Module") -> str:
    cfg = getattr(model, "pretrained_cfg", None) or {}
    return str(cfg.get("architecture") or type(model).__name__)[:80]


def _examine(model: TimmModule, name: str) -> ViTConfig:
    try:
        _check_kind(model)
        config = ViTConfig(
            stem="patch",
            num_classes=model.num_classes,
            depth=len(model.blocks),
            **_stem(model),
            **_tokens(model),
            **_blocks(model),
            **_pooling(model),
            **_norms(model),
            init_values=1.0 if _has_scales(model) else 0.0,
        )
        _check_weights(model, config)
    except _Difference as error:
        raise NotSupported(name, str(error)) from None
    except SettingsError as error:
        raise NotSupported(name, str(error).rstrip(".")) from None
    except (AttributeError, TypeError) as error:  # a part of a plain ViT is missing
        raise NotSupported(name, f"its {type(model).__name__} consists of other parts") from error
    return config


def check_family(architecture: str) -> None:
    """Check that an architecture of timm is a plain Vision Transformer, as far as no argument can change that.

    Raises:
        NotSupported: it is not; the message says what it is.
        UserError: timm is not installed, or has no such model.
    """
    if reason := _why_other_family(architecture):
        raise NotSupported(architecture, reason)


@lru_cache(maxsize=2048)
def _why_other_family(architecture: str) -> str:
    if reason := _why_other_module(architecture):
        return reason
    try:
        _check_family(build(architecture))
    except NotSupported as error:
        return error.reason
    except _Difference as error:
        return str(error)
    return ""


def _why_other_module(architecture: str) -> str:
    """Return why no model of an architecture's module in timm is a plain ViT; empty if one may be.

    Most of timm's networks are decided here, without being built.

    Raises:
        UserError: timm is not installed, or has no such model.
    """
    check_name(architecture)
    from timm.models import model_entrypoint
    from timm.models.vision_transformer import VisionTransformer
    from torch import nn

    name = model_entrypoint(architecture).__module__
    module = sys.modules.get(name)
    if module is None or not name.startswith("timm.models.") or name.rpartition(".")[2] in RELATIVES:
        return ""
    classes = [part for part in vars(module).values() if isinstance(part, type)]
    if any(issubclass(part, VisionTransformer) for part in classes):
        return ""
    listed = [getattr(module, each, None) for each in getattr(module, "__all__", ())]
    own = [part.__name__ for part in listed if isinstance(part, type) and issubclass(part, nn.Module)]
    kind = own[0] if own else name.rpartition(".")[2]
    return f"it is not a plain Vision Transformer but timm's {kind}"


def exists(architecture: str) -> bool:
    """Return whether timm has an architecture of this name; timm treats other forms of a name as addresses."""
    import timm

    return bool(timm.is_model(architecture))


def check_name(architecture: str) -> None:
    """Raise a UserError if timm is not installed or has no architecture of this name."""
    require_timm()
    if not exists(architecture):
        raise UserError(f"timm has no model {architecture[:80]!r}: use a name such as vit_small_patch16_224.")


def _check_kind(model: TimmModule) -> None:
    """Check for parts that a plain ViT does not have, then for an unchanged forward pass."""
    from timm.models.vision_transformer import Block

    _check_family(model)
    for block in model.blocks:
        _check_block(block, Block)


def _check_family(model: TimmModule) -> None:
    from timm.models.vision_transformer import VisionTransformer

    parts = list(model.modules())
    relative = ("rel_pos", "shared_rel_pos", "rel_pos_h", "relative_position_bias_table")
    if any(getattr(part, name, None) is not None for part in parts for name in relative):
        raise _Difference("it has relative positions")
    if any(getattr(part, "rope", None) is not None for part in parts):
        raise _Difference("it turns queries and keys by their positions (rotary positions, as EVA and DINOv3)")
    if getattr(model, "dist_token", None) is not None:
        raise _Difference("it has a distillation token and a second head")
    if not isinstance(model, VisionTransformer):
        raise _Difference(f"it is not a plain Vision Transformer but timm's {type(model).__name__}")
    embed: TimmModule = model.patch_embed
    if "Hybrid" in type(embed).__name__ or getattr(embed, "backbone", None) is not None:
        raise _Difference("its patches come from a convolutional stem (hybrid)")
    for method in ("forward", "forward_features", "forward_head", "pool", "_pos_embed"):
        if getattr(type(model), method) is not getattr(VisionTransformer, method):
            raise _Difference(f"its {type(model).__name__} has a different forward pass")


def _check_block(block: TimmModule, plain: Any) -> None:
    from timm.models.vision_transformer import Attention, Mlp

    kind = type(block).__name__
    if "Diff" in kind or "Diff" in type(getattr(block, "attn", None)).__name__:
        raise _Difference("it has differential attention, the difference of two softmaxes")
    if "Parallel" in kind:
        raise _Difference("it has parallel blocks, whose branches read the same tokens")
    if "Post" in kind:
        raise _Difference("it normalises the output of each branch (post-norm) instead of its input")
    if type(block) is not plain:
        raise _Difference(f"its blocks are {kind}")
    attention, mlp = block.attn, block.mlp
    if type(attention) is not Attention:
        raise _Difference(f"its attention is {type(attention).__name__}")
    if _is_active(attention.q_norm) or _is_active(attention.k_norm):
        raise _Difference("it normalises queries and keys")
    if getattr(attention, "gate", None) is not None:
        raise _Difference("its attention is gated")
    if _is_active(getattr(attention, "norm", None)):
        raise _Difference("it normalises the output of the heads")
    if attention.scale != attention.head_dim**-0.5:
        raise _Difference("it scales the scores by a number other than 1 / sqrt(head_dim)")
    if attention.qkv.in_features != attention.num_heads * attention.head_dim:
        raise _Difference("the total width of its heads differs from the width of a token")
    if "Glu" in type(mlp).__name__ or "GLU" in type(mlp).__name__:
        raise _Difference("it has a gated MLP")
    if type(mlp) is not Mlp:
        raise _Difference(f"its MLP is {type(mlp).__name__}")
    if _is_active(mlp.norm):
        raise _Difference("it has a norm within the MLP")


def _is_active(part: "nn.Module | None") -> bool:
    """Return whether a part exists and is not the identity."""
    from torch import nn

    return part is not None and not isinstance(part, nn.Identity)


def _common_value(values: Iterator[Any], what: str) -> Any:
    """Return the value that all blocks share."""
    found = set(values)
    if len(found) != 1:
        raise _Difference(f"its blocks differ in {what}")
    return found.pop()


def _stem(model: TimmModule) -> dict[str, Any]:
    """Return the sizes of image, patch and token, and whether a norm follows the stem (as in CLIP)."""
    from timm.models.vision_transformer import PatchEmbed

    embed = model.patch_embed
    if type(embed) is not PatchEmbed:
        raise _Difference(f"its patch embedding is {type(embed).__name__}")
    (height, width), (rows, columns), proj = embed.img_size, embed.patch_size, embed.proj
    if height != width:
        raise _Difference(f"its images are not square but {height} x {width} pixels")
    if rows != columns:
        raise _Difference(f"its patches are not square but {rows} x {columns} pixels")
    if height % rows:
        nearest = height // rows * rows
        raise _Difference(
            f"its image size of {height} pixels is not a multiple of its patch size of {rows}, so the last pixels are "
            f"ignored; at an image size of {nearest} it can be opened"
        )
    if proj.kernel_size != (rows, rows) or proj.stride != (rows, rows) or proj.padding != (0, 0) or proj.groups != 1:
        raise _Difference("its patches overlap")
    if _is_active(embed.norm):
        raise _Difference("it normalises the embedded patches")
    pre_norm = _is_active(model.norm_pre)
    if pre_norm == (proj.bias is not None):
        raise _Difference(f"its patch embedding has {'a' if pre_norm else 'no'} bias")
    if proj.in_channels != 3:
        raise _Difference(channels_clause(proj.in_channels))
    return {
        "image_size": height,
        "patch_size": rows,
        "in_channels": proj.in_channels,
        "embed_dim": proj.out_channels,
        "pre_norm": pre_norm,
    }


def _tokens(model: TimmModule) -> dict[str, Any]:
    """Return which tokens precede the patches, and whether they have positions."""
    if model.pos_embed is None:
        raise _Difference("it has no learned positions")
    registers = getattr(model, "reg_token", None)
    return {
        "class_token": model.cls_token is not None,
        "reg_tokens": 0 if registers is None else registers.shape[1],
        "no_embed_class": bool(model.no_embed_class) and bool(model.num_prefix_tokens),
    }


def _blocks(model: TimmModule) -> dict[str, Any]:
    blocks = list(model.blocks)
    if any(linear.bias is None for block in blocks for linear in (block.attn.proj, block.mlp.fc1, block.mlp.fc2)):
        raise _Difference("its blocks have projections without a bias")
    width = blocks[0].mlp.fc1.in_features
    return {
        "num_heads": _common_value((block.attn.num_heads for block in blocks), "the number of heads"),
        "mlp_ratio": _common_value((block.mlp.fc1.out_features for block in blocks), "the width of the MLP") / width,
        "qkv_bias": _common_value(
            (block.attn.qkv.bias is not None for block in blocks), "the bias of queries and keys"
        ),
        "act_layer": _common_value((_activation(block.mlp.act) for block in blocks), "the activation of the MLP"),
    }


def _activation(act: TimmModule) -> str:
    """Return the activation's name in :data:`vit.model.ACTIVATIONS`, found by its values: class names vary."""
    import torch

    from vit.model import ACTIVATIONS

    at = torch.linspace(-6, 6, 241, device="cpu")
    for name, function in ACTIVATIONS.items():
        if torch.allclose(act(at.clone()), function(at), atol=1e-6):
            return name
    raise _Difference(f"the activation of its MLP is {type(act).__name__}")


def _has_scales(model: TimmModule) -> bool:
    return _common_value(
        (_is_active(scale) for block in model.blocks for scale in (block.ls1, block.ls2)), "layer scale"
    )


def _pooling(model: TimmModule) -> dict[str, Any]:
    """Return what the head reads, and on which side of the pooling the norm is."""
    from torch import nn

    if getattr(model, "attn_pool", None) is not None:
        raise _Difference("its head pools by attention (as SigLIP's)")
    pools = {"token": "cls", "avg": "mean"}
    if model.global_pool not in pools:
        raise _Difference(f"its head uses {model.global_pool or 'no'} pooling of the tokens")
    if model.global_pool == "avg" and model.pool_include_prefix and model.num_prefix_tokens:
        raise _Difference("its mean over the tokens includes the class token")
    before, after = _is_active(model.norm), _is_active(model.fc_norm)
    if before == after:
        raise _Difference("it has two norms after the last block" if before else "it has no norm after the last block")
    if _is_active(model.head) and (type(model.head) is not nn.Linear or model.head.bias is None):
        raise _Difference("its head is not a single linear layer with a bias")
    return {"pool": pools[model.global_pool], "fc_norm": after}


def _norms(model: TimmModule) -> dict[str, Any]:
    """Check that all norms are LayerNorm with the same epsilon, and return the epsilon."""
    from torch import nn

    blocks = (norm for block in model.blocks for norm in (block.norm1, block.norm2))
    norms = [norm for norm in (model.norm_pre, model.norm, model.fc_norm, *blocks) if _is_active(norm)]
    for norm in norms:
        if not isinstance(norm, nn.LayerNorm):
            raise _Difference(f"its norms are {type(norm).__name__}, not LayerNorm")
        if norm.weight is None or norm.bias is None:
            raise _Difference("its norms have no learned scale and shift")
    return {"norm_eps": _common_value((norm.eps for norm in norms), "the epsilon of the norms")}


def _check_weights(model: TimmModule, config: ViTConfig) -> None:
    """Check that both networks have the same weights by name and shape; this finds what the rules above miss."""
    ours, theirs = shapes_of(config), {name: tuple(value.shape) for name, value in model.state_dict().items()}
    for name in sorted(ours.keys() ^ theirs.keys()):
        raise _Difference(f"it has an additional weight, {name}" if name in theirs else f"it has no {name}")
    for name, shape in theirs.items():
        if shape != ours[name]:
            raise _Difference(f"its {name} has the shape {shape}, and not {ours[name]}")


def shapes_of(config: ViTConfig) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a ViT's weights by name, from a network on the meta device."""
    import torch

    from vit.model import ViT

    with torch.device("meta"):
        return {name: tuple(value.shape) for name, value in ViT(config).state_dict().items()}
