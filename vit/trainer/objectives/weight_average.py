"""Exponential moving average of a network's weights (Polyak and Juditsky 1992)."""

from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn

WARM_UP = 10
"""The average begins as a copy of the weights, and its decay is at most step / (step + this)."""


class WeightAverage:
    """A copy of a network whose weights and running statistics follow the network's slowly.

    Args:
        model: the network that is trained.
        decay: share of the average that a step keeps, once many steps are taken.

    Attributes:
        model: the network with the averaged weights.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = deepcopy(model).requires_grad_(False)
        self.decay = decay
        pairs = list(zip(self.model.state_dict().values(), model.state_dict().values(), strict=True))
        self._averaged, self._current = zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True)
        self._counts = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the weights after step number ``step``, counted from 0, without waiting for the device."""
        decay = min(self.decay, step / (step + WARM_UP))
        torch._foreach_lerp_(list(self._averaged), list(self._current), 1 - decay)
        for count, current in self._counts:
            count.copy_(current)

    def state(self) -> dict[str, Tensor]:
        """Return the averaged weights by name."""
        return self.model.state_dict()

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Load the result of :meth:`state`."""
        self.model.load_state_dict(dict(state))
