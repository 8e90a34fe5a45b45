"""A published model as what a run is made of: settings of our network, weights under its names, and words about it."""

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
"""Of 21,843 classes with their descriptions there is one."""
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
"""Arguments of a timm model that a file may give: none that names a file, a place or a part to be made."""
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
"""How far the logits of the two networks may be apart, in shares of the largest."""


@dataclass(frozen=True)
class Origin:
    """What is known of a model besides its weights.

    Attributes:
        name: what it is called, ``architecture.tag`` where it is one of timm's.
        architecture: timm's name for the network.
        cfg: what timm calls the ``pretrained_cfg``: image, crop, normalisation, classes, licence.
        arguments: of timm's constructor, where they are not the architecture's own.
    """

    name: str
    architecture: str
    cfg: Mapping[str, Any]
    arguments: Mapping[str, Any]

    @property
    def licence(self) -> str:
        """As its publisher put it; empty where it is not known."""
        return str(self.cfg.get("license") or "")[:80]


@dataclass(frozen=True)
class Loaded:
    """A model that can be opened.

    Attributes:
        weights: of :class:`vit.model.ViT` by name, float32.
        remarks: sentences on what it is, and what differs here.
    """

    config: RunConfig
    weights: "dict[str, Tensor]"
    remarks: tuple[str, ...]


def named(name: str) -> Origin:
    """A model of timm's zoo, by its architecture with or without a tag.

    Raises:
        UserError: timm is not installed, or has no such weights.
    """
    arch.require_timm()
    import timm
    from timm.models import get_pretrained_cfg

    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        raise UserError(f"timm has no model {name[:80]!r}: python -m vit open --list vit_small shows names.")
    cfg = get_pretrained_cfg(name) if timm.is_model_pretrained(name) else None
    if cfg is None or (not cfg.hf_hub_id and not cfg.url):
        raise UserError(
            f"timm has no weights {name[:80]!r}: python -m vit open --list {architecture} shows those that there are."
        )
    full = f"{architecture}.{cfg.tag}" if cfg.tag else architecture
    return Origin(full, architecture, cfg.to_dict() | {"architecture": architecture}, {})


def described(text: bytes, name: str) -> Origin:
    """What a ``config.json`` in the layout of timm's hub says; of what it may say, what is needed here.

    Args:
        name: what to call the model where it does not say.

    Raises:
        UserError: it is not one, or asks for a network in ways that are not followed.
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
        raise UserError(f"{what} is not as timm writes it, with an architecture and a pretrained_cfg.") from error
    if not isinstance(architecture, str) or not re.fullmatch(r"[a-z0-9_]{1,80}", architecture):
        raise UserError(f"{what} names no architecture of timm's.")
    pool = found.get("global_pool")
    if pool in _CHOICES["global_pool"]:
        arguments.setdefault("global_pool", pool)
    tag = cfg.get("tag")
    tag = tag if isinstance(tag, str) and re.fullmatch(r"[a-z0-9_]{1,60}", tag) else ""
    cfg |= {"architecture": architecture, "tag": tag}
    return Origin(f"{architecture}.{tag}" if tag else name, architecture, cfg, arguments)


def _argument(key: str, value: Any) -> Any:
    if key in _NUMBERS:
        low, high = _NUMBERS[key]
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
            return value
    elif (key in _SWITCHES and isinstance(value, bool)) or (key in _CHOICES and value in _CHOICES[key]):
        return value
    raise UserError(f"The {CONFIG} asks for {key[:40]} = {str(value)[:40]!r}, which is not followed here.")


def of_architecture(architecture: str, name: str) -> Origin:
    """A file of which no more is known than its architecture: images and classes are those of timm's first weights."""
    arch.require_timm()
    from timm.models import get_pretrained_cfg

    cfg = get_pretrained_cfg(architecture, allow_unregistered=True)
    known = {} if cfg is None else {field: value for field, value in cfg.to_dict().items() if field in _CFG_FIELDS}
    return Origin(name, architecture, known | {"architecture": architecture, "tag": "", "license": ""}, {})


def load(path: Path, origin: Origin, *, image_size: int | None = None) -> Loaded:
    """Read a safetensors file as the model that it is said to be, and prove that our network is that model.

    The proof is a forward pass of both, of one image of noise, whose logits must agree.

    Args:
        image_size: side in pixels; without it, that of the grid which the file has positions for.

    Raises:
        NotOurs: our network cannot be this model.
        UserError: the file holds other weights, or is not one that can be read.
    """
    shapes = weights_file.shapes_in(path)
    native = weights_file.PATCHES in shapes
    outputs = weights_file.head_outputs(shapes) if native else int(origin.cfg.get("num_classes") or 0)
    arguments = {key: value for key, value in origin.arguments.items() if key != "img_size"}
    model = arch.build(origin.architecture, num_classes=outputs, **arguments)
    own = weights_file.own_size(shapes, model) or origin.arguments.get("img_size")
    if image_size or own:
        model = arch.build(origin.architecture, num_classes=outputs, image_size=image_size or own, **arguments)
    config = arch.config_of(model)
    weights = weights_file.read(path, model)
    _prove(model, config, weights, path.name)
    return _described(origin, config, weights, image_size=image_size, own=own)


def _prove(model: "nn.Module", config: ViTConfig, weights: "dict[str, Tensor]", name: str) -> None:
    """Raise an error unless the network of these settings gives what timm's gives."""
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
        raise UserError(f"The weights of {name} give no numbers: they are damaged.")
    if (one - other).abs().max() > _EQUAL * other.abs().max().clamp(min=1):
        raise arch.NotOurs(name, "this network gives other outputs than timm's with the same weights")


def _described(
    origin: Origin, config: ViTConfig, weights: "dict[str, Tensor]", *, image_size: int | None, own: int | None
) -> Loaded:
    seen = preprocessing_of(origin.cfg, config.image_size)
    remarks = list(seen.remarks)
    if image_size and own and image_size != own:
        remarks.insert(0, f"Its positions, of {own} pixels, are resampled to {image_size}.")
    count = config.num_classes
    names = class_names.class_names(origin.cfg, count) if count else None
    if count and names is None and (class_names.is_projection(origin.cfg, count) or _is_unbiased(weights)):
        remarks.insert(0, f"It is opened without its head, whose {count:,} outputs are no classes.")
        config = ViTConfig(**config.model_dump() | {"num_classes": 0})
        weights = {name: value for name, value in weights.items() if not name.startswith("head.")}
        count, names = 0, None
    elif not count:
        remarks.insert(0, "It has no head: it gives features, not classes.")
    elif names is None:
        remarks.insert(0, f"Nothing says what its {count:,} classes are called.")
    run = RunConfig(model=config, data=seen.of(names or ()), published=origin.name)
    if count and names is None:
        run = run.model_copy(update={"data": seen.of(class_names_of(run))})
    return Loaded(run, weights, tuple(remarks))


def _is_unbiased(weights: "Mapping[str, Tensor]") -> bool:
    """Whether the head is a mere projection, to which timm gives a bias of zeros."""
    bias = weights.get("head.bias")
    return bias is not None and not bool(bias.any())
