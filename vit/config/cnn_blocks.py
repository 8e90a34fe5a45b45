"""Blocks of the convolutional networks, for :mod:`vit.cnn` and for counting parameters without torch."""

from itertools import pairwise
from typing import NamedTuple

from vit.config.model import CNNConfig

WIDTHS = (32, 64, 128, 256)
"""Channels after each block of the plain network."""

RESIDUAL_WIDTH = 124
"""Channels of the residual network's last stage; with these it has about 650,000 parameters."""

STAGES = 3
STAGE_BLOCKS = 2
"""Stages of the residual network, each half as wide as the next, and the number of blocks in each."""


class Block(NamedTuple):
    """One block: a convolution and a pooling, or, if ``residual``, two convolutions with a shortcut.

    ``stride`` is the factor by which the output is smaller along each side.
    """

    residual: bool
    width_in: int
    width_out: int
    stride: int

    def side_out(self, side: int) -> int:
        """Return the side of the output of a ``side`` x ``side`` map: strides round up, pooling rounds down."""
        return -(-side // self.stride) if self.residual else side // self.stride


def blocks(config: CNNConfig) -> list[Block]:
    """Return the blocks of a network in order."""
    if not config.residual:
        return [Block(False, *widths, 2) for widths in pairwise((config.in_channels, *WIDTHS))]
    widths = [RESIDUAL_WIDTH >> STAGES - 1 - stage for stage in range(STAGES)]
    plan = [Block(False, config.in_channels, widths[0], 2)]
    for width in widths:
        for _ in range(STAGE_BLOCKS):
            before = plan[-1].width_out
            plan.append(Block(True, before, width, 1 if width == before else 2))
    return plan
