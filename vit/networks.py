"""The networks by their settings."""

import torch
from torch import nn

from vit.config import ViTConfig
from vit.model import ViT


def build_model(config: ViTConfig, *, seed: int | None = None) -> nn.Module:
    """The network that ``config`` describes, its random weights drawn from ``seed`` without touching the global state."""
    if seed is None:
        return ViT(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ViT(config)
