"""What a part of a network costs in parameters, operations and memory, and how parts add up. Imports no torch."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

FLOAT = 4
INDEX = 8
"""Bytes of a float32 number, and of the index of a maximum, which max-pooling keeps for the backward pass."""


@dataclass(frozen=True)
class Counts:
    """The costs of one part of a network. Parts that run one after the other are added with ``+``.

    Attributes:
        parameters: trained numbers.
        flops: operations of the matrix products in one image's forward pass; a multiply-add counts as two.
        tensors: bytes of each tensor that one image keeps in memory for the backward pass; ``kept`` is their sum.
        peak: bytes of one image at the highest point of a training step: the kept tensors, and the gradients and
            copies that exist at the same time.
        flow: bytes of each float32 tensor of one image at the highest point of a pass that keeps nothing (validation).
        passing: bytes of each temporary tensor that is allocated between kept ones and freed before the next, and so
            leaves a hole in the heap: copies in the layout of oneDNN's convolutions, and tensors that are stacked.
    """

    parameters: int = 0
    flops: int = 0
    tensors: tuple[int, ...] = ()
    peak: int = 0
    flow: tuple[int, ...] = ()
    passing: tuple[int, ...] = ()

    @property
    def kept(self) -> int:
        return sum(self.tensors)

    def __add__(self, other: Self) -> "Counts":
        """Return the costs of this part followed by ``other``.

        When the backward pass reaches ``other``, all tensors of this part are kept; when it reaches this part, those of
        ``other`` are freed.
        """
        return Counts(
            self.parameters + other.parameters,
            self.flops + other.flops,
            self.tensors + other.tensors,
            max(self.peak, self.kept + other.peak),
            max(self.flow, other.flow, key=sum),
            self.passing + other.passing,
        )

    def __mul__(self, times: int) -> "Counts":
        return total([self] * times)


NOTHING = Counts()


def total(parts: Iterable[Counts]) -> Counts:
    """Return the costs of parts that run one after the other."""
    return sum(parts, NOTHING)


def activations(
    *, kept: tuple[int, ...] = (), beside: int = 0, flow: tuple[int, ...] = (), passing: tuple[int, ...] = ()
) -> Counts:
    """Return the memory of one image in a part of a network, in bytes.

    Args:
        kept: each tensor that is kept for the backward pass.
        beside: all that exists beside them while the backward pass of this part runs.
        flow: each tensor that exists at the same time in a pass that keeps nothing.
        passing: each temporary tensor that leaves a hole in the heap.
    """
    return Counts(tensors=kept, peak=sum(kept) + beside, flow=flow, passing=passing)


def linear(width_in: int, width_out: int, positions: int = 1, *, bias: bool = True) -> Counts:
    """Return the weights and operations of a linear map that is applied at each position.

    A convolution is a linear map of the numbers under its kernel: ``width_in`` is channels times kernel area.
    """
    return Counts(width_in * width_out + width_out * bias, 2 * width_in * width_out * positions)
