"""The networks by their settings."""

import torch
from torch import nn

from vit.config import ModelConfig


def build_model(config: ModelConfig, *, seed: int | None = None) -> nn.Module:
    """The network that ``config`` describes, its weights drawn from ``seed`` without touching the global state."""
    if seed is None:
        return _build(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _build(config)


def _build(config: ModelConfig) -> nn.Module:
    match config.architecture:
        case "reference":
            from vit.reference import ReferenceViT

            return ReferenceViT(**config.model_dump())
        case "cnn":
            from vit.cnn import CNN

            return CNN(config)
        case _:
            from vit.model import ViT

            return ViT(config)
