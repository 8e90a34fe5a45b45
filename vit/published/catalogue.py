"""Published models to choose from: a few to begin with, and all that timm knows."""

from dataclasses import dataclass
from fnmatch import fnmatch

from vit.config import ViTConfig
from vit.cost.estimate import count_parameters
from vit.published import architecture as arch
from vit.published import class_names, guess_architecture

CURATED = {
    "vit_tiny_patch16_224.augreg_in21k_ft_in1k": "The smallest plain ViT, three heads a block: quick even on a laptop.",
    "vit_small_patch16_224.augreg_in21k_ft_in1k": "Six heads a block, learned from 14 million labelled photographs.",
    "vit_base_patch16_224.augreg_in21k_ft_in1k": "ViT-B/16, the model of the textbooks: 12 blocks of 12 heads.",
    "deit_small_patch16_224.fb_in1k": "Learned from ImageNet's 1.3 million photographs alone, by strong augmentation.",
    "deit3_small_patch16_224.fb_in22k_ft_in1k": "With layer scale; its class token enters without a position.",
    "vit_small_patch16_224.dino": "Learned without labels; some heads outline the object by themselves.",
    "vit_small_patch14_dinov2.lvd142m": "DINOv2, learned without labels; a few background patches draw much attention.",
    "vit_small_patch14_reg4_dinov2.lvd142m": "DINOv2 with four registers, which take that attention off the patches.",
    "vit_base_patch32_clip_quickgelu_224.openai": "CLIP's image tower: learned from photographs with their captions.",
}
"""Models to begin with, and what is worth looking at in each; the small ones first."""


IMAGE_SIZES = (112, 128, 160, 192, 196, 224, 256, 336, 384, 448)
SMALLEST = 112
PATCHES_MAX = 24 * 24
"""Up to here pages stay quick: the attention of one image grows with the square."""


RELATIVES = (*guess_architecture.MODULES, "vision_transformer_hybrid", "vision_transformer_relpos", "eva", "beit")
"""Of timm: where what people look for as a ViT is; what differs in those that do not open, the list says."""


@dataclass(frozen=True)
class Entry:
    """What is known of a published model before it is fetched.

    Attributes:
        name: timm's, with its tag.
        reason: why it cannot be opened, a clause; empty where it can.
        config: of our network, without a head where its outputs are no classes; None where it cannot be opened.
        classes: outputs that are classes.
        licence: as its publisher put it; empty where it is not known.
        download_bytes: of the weights, counted by their number.
    """

    name: str
    reason: str
    config: ViTConfig | None
    classes: int
    licence: str
    download_bytes: int


def names(pattern: str = "") -> list[str]:
    """Names of weights that timm knows, of Vision Transformers and their relatives.

    Args:
        pattern: with ``*`` for any letters; without, any part of a name.
    """
    arch.require_timm()
    import timm

    families = {family for module in RELATIVES for family in timm.list_models(module=module)}
    pattern = pattern.strip().lower()
    pattern = pattern if set("*?[") & set(pattern) else f"*{pattern}*"
    return [name for name in timm.list_pretrained() if name.partition(".")[0] in families and fnmatch(name, pattern)]


def image_sizes(config: ViTConfig) -> tuple[int, ...]:
    """Sizes at which a model may be opened, pixels a side: the published one, and usual ones below that."""
    smaller = (size for size in sorted(IMAGE_SIZES, reverse=True) if size < config.image_size)
    return (config.image_size, *(size for size in smaller if size % config.patch_size == 0 and size >= SMALLEST))


def handy_size(config: ViTConfig) -> int:
    """The largest of :func:`image_sizes` with no more than :data:`PATCHES_MAX` patches."""
    sizes = image_sizes(config)
    return next((size for size in sizes if (size // config.patch_size) ** 2 <= PATCHES_MAX), sizes[-1])


def describe(name: str, image_size: int | None = None) -> Entry:
    """What is known of a model; its network is built, without memory, to judge it.

    Raises:
        UserError: timm is not installed, or has no such weights.
    """
    from vit.published.loading import named

    origin = named(name)
    outputs = int(origin.cfg.get("num_classes") or 0)
    classes = 0 if class_names.is_projection(origin.cfg, outputs) else outputs
    try:
        config = arch.config_of(origin.architecture, image_size)
        config = ViTConfig(**config.model_dump() | {"num_classes": classes})
    except arch.NotOurs as error:
        return Entry(origin.name, error.reason, None, classes, origin.licence, 0)
    whole = config.model_copy(update={"num_classes": outputs})
    return Entry(origin.name, "", config, classes, origin.licence, 4 * count_parameters(whole))
