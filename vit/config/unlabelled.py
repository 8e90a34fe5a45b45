"""Sizes of what a training without labels adds to the network. Imports no torch."""

from vit.config.model import ViTConfig

HIDDEN, BOTTLENECK, PROTOTYPES = 256, 64, 512
"""Widths of DINO's projection head. The authors' are 2048, 256 and 65,536, for 1.3 million images."""
DECODER_DEPTH = 2
"""Blocks of MAE's decoder."""


def local_size(image_size: int, patch_size: int) -> int:
    """Return the side of DINO's small crops in pixels: half of the image's, in whole patches."""
    return patch_size * max(1, image_size // patch_size // 2)


def decoder_config(config: ViTConfig) -> ViTConfig:
    """Return the settings of the blocks of MAE's decoder: half the encoder's width, and few blocks."""
    heads = max(1, config.num_heads // 2)
    width = heads * max(8, config.embed_dim // 2 // heads)
    changes = {"embed_dim": width, "num_heads": heads, "depth": DECODER_DEPTH, "dropout": 0.0, "drop_path": 0.0}
    return ViTConfig(**config.model_dump() | changes | {"init_values": 0.0, "num_classes": 0})
