"""The state that a resume needs, and the check whether it fits the training that is resumed.

A checkpoint file may be truncated, belong to another run or come from an untrusted source, so everything is checked.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vit.trainer.objectives import Objective
from vit.trainer.optimizer import AdamW

_COUNTS = ("epoch", "step", "right", "seen", "kept_step")
_NUMBERS = ("seconds", "best", "tie", "loss_sum")
_REQUIRED = ("epoch", "step", "seconds")
WINDOW = "window"


@dataclass(frozen=True)
class Checkpoint:
    """The state that a resume needs. The tensors are the training's own, valid until its next event.

    Attributes:
        tensors: ``model.*`` are the weights, ``optimizer.<index>.*`` the optimiser's state of each parameter,
            ``objective.*`` what the objective keeps. Within an epoch, ``keep="training_loss"`` adds ``kept.*``, the
            weights of the epoch's lowest running loss, and ``window``, float64 (w,), the losses since the last running
            loss; each only if there are any.
        position: ``epoch`` complete epochs, ``step`` steps, ``seconds`` of training; ``best`` and ``tie``, the score
            to beat, once there is one. ``loss_sum``, ``right`` and ``seen`` are the totals of the current epoch, and
            ``kept_step`` is the step of ``kept.*``.
    """

    tensors: dict[str, Tensor]
    position: dict[str, float]


def is_position(position: Mapping[str, Any]) -> bool:
    """Return whether these values can be the position of a :class:`Checkpoint`: known names, finite, in range."""
    return (
        set(_REQUIRED) <= set(position) <= {*_COUNTS, *_NUMBERS}
        and all(type(position.get(name, 0)) is int and position.get(name, 0) >= 0 for name in _COUNTS)
        and all(_is_finite(position.get(name, 0)) for name in _NUMBERS)
        and position["seconds"] >= 0
    )


def mismatch(
    checkpoint: Checkpoint, model: nn.Module, optimizer: AdamW, objective: Objective, window: int | None
) -> str:
    """Return why a checkpoint with a valid position does not fit this training, as a clause; empty if it fits.

    Args:
        checkpoint: the checkpoint to check.
        model: the network that is trained.
        optimizer: its optimiser.
        objective: what the training minimises.
        window: the number of losses that ``window`` must hold; None if the training keeps no running loss.
    """
    expected = _expected(checkpoint.position, model, optimizer, objective, window)
    for name in sorted(expected.keys() ^ checkpoint.tensors.keys()):
        return f"{name[:60]} is {'missing' if name in expected else 'not part of this training'}"
    for name, tensor in checkpoint.tensors.items():
        if (tensor.shape, tensor.dtype) != (expected[name].shape, expected[name].dtype):
            return f"{name} belongs to another network"
        kind, _, what = name.rpartition(".")
        if kind.startswith("optimizer.") or name == WINDOW:
            lowest = 0 if what in ("step", "exp_avg_sq") else -math.inf
            if not bool((tensor.isfinite() & (tensor >= lowest)).all()):
                return f"{name} has impossible values"
    return ""


def _expected(
    position: Mapping[str, float], model: nn.Module, optimizer: AdamW, objective: Objective, window: int | None
) -> dict[str, Tensor]:
    """Return a tensor of the right shape and type for every expected name."""
    weights = model.state_dict()
    expected = {f"model.{name}": value for name, value in weights.items()}
    expected |= {f"optimizer.{name}": value for name, value in optimizer.state().items()}
    expected |= {f"objective.{name}": value for name, value in objective.state().items()}
    if window is not None and "kept_step" in position:
        expected |= {f"kept.{name}": value for name, value in weights.items()}
    if window:
        expected[WINDOW] = torch.empty(window, dtype=torch.float64)
    return expected


def _is_finite(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e300 and math.isfinite(value)
