"""List published models: a short selection, and all of timm's."""

from dataclasses import dataclass
from fnmatch import fnmatch

from vit.config import ViTConfig
from vit.cost.estimate import count_parameters
from vit.published import architecture as arch
from vit.published import class_names, guess_architecture

CURATED = {
    "vit_tiny_patch16_224.augreg_in21k_ft_in1k": "The smallest plain ViT, 3 heads per block: fast on a laptop too.",
    "vit_small_patch16_224.augreg_in21k_ft_in1k": "6 heads per block, trained on 14 million labelled photographs.",
    "vit_base_patch16_224.augreg_in21k_ft_in1k": "ViT-B/16, the standard model: 12 blocks of 12 heads.",
    "deit_small_patch16_224.fb_in1k": "Trained only on the 1.3 million photographs of ImageNet, strongly augmented.",
    "deit3_small_patch16_224.fb_in22k_ft_in1k": "With layer scale, and a class token without a position embedding.",
    "vit_small_patch16_224.dino": "Trained without labels; some heads outline the object.",
    "vit_small_patch14_dinov2.lvd142m": "DINOv2, no labels; a few background patches attract much attention.",
    "vit_small_patch14_reg4_dinov2.lvd142m": "DINOv2 with four register tokens, which attract that attention instead.",
    "vit_base_patch32_clip_quickgelu_224.openai": "CLIP's image encoder, trained on photographs with captions.",
}
"""A selection of models and what is interesting about each; small models first."""


IMAGE_SIZES = (112, 128, 160, 192, 196, 224, 256, 336, 384, 448)
SMALLEST = 112
PATCHES_MAX = 24 * 24
"""Limit of a fast page: the size of an image's attention grows with the square of the number of patches."""


@dataclass(frozen=True)
class Entry:
    """A published model before its download.

    Attributes:
        name: timm's name, with the tag.
        reason: why it cannot be opened, as a clause; empty if it can.
        config: settings of the ViT, without a head if the outputs are not classes; None if it cannot be opened.
        classes: number of classes.
        licence: as stated by the publisher; empty if unknown.
        download_bytes: size of the weights, computed from the number of parameters.
    """

    name: str
    reason: str
    config: ViTConfig | None
    classes: int
    licence: str
    download_bytes: int


def names(pattern: str = "") -> list[str]:
    """Return the names of timm's pretrained models, Vision Transformers and their relatives first.

    An architecture of which timm has no weights is listed by its own name. Of many of these models only
    :func:`describe` shows that they cannot be opened, and why.

    Args:
        pattern: a shell pattern such as ``vit_*_224``; without a wildcard, any part of a name.
    """
    arch.require_timm()
    import timm

    modules = (*guess_architecture.MODULES, *arch.RELATIVES)
    families = {family for module in modules for family in timm.list_models(module=module)}
    pattern = pattern.strip().lower()
    pattern = pattern if set("*?[") & set(pattern) else f"*{pattern}*"
    pretrained = timm.list_pretrained()
    without = sorted(set(timm.list_models()) - {name.partition(".")[0] for name in pretrained})
    found = [name for name in (*pretrained, *without) if fnmatch(name, pattern)]
    return sorted(found, key=lambda name: name.partition(".")[0] not in families)  # stable: keeps timm's order


def image_sizes(config: ViTConfig) -> tuple[int, ...]:
    """Return the image sizes (pixels) at which a model can be opened: its own, and common smaller ones."""
    smaller = (size for size in sorted(IMAGE_SIZES, reverse=True) if size < config.image_size)
    return (config.image_size, *(size for size in smaller if size % config.patch_size == 0 and size >= SMALLEST))


def default_size(config: ViTConfig) -> int:
    """Return the largest of :func:`image_sizes` with at most :data:`PATCHES_MAX` patches."""
    sizes = image_sizes(config)
    return next((size for size in sizes if (size // config.patch_size) ** 2 <= PATCHES_MAX), sizes[-1])


def describe(name: str, image_size: int | None = None) -> Entry:
    """Return the entry of a model. Its network is built on the meta device to examine it.

    Raises:
        UserError: timm is not installed, or has no such model.
    """
    import timm

    from vit.published.model_description import by_name

    if timm.is_model(name) and not timm.is_model_pretrained(name):
        try:
            arch.check_family(name)
        except arch.NotSupported as error:
            return Entry(name, error.reason, None, 0, "", 0)
        return Entry(name, "timm has no weights of it", None, 0, "", 0)
    published = by_name(name)
    outputs = int(published.cfg.get("num_classes") or 0)
    classes = 0 if class_names.is_projection(published.cfg, outputs) else outputs
    try:
        config = arch.config_of(published.architecture, image_size)
        config = ViTConfig(**config.model_dump() | {"num_classes": classes})
    except arch.NotSupported as error:
        return Entry(published.name, error.reason, None, classes, published.licence, 0)
    whole = config.model_copy(update={"num_classes": outputs})
    return Entry(published.name, "", config, classes, published.licence, 4 * count_parameters(whole))
