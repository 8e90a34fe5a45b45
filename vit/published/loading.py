"""Load a published model as the parts of a run: settings of the network, weights, and remarks for the user."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vit.classes import class_names_of
from vit.config import RunConfig, ViTConfig
from vit.errors import UserError
from vit.published import architecture as arch
from vit.published import class_names, weights_file
from vit.published.preprocessing import preprocessing_of

if TYPE_CHECKING:
    from torch import Tensor, nn

CONFIG = "config.json"
CONFIG_BYTES_MAX = 4 * 2**20
"""Enough for 21,843 classes with descriptions, the largest known file."""
_NUMBERS = {
    "img_size": (8, 1024),
    "patch_size": (1, 64),
    "embed_dim": (4, 2048),
    "depth": (1, 48),
    "num_heads": (1, 32),
    "mlp_ratio": (0.25, 8),
    "reg_tokens": (0, 16),
    "init_values": (0, 1),
}
_SWITCHES = ("qkv_bias", "class_token", "no_embed_class", "pre_norm", "fc_norm", "final_norm", "pool_include_prefix")
_CHOICES = {
    "global_pool": ("token", "avg"),
    "act_layer": ("gelu", "gelu_tanh", "quick_gelu", "quickgelu"),
}
"""The arguments of a timm model that a file may set. None of them names a file, an address or a class."""
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
_EQUAL = 1e-3
"""Largest difference between the logits of the two networks, relative to the largest logit."""


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


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to become a run.

    Attributes:
        config: settings of the run.
        weights: the network's weights by name, float32.
        remarks: sentences about the model, and about differences from the original.
    """

    config: RunConfig
    weights: "dict[str, Tensor]"
    remarks: tuple[str, ...]


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
        UserError: the file is invalid, or sets arguments that are not supported.
    """
    what = f"The {CONFIG} of {name}"
    if len(text) > CONFIG_BYTES_MAX:
        raise UserError(f"{what} is longer than {CONFIG_BYTES_MAX // 2**20} MB.")
    try:
        found = json.loads(text)
        architecture = found["architecture"]
        cfg = found.get("pretrained_cfg", {})
        cfg = {field: cfg[field] for field in _CFG_FIELDS if cfg.get(field) is not None}
        cfg |= {field: found[field] for field in ("num_classes", "label_names", "label_descriptions") if field in found}
        arguments = {key: _argument(key, value) for key, value in found.get("model_args", {}).items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{what} is not in timm's format, with an architecture and a pretrained_cfg.") from error
    if not isinstance(architecture, str) or not re.fullmatch(r"[a-z0-9_]{1,80}", architecture):
        raise UserError(f"{what} names no architecture of timm.")
    pool = found.get("global_pool")
    if pool in _CHOICES["global_pool"]:
        arguments.setdefault("global_pool", pool)
    tag = cfg.get("tag")
    tag = tag if isinstance(tag, str) and re.fullmatch(r"[a-z0-9_]{1,60}", tag) else ""
    cfg |= {"architecture": architecture, "tag": tag}
    return PublishedModel(f"{architecture}.{tag}" if tag else name, architecture, cfg, arguments)


def _argument(key: str, value: Any) -> Any:
    if key in _NUMBERS:
        low, high = _NUMBERS[key]
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
            return value
    elif (key in _SWITCHES and isinstance(value, bool)) or (key in _CHOICES and value in _CHOICES[key]):
        return value
    raise UserError(f"The {CONFIG} asks for {key[:40]} = {str(value)[:40]!r}, which is not supported here.")


def from_architecture(architecture: str, name: str) -> PublishedModel:
    """Describe a file of which only the architecture is known, with the preprocessing and classes of timm's default."""
    arch.require_timm()
    from timm.models import get_pretrained_cfg

    cfg = get_pretrained_cfg(architecture, allow_unregistered=True)
    known = {} if cfg is None else {field: value for field, value in cfg.to_dict().items() if field in _CFG_FIELDS}
    return PublishedModel(name, architecture, known | {"architecture": architecture, "tag": "", "license": ""}, {})


def load(path: Path, published: PublishedModel, *, image_size: int | None = None) -> Loaded:
    """Read a safetensors file as the given model, and check that this program's ViT equals timm's network.

    The check is a forward pass of both networks on one image of noise; the logits must agree.

    Args:
        path: the file of weights.
        published: the model.
        image_size: image size in pixels; None uses the grid of the position embeddings in the file.

    Raises:
        NotSupported: the ViT cannot represent this model.
        UserError: the file holds other weights, or cannot be read.
    """
    shapes = weights_file.shapes_in(path)
    native = weights_file.PATCHES in shapes
    outputs = weights_file.head_outputs(shapes) if native else int(published.cfg.get("num_classes") or 0)
    arguments = {key: value for key, value in published.arguments.items() if key != "img_size"}
    model = arch.build(published.architecture, num_classes=outputs, **arguments)
    own = weights_file.own_size(shapes, model) or published.arguments.get("img_size")
    if image_size or own:
        model = arch.build(published.architecture, num_classes=outputs, image_size=image_size or own, **arguments)
    config = arch.config_of(model)
    weights = weights_file.read(path, model)
    _check_outputs(model, config, weights, path.name)
    return _loaded(published, config, weights, image_size=image_size, own=own)


def _check_outputs(model: "nn.Module", config: ViTConfig, weights: "dict[str, Tensor]", name: str) -> None:
    """Raise an error unless the ViT of these settings gives the same logits as timm's network."""
    import torch

    from vit.model import ViT

    with torch.device("meta"):
        ours = ViT(config)
    ours.load_state_dict(weights, assign=True)
    model.load_state_dict(weights, assign=True)
    image = torch.randn(1, 3, config.image_size, config.image_size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        one, other = ours.eval()(image), model.eval()(image)
    if not other.isfinite().all():
        raise UserError(f"The weights of {name} are damaged: the outputs are not finite.")
    if (one - other).abs().max() > _EQUAL * other.abs().max().clamp(min=1):
        raise arch.NotSupported(name, "this network gives other outputs than timm's with the same weights")


def _loaded(
    published: PublishedModel,
    config: ViTConfig,
    weights: "dict[str, Tensor]",
    *,
    image_size: int | None,
    own: int | None,
) -> Loaded:
    seen = preprocessing_of(published.cfg, config.image_size)
    remarks = list(seen.remarks)
    if image_size and own and image_size != own:
        remarks.insert(0, f"The position embeddings are resampled from {own} to {image_size} pixels.")
    count = config.num_classes
    names = class_names.class_names(published.cfg, count) if count else None
    if count and names is None and (class_names.is_projection(published.cfg, count) or _is_unbiased(weights)):
        remarks.insert(0, f"It is opened without its head, whose {count:,} outputs are not classes.")
        config = ViTConfig(**config.model_dump() | {"num_classes": 0})
        weights = {name: value for name, value in weights.items() if not name.startswith("head.")}
        count, names = 0, None
    elif not count:
        remarks.insert(0, "It has no head: its output is features, not classes.")
    elif names is None:
        remarks.insert(0, f"The names of its {count:,} classes are unknown.")
    run = RunConfig(model=config, data=seen.data_config(names or ()), published=published.name)
    if count and names is None:
        run = run.model_copy(update={"data": seen.data_config(class_names_of(run))})
    return Loaded(run, weights, tuple(remarks))


def _is_unbiased(weights: "Mapping[str, Tensor]") -> bool:
    """Return whether the head is only a projection: timm then sets its bias to zeros."""
    bias = weights.get("head.bias")
    return bias is not None and not bool(bias.any())
