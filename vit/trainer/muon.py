"""Muon for the matrices of the encoder (Jordan et al. 2024), AdamW for everything else.

``torch.optim.Muon`` reads the learning rate on the host at each step, which a CUDA graph cannot contain, and takes one
matrix after the other. Here matrices of one shape are taken together.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vit.config import TrainingConfig
from vit.trainer.optimizer import MOMENTS, AdamW

MOMENTUM = 0.95
_BUFFER = "momentum_buffer"  # the name in torch.optim.Muon
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_EPS = 1e-7
_DTYPES = {"cuda": torch.bfloat16}
"""``torch.optim.Muon`` computes in bfloat16 everywhere, but many CPUs have no fast bfloat16."""


@dataclass(frozen=True)
class _Matrices:
    """Matrices of one shape with one learning rate, and their momentum."""

    parameters: list[Tensor]
    buffers: list[Tensor]
    scale: float


class Muon(AdamW):
    """Muon with Nesterov momentum for the matrices of the blocks.

    An update has the size of one of AdamW, as with ``adjust_lr_fn="match_rms_adamw"`` of ``torch.optim.Muon``, so
    learning rate and weight decay mean the same for both.
    """

    def __init__(
        self,
        model: nn.Module,
        config: TrainingConfig,
        layer_decay: float = 1.0,
        modules: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__(model, config, layer_decay, modules)
        self._weight_decay = config.weight_decay
        found: dict[tuple[torch.Size, float], _Matrices] = {}
        for parameter, moments, scale in zip(self.parameters, self._moments, self._scales, strict=True):
            if _BUFFER in moments:
                group = found.setdefault((parameter.shape, scale), _Matrices([], [], scale))
                group.parameters.append(parameter)
                group.buffers.append(moments[_BUFFER])
        self._matrices = list(found.values())

    def moments(self, name: str, parameter: Tensor) -> tuple[str, ...]:
        """Return the momentum for a matrix of a block, and the moments of AdamW for all others."""
        return (_BUFFER,) if name.startswith("blocks.") and parameter.ndim == 2 else MOMENTS

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter with its gradient."""
        super().step()
        for group in self._matrices:
            gradients = [parameter.grad for parameter in group.parameters if parameter.grad is not None]
            if len(gradients) < len(group.parameters):
                raise RuntimeError("A trained parameter has no gradient.")
            torch._foreach_lerp_(group.buffers, gradients, 1 - MOMENTUM)
            updates = torch.lerp(torch.stack(gradients), torch.stack(group.buffers), MOMENTUM)
            size = 0.2 * math.sqrt(max(updates.shape[1:]))
            rate = self.lr * group.scale
            for parameter, update in zip(group.parameters, orthogonalise(updates), strict=True):
                parameter.mul_(1 - rate * self._weight_decay).sub_(update * (rate * size))


def orthogonalise(matrices: Tensor) -> Tensor:
    """Move all singular values of each matrix towards 1, with five steps of a Newton-Schulz iteration.

    Args:
        matrices: float32 (k n m).
    """
    a, b, c = _COEFFICIENTS
    x = matrices.to(_DTYPES.get(matrices.device.type, torch.float32))
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=_EPS)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


def build_optimizer(
    model: nn.Module,
    config: TrainingConfig,
    layer_decay: float = 1.0,
    modules: Mapping[str, nn.Module] | None = None,
) -> AdamW:
    """Return the optimiser that the settings ask for, with the arguments of :class:`AdamW`."""
    return (Muon if config.optimizer == "muon" else AdamW)(model, config, layer_decay, modules)
