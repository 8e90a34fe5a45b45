"""AdamW by PyTorch's fused kernel, called directly.

``torch.optim.AdamW(fused=True)`` calls the same kernel, but imports torch's compiler at its first step, a second and a
half that every run would wait for, and collects its lists anew at each. Here the learning rate is a tensor on the
device, and so is the count of steps: nothing is asked of the host, and a CUDA graph can hold a step.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn

from vit.config import TrainingConfig

EPS = 1e-8
MOMENTS = ("exp_avg", "exp_avg_sq")


_BLOCK = re.compile(r"blocks\.(\d+)\.")
_EMBEDDING = ("cls_token", "reg_token", "pos_embed", "patch_embed.", "norm_pre.")


def layer_of(name: str, depth: int) -> int:
    """The layer of a parameter of a transformer, as timm's ``VisionTransformer.group_matcher`` has it: 0 what makes the
    tokens, block i is i + 1 and the norm goes with the last of them, ``depth + 1`` the head and the norm of the mean.
    """
    if name.startswith(_EMBEDDING):
        return 0
    if block := _BLOCK.match(name):
        return int(block[1]) + 1
    return depth if name.startswith("norm.") else depth + 1


def layer_scale(name: str, depth: int, layer_decay: float) -> float:
    """What the learning rate of a parameter is multiplied by, ``layer_decay ** (depth + 1 - layer)``.

    As timm's ``param_groups_layer_decay`` (Clark et al. 2020; Bao et al. 2022).
    """
    return layer_decay ** (depth + 1 - layer_of(name, depth))


@dataclass(frozen=True)
class _Group:
    """Parameters that share a weight decay and a rate, and their moments."""

    parameters: list[Tensor]
    moments: tuple[list[Tensor], ...]
    weight_decay: float
    scale: float


class AdamW:
    """AdamW (Loshchilov and Hutter 2019) over the parameters that need gradients, the decayed ones first.

    Only matrices and filters decay, not biases, norms, positions or tokens. Nothing is kept for frozen parameters.

    Args:
        layer_decay: each layer learns with this times the rate of the one after it: :func:`layer_scale`.

    Attributes:
        lr: the learning rate, a scalar on the device; fill it before a step.
    """

    def __init__(self, model: nn.Module, config: TrainingConfig, layer_decay: float = 1.0) -> None:
        named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
        named.sort(key=lambda item: _is_free(*item))  # stable: as the model names them, within each
        self.parameters = [parameter for _, parameter in named]
        self.decayed = [parameter for name, parameter in named if not _is_free(name, parameter)]
        self.betas = config.betas
        device = self.parameters[0].device
        # In main memory the kernel takes a double; on a GPU it reads a float.
        self.lr = torch.tensor(config.lr, dtype=torch.float64 if device.type == "cpu" else torch.float32, device=device)
        self._step = torch.zeros((), device=device)
        self._moments = {name: [torch.zeros_like(parameter) for parameter in self.parameters] for name in MOMENTS}
        scales = [1.0] * len(named)
        if layer_decay != 1:
            scales = [layer_scale(name, model.config.depth, layer_decay) for name, _ in named]
        self._groups = []
        for scale, free in product(sorted(set(scales)), (False, True)):
            rows = [row for row, item in enumerate(named) if scales[row] == scale and _is_free(*item) == free]
            moments = tuple([self._moments[name][row] for row in rows] for name in MOMENTS)
            weight_decay = 0.0 if free else config.weight_decay
            if rows:
                self._groups.append(_Group([self.parameters[row] for row in rows], moments, weight_decay, scale))

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter by its gradient."""
        self._step += 1
        for group in self._groups:
            torch._fused_adamw_(
                group.parameters,
                [parameter.grad for parameter in group.parameters],
                *group.moments,
                [],
                [self._step] * len(group.parameters),
                lr=self.lr if group.scale == 1 else self.lr * group.scale,
                beta1=self.betas[0],
                beta2=self.betas[1],
                weight_decay=group.weight_decay,
                eps=EPS,
                amsgrad=False,
                maximize=False,
            )

    def state(self) -> dict[str, Tensor]:
        """Its own tensors by ``<index>.<name>``, as ``torch.optim.AdamW`` numbers and names them."""
        found = {}
        for index in range(len(self.parameters)):
            found |= {f"{index}.{name}": self._moments[name][index] for name in MOMENTS}
            found[f"{index}.step"] = self._step.clone()  # of each its own, for a file holds no tensor twice
        return found

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`state` gave."""
        for index in range(len(self.parameters)):
            for name in MOMENTS:
                self._moments[name][index].copy_(state[f"{index}.{name}"])
        self._step.copy_(state["0.step"])


def _is_free(name: str, parameter: Tensor) -> bool:
    """Whether a parameter does not decay."""
    return parameter.ndim < 2 or name.endswith(("pos_embed", "cls_token", "reg_token"))
