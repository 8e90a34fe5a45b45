"""The processes that train one model together, each on its part of every batch; one alone is the usual case."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class World:
    """Who trains.

    Attributes:
        rank: this process's number, from 0.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    def part(self, count: int) -> slice:
        """This process's part of so many things: all parts together are the whole, in order."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def add(self, tensor: Tensor) -> Tensor:
        """The sum of everybody's tensor, in place."""
        return tensor


ALONE = World()
