"""Describe a published model before its weights are read: by name, by a ``config.json``, or by an architecture.

A ``config.json`` in timm's layout is untrusted. Every argument of a Vision Transformer that timm writes into it is
followed, or ignored where it concerns only the training; none of them can name a file, an address or a class.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vit.errors import UserError
from vit.published import architecture as arch
from vit.published import class_names

CONFIG = "config.json"
CONFIG_BYTES_MAX = 4 * 2**20
"""Enough for 21,843 classes with descriptions, the largest known file."""
_WHOLE = {
    "img_size": (8, 1024),
    "patch_size": (1, 64),
    "in_chans": (1, 64),
    "embed_dim": (4, 2048),
    "depth": (1, 48),
    "num_heads": (1, 32),
    "reg_tokens": (0, 16),
}
_PAIRS = ("img_size", "patch_size")
"""Sizes that may also be given as height and width."""
_NUMBERS = {"mlp_ratio": (0.25, 8), "init_values": (0, 10)}
_SWITCHES = (
    "qkv_bias",
    "proj_bias",
    "class_token",
    "no_embed_class",
    "pre_norm",
    "fc_norm",
    "final_norm",
    "qk_norm",
    "scale_attn_norm",
    "scale_mlp_norm",
    "pool_include_prefix",
)
_CHOICES = {
    "global_pool": ("", "avg", "avgmax", "max", "token", "map", "prr"),
    "pos_embed": ("", "none", "learn"),
}
_LAYERS = ("act_layer", "norm_layer", "embed_norm_layer", "attn_layer")
"""Kinds of layers by timm's name for them, which timm looks up in tables of its own."""
_IGNORED = re.compile(
    r"(\w+_)?drop(_\w+)?_rate|weight_init|fix_init|dynamic_img_size|dynamic_img_pad|strict_img_size|num_classes|device|"
    r"dtype|scriptable|exportable|no_jit|pretrained|pretrained_strict|out_indices|output_stride"
)
"""Arguments that do not change the network at its own image size when it is not trained: dropout, initial weights,
other image sizes, and the number of outputs, which the weights show."""
_OFF = ("use_naflex", "features_only", "pruned", "dynamic_num_tokens")
"""Arguments that make another network; they are ignored only when they are off."""
_CFG_FIELDS = (
    "architecture",
    "tag",
    "input_size",
    "interpolation",
    "crop_pct",
    "crop_mode",
    "mean",
    "std",
    "num_classes",
    "label_names",
    "label_descriptions",
    "license",
)


@dataclass(frozen=True)
class PublishedModel:
    """A published model without its weights.

    Attributes:
        name: its name; ``architecture.tag`` for a model of timm.
        architecture: timm's name of the network.
        cfg: timm's ``pretrained_cfg``: image size, crop, normalisation, classes, licence.
        arguments: arguments of timm's constructor that differ from the architecture's defaults.
    """

    name: str
    architecture: str
    cfg: Mapping[str, Any]
    arguments: Mapping[str, Any]

    @property
    def licence(self) -> str:
        """The licence as stated by the publisher; empty if unknown."""
        return str(self.cfg.get("license") or "")[:80]


def by_name(name: str) -> PublishedModel:
    """Find a pretrained model of timm by name, with or without a tag.

    Raises:
        UserError: timm is not installed, or has no such weights.
    """
    arch.require_timm()
    import timm
    from timm.models import get_pretrained_cfg

    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        raise UserError(f"timm has no model {name[:80]!r}: python -m vit open --list vit_small lists names.")
    cfg = get_pretrained_cfg(name) if timm.is_model_pretrained(name) else None
    if cfg is None or (not cfg.hf_hub_id and not cfg.url):
        raise UserError(
            f"timm has no weights {name[:80]!r}: python -m vit open --list {architecture} lists the existing ones."
        )
    full = f"{architecture}.{cfg.tag}" if cfg.tag else architecture
    return PublishedModel(full, architecture, cfg.to_dict() | {"architecture": architecture}, {})


def from_config_json(text: bytes, name: str) -> PublishedModel:
    """Read a ``config.json`` in timm's layout. Only the needed fields are used.

    Args:
        text: the content of the file.
        name: name of the model if the file does not state it.

    Raises:
        NotSupported: the architecture is not a plain Vision Transformer.
        UserError: the file is invalid, or sets arguments that are not supported.
    """
    what = f"The {CONFIG} of {name}"
    if len(text) > CONFIG_BYTES_MAX:
        raise UserError(f"{what} is longer than {CONFIG_BYTES_MAX // 2**20} MB.")
    try:
        found = json.loads(text)
        if "architecture" not in found and ("model_type" in found or "architectures" in found):
            raise UserError(
                f"{what} is one of Hugging Face's transformers, whose weights have other names than timm's: open the "
                "model under its name in timm, if timm has it."
            )
        architecture = found["architecture"]
        arch.require_timm()
        known = isinstance(architecture, str) and re.fullmatch(r"[a-z0-9_]{1,80}", architecture)
        if not known or not arch.exists(architecture):
            raise UserError(f"{what} names no architecture of timm.")
        arch.check_family(architecture)
        cfg = _cfg(found)
        arguments = _arguments(found.get("model_args") or {})
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{what} is not in timm's format, with an architecture and a pretrained_cfg.") from error
    pool = found.get("global_pool")
    if isinstance(pool, str) and pool in _CHOICES["global_pool"]:
        arguments.setdefault("global_pool", pool)
    tag = cfg.get("tag")
    tag = tag if isinstance(tag, str) and re.fullmatch(r"[a-z0-9_]{1,60}", tag) else ""
    cfg |= {"architecture": architecture, "tag": tag}
    # timm keeps the tag of the weights that a training started from, also after it has replaced the head.
    same = tag and class_names.zoo_outputs(cfg) in (None, cfg.get("num_classes"))
    return PublishedModel(f"{architecture}.{tag}" if same else name, architecture, cfg, arguments)


def _cfg(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the needed fields of a ``pretrained_cfg``; those at the top of a ``config.json`` come first."""
    given = found.get("pretrained_cfg") or {}
    cfg = {field: given[field] for field in _CFG_FIELDS if given.get(field) is not None}
    above = {"num_classes": "num_classes", "labels": "label_names"}
    above |= {field: field for field in ("label_names", "label_descriptions")}
    cfg |= {field: found[name] for name, field in above.items() if found.get(name) is not None}
    outputs = cfg.get("num_classes", 0)
    if isinstance(outputs, bool) or not isinstance(outputs, int):
        raise TypeError("num_classes is no number")
    return cfg


def _arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that change the network.

    Raises:
        UserError: one of them is unknown or out of bounds.
    """
    kept = {}
    for key, value in given.items():
        if value is None or _IGNORED.fullmatch(key) or (key in _OFF and value is False):
            continue
        kept[key] = _argument(key, value)
    return kept


def _argument(key: str, value: Any) -> Any:
    if key in _PAIRS and isinstance(value, list) and len(value) == 2:
        sides = [_argument(key, side) for side in value]
        return sides[0] if sides[0] == sides[1] else tuple(sides)
    if key in _WHOLE or key in _NUMBERS:
        kind, (low, high) = (int, _WHOLE[key]) if key in _WHOLE else (int | float, _NUMBERS[key])
        if isinstance(value, kind) and not isinstance(value, bool) and low <= value <= high:
            return value
    elif isinstance(value, bool) and key in _SWITCHES:
        return value
    elif isinstance(value, str):
        named = key in _LAYERS and re.fullmatch(r"[a-z0-9_]{1,40}", value)
        if named or value in _CHOICES.get(key, ()):
            return value
    raise UserError(f"The {CONFIG} asks for {key[:40]} = {str(value)[:40]!r}, which is not supported here.")


def from_architecture(architecture: str, name: str) -> PublishedModel:
    """Describe a file of which only the architecture is known, with the preprocessing and classes of timm's default."""
    arch.check_family(architecture)
    from timm.models import get_pretrained_cfg

    cfg = get_pretrained_cfg(architecture, allow_unregistered=True)
    known = {} if cfg is None else {field: value for field, value in cfg.to_dict().items() if field in _CFG_FIELDS}
    return PublishedModel(name, architecture, known | {"architecture": architecture, "tag": "", "license": ""}, {})
