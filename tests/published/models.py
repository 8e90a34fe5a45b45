"""Small timm models of each family, with random weights."""

from pathlib import Path

import timm
import torch
from safetensors.torch import save_file
from torch import nn

TINY = {"depth": 2, "embed_dim": 24, "num_heads": 3}
FAMILIES = {
    "vit": ("vit_tiny_patch16_224", {"img_size": 64, "num_classes": 1000}),
    "vit-patch32": ("vit_base_patch32_224", {"img_size": 128, "num_classes": 7}),
    "deit": ("deit_small_patch16_224", {"img_size": 64, "num_classes": 1000}),
    "deit3": ("deit3_small_patch16_224", {"img_size": 64, "num_classes": 1000}),
    "dino": ("vit_small_patch16_224", {"img_size": 64, "num_classes": 0}),
    "dinov2": ("vit_small_patch14_dinov2", {"img_size": 70}),
    "dinov2-registers": ("vit_small_patch14_reg4_dinov2", {"img_size": 70}),
    "clip": ("vit_base_patch32_clip_224", {"img_size": 96, "num_classes": 16}),
    "clip-quickgelu": ("vit_base_patch32_clip_quickgelu_224", {"img_size": 96, "num_classes": 16}),
    "clip-finetuned": ("vit_base_patch16_clip_224", {"img_size": 64, "num_classes": 1000}),
    "mae": ("vit_base_patch16_224", {"img_size": 64, "num_classes": 0}),
    "gap": ("vit_base_patch16_gap_224", {"img_size": 64, "num_classes": 5}),
    "gap-no-bias": ("vit_medium_patch16_gap_256", {"img_size": 64, "num_classes": 5}),
    "reg1-gap": ("vit_medium_patch16_reg1_gap_256", {"img_size": 64, "num_classes": 5}),
    "reg4-gap": ("vit_so150m_patch16_reg4_gap_256", {"img_size": 64, "num_classes": 5, "mlp_ratio": 2.5}),
    "siglip-gap": ("vit_base_patch16_siglip_gap_224", {"img_size": 64}),
    "siglip-gap-tanh": ("vit_so400m_patch14_siglip_gap_224", {"img_size": 56, "mlp_ratio": 3.5}),
    "miil": ("vit_base_patch16_224_miil", {"img_size": 64, "num_classes": 11}),
    "flexivit": ("flexivit_small", {"img_size": 64, "num_classes": 5}),
}
"""Supported families: an architecture of timm, and arguments that make it small."""


def small(family: str) -> nn.Module:
    """Return a model of a family in eval mode, with weights large enough that every part matters."""
    architecture, arguments = FAMILIES[family]
    return scramble(timm.create_model(architecture, **TINY, **arguments))


def scramble(model: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn(value.shape, generator=generator) * 0.2)
    return model.eval()


def save(model: nn.Module, path: Path) -> Path:
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)
    return path
