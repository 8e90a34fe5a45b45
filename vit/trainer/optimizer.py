"""AdamW with a direct call of PyTorch's fused kernel.

``torch.optim.AdamW(fused=True)`` calls the same kernel, but it imports torch's compiler at its first step, which takes
a second and a half in every run, and it collects its lists of tensors at each step. Here the learning rate and the
count of steps are tensors on the device, so a step needs nothing from the host and a CUDA graph can record it.

The kernel's Python function is private, so it is called only in the versions of torch that this module is tested with
(:data:`KERNEL_VERSIONS`). In all others ``torch.optim.AdamW`` takes the steps, with the same state and results.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn

from vit.config import TrainingConfig, TransformerConfig

EPS = 1e-8
MOMENTS = ("exp_avg", "exp_avg_sq")
KERNEL_VERSIONS = ("2.14", "2.16")
"""The first version of torch whose private function is known, and the first that is not."""

_BLOCK = re.compile(r"blocks\.(\d+)\.")
_EMBEDDING = ("cls_token", "reg_token", "pos_embed", "patch_embed.", "norm_pre.")


def layer_of(name: str, depth: int) -> int:
    """Return the layer of a transformer's parameter, as in timm's ``VisionTransformer.group_matcher``.

    Layer 0 is the embedding, block i is layer i + 1, the final norm belongs to the last block, and ``depth + 1`` is the
    head with the norm after mean pooling.
    """
    if name.startswith(_EMBEDDING):
        return 0
    if block := _BLOCK.match(name):
        return int(block[1]) + 1
    return depth if name.startswith("norm.") else depth + 1


def layer_scale(name: str, depth: int, layer_decay: float) -> float:
    """Return the factor of a parameter's learning rate, ``layer_decay ** (depth + 1 - layer)``.

    As in timm's ``param_groups_layer_decay`` (Clark et al. 2020; Bao et al. 2022).
    """
    return layer_decay ** (depth + 1 - layer_of(name, depth))


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters with the same weight decay and learning rate, and their moments."""

    parameters: list[Tensor]
    exp_avgs: list[Tensor]
    exp_avg_sqs: list[Tensor]
    weight_decay: float
    scale: float


class AdamW:
    """AdamW (Loshchilov and Hutter 2019) for the parameters that need gradients.

    Weight decay applies to matrices and filters, not to biases, norms, position embeddings and tokens. Frozen
    parameters have no state.

    Args:
        model: the network; its parameters must be on their device already.
        config: learning rate, weight decay and betas.
        layer_decay: factor of the learning rate from each layer to the layer below it: :func:`layer_scale`.
        modules: further modules by name, such as a projection head, that are trained at the full learning rate.

    Attributes:
        parameters: all of them; those with weight decay come first.
        decayed: the parameters with weight decay.
        lr: the learning rate, a scalar on the device; fill it before a step.
    """

    def __init__(
        self,
        model: nn.Module,
        config: TrainingConfig,
        layer_decay: float = 1.0,
        modules: Mapping[str, nn.Module] | None = None,
    ) -> None:
        named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
        for prefix, module in (modules or {}).items():
            named += [(f"{prefix}.{name}", parameter) for name, parameter in module.named_parameters()]
        named.sort(key=lambda item: _is_free(*item))  # stable: keeps the model's order
        self.parameters: list[Tensor] = [parameter for _, parameter in named]
        self.decayed = [parameter for name, parameter in named if not _is_free(name, parameter)]
        self.betas = config.betas
        device = self.parameters[0].device
        # The kernel takes a double on the CPU and a float on a GPU.
        self.lr = torch.tensor(config.lr, dtype=torch.float64 if device.type == "cpu" else torch.float32, device=device)
        self._step = torch.zeros((), device=device)
        self._moments = [{it: torch.zeros_like(item[1]) for it in self.moments(*item)} for item in named]
        scales = [1.0] * len(named)
        if layer_decay != 1:
            network: object = model.config
            if not isinstance(network, TransformerConfig):
                raise TypeError("layer_decay needs a network with transformer blocks.")
            scales = [layer_scale(name, network.depth, layer_decay) for name, _ in named]
        self._scales = scales
        self.groups = []
        for scale, free in product(sorted(set(scales)), (False, True)):
            rows = [row for row, item in enumerate(named) if scales[row] == scale and _is_free(*item) == free]
            rows = [row for row in rows if MOMENTS[0] in self._moments[row]]
            exp_avgs, exp_avg_sqs = ([self._moments[row][name] for row in rows] for name in MOMENTS)
            parameters, weight_decay = [self.parameters[row] for row in rows], 0.0 if free else config.weight_decay
            if rows:
                self.groups.append(ParameterGroup(parameters, exp_avgs, exp_avg_sqs, weight_decay, scale))
        self._public = None if has_kernel() else self._public_optimizer()

    def moments(self, name: str, parameter: Tensor) -> tuple[str, ...]:
        """Return the names of the tensors that are kept for a parameter."""
        return MOMENTS

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter with its gradient."""
        self._step += 1
        if self._public is not None:
            for group, settings in zip(self.groups, self._public.param_groups, strict=True):
                settings["lr"] = self._lr(group)
            self._public.step()
            return
        for group in self.groups:
            gradients = [parameter.grad for parameter in group.parameters if parameter.grad is not None]
            if len(gradients) < len(group.parameters):
                raise RuntimeError("A trained parameter has no gradient.")
            torch._fused_adamw_(
                group.parameters,
                gradients,
                group.exp_avgs,
                group.exp_avg_sqs,
                [],
                [self._step] * len(group.parameters),
                lr=self._lr(group),
                beta1=self.betas[0],
                beta2=self.betas[1],
                weight_decay=group.weight_decay,
                eps=EPS,
                amsgrad=False,
                maximize=False,
            )

    def state(self) -> dict[str, Tensor]:
        """Return the state's tensors by ``<index>.<name>``, numbered and named as in ``torch.optim``."""
        tensors: dict[str, Tensor] = {}
        for index, moments in enumerate(self._moments):
            tensors |= {f"{index}.{name}": moment for name, moment in moments.items()}
            tensors[f"{index}.step"] = self._step.clone()  # copies: a safetensors file cannot share tensors
        return tensors

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Load the result of :meth:`state`."""
        for index, moments in enumerate(self._moments):
            for name, moment in moments.items():
                moment.copy_(state[f"{index}.{name}"])
        self._step.copy_(state["0.step"])
        if self._public is not None:
            for settings in self._public.state.values():
                settings["step"].copy_(self._step)

    def _lr(self, group: ParameterGroup) -> Tensor:
        return self.lr if group.scale == 1 else self.lr * group.scale

    def _public_optimizer(self) -> torch.optim.AdamW:
        """Return ``torch.optim.AdamW`` over the same groups, which updates the moments in place.

        It is fused where torch has a fused kernel for the device.
        """
        groups = [{"params": group.parameters, "weight_decay": group.weight_decay} for group in self.groups]

        def build(fused: bool | None) -> torch.optim.AdamW:
            capturable = self.lr.is_cuda
            return torch.optim.AdamW(groups, self.lr, self.betas, EPS, capturable=capturable, fused=fused)

        try:
            optimizer = build(fused=True)
        except RuntimeError:
            optimizer = build(fused=None)
        for parameter, moments in zip(self.parameters, self._moments, strict=True):
            if MOMENTS[0] in moments:
                optimizer.state[parameter] = {"step": self._step.clone(), **moments}
        return optimizer


def has_kernel() -> bool:
    """Return whether this version of torch has the private function of the fused kernel, as it is called here."""
    first, unknown = KERNEL_VERSIONS
    return first <= torch.__version__ < unknown and hasattr(torch, "_fused_adamw_")


def _is_free(name: str, parameter: Tensor) -> bool:
    """Return whether a parameter has no weight decay."""
    return parameter.ndim < 2 or name.endswith(("pos_embed", "cls_token", "reg_token", "mask_token"))
