"""AdamW by PyTorch's fused kernel, called directly.

``torch.optim.AdamW(fused=True)`` calls the same kernel, but imports torch's compiler at its first step, a second and a
half that every run would wait for, and collects its lists anew at each. Here the learning rate is a tensor on the
device, and so is the count of steps: nothing is asked of the host, and a CUDA graph can hold a step.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vit.config import TrainingConfig

EPS = 1e-8
MOMENTS = ("exp_avg", "exp_avg_sq")


class AdamW:
    """AdamW (Loshchilov and Hutter 2019) with two groups of parameters, the decayed ones first.

    Only matrices and filters decay, not biases, norms, positions or tokens. All parameters need gradients.

    Attributes:
        lr: the learning rate, a scalar on the device; fill it before a step.
    """

    def __init__(self, model: nn.Module, config: TrainingConfig) -> None:
        self.decayed, free = [], []
        for name, parameter in model.named_parameters():
            table = name.endswith(("pos_embed", "cls_token", "reg_token"))
            (free if parameter.ndim < 2 or table else self.decayed).append(parameter)
        self.parameters = [*self.decayed, *free]
        self.betas = config.betas
        device = self.parameters[0].device
        # In main memory the kernel takes a double; on a GPU it reads a float.
        self.lr = torch.tensor(config.lr, dtype=torch.float64 if device.type == "cpu" else torch.float32, device=device)
        self._step = torch.zeros((), device=device)
        self._moments = {name: [torch.zeros_like(parameter) for parameter in self.parameters] for name in MOMENTS}
        cut = len(self.decayed)
        self._groups = [(slice(0, cut), config.weight_decay), (slice(cut, None), 0.0)]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter by its gradient."""
        self._step += 1
        for part, weight_decay in self._groups:
            parameters = self.parameters[part]
            torch._fused_adamw_(
                parameters,
                [parameter.grad for parameter in parameters],
                *(self._moments[name][part] for name in MOMENTS),
                [],
                [self._step] * len(parameters),
                lr=self.lr,
                beta1=self.betas[0],
                beta2=self.betas[1],
                weight_decay=weight_decay,
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
