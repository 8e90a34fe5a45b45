"""Build a network from its settings, and the types of all networks."""

from typing import cast

import torch

from vit.cnn import CNN
from vit.config import CNNConfig, ModelConfig, ReferenceConfig, ViTConfig
from vit.model import EncoderBlock, ViT
from vit.reference import EncoderBlock as ReferenceBlock
from vit.reference import ReferenceViT

Transformer = ViT | ReferenceViT
Network = Transformer | CNN
Block = EncoderBlock | ReferenceBlock


def build_model(config: ModelConfig, *, seed: int | None = None) -> Network:
    """Return the network that ``config`` describes.

    Args:
        config: the settings of the network.
        seed: draw the weights from this seed, without changing torch's global random state.
    """
    if seed is None:
        return _build(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _build(config)


def blocks_of(transformer: Transformer) -> list[Block]:
    """Return the encoder blocks with their type, which ``nn.Sequential`` does not declare."""
    return cast(list[Block], list(transformer.blocks))


def _build(config: ModelConfig) -> Network:
    match config:
        case ReferenceConfig():
            return ReferenceViT(**config.model_dump())
        case CNNConfig():
            return CNN(config)
        case ViTConfig():
            return ViT(config)
    raise TypeError(f"{type(config).__name__} describes no network.")
