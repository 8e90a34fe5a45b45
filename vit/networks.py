"""Build a network from its settings, and the types of all networks."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

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


class Adapted(nn.Module):
    """A trained network that answers a training with other conventions: ``b c h w -> b classes``.

    Args:
        network: the network.
        order: its class for each class of the training.
        given: mean and standard deviation of each channel with which the images are normalised.
        wanted: those with which the network was trained.
    """

    def __init__(
        self,
        network: nn.Module,
        order: Sequence[int],
        given: tuple[Sequence[float], Sequence[float]],
        wanted: tuple[Sequence[float], Sequence[float]],
    ) -> None:
        super().__init__()
        self.network = network
        (mean, std), (own_mean, own_std) = (
            [torch.tensor(tuple(it)).view(1, -1, 1, 1) for it in pair] for pair in (given, wanted)
        )
        self.order: Tensor
        self.factor: Tensor
        self.shift: Tensor
        self.register_buffer("order", torch.tensor(tuple(order)))
        self.register_buffer("factor", std / own_std)
        self.register_buffer("shift", (mean - own_mean) / own_std)

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images * self.factor + self.shift)[:, self.order]


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
