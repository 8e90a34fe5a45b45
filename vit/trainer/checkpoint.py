"""All that going on with a training needs, as of one of its steps, and whether it is of the training that goes on.

A file with it may be cut short, be of another run or come from anyone, so nothing in it is believed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vit.trainer.optimizer import AdamW

_COUNTS = ("epoch", "step", "right", "seen", "kept_step")
_NUMBERS = ("seconds", "best", "tie", "loss_sum")
_REQUIRED = ("epoch", "step", "seconds")
WINDOW = "window"


@dataclass(frozen=True)
class Checkpoint:
    """All that going on needs; the tensors are the training's own, valid until its next event.

    Attributes:
        tensors: ``model.*`` the weights, ``optimizer.<index>.*`` the optimiser's state of each parameter. Within an
            epoch, with ``keep="training_loss"``, also ``kept.*``, the weights of the lowest running loss of the epoch,
            and ``window``, float64 (w,), the losses since the running loss was last taken; each where there are any.
        position: complete ``epoch``, ``step`` done, ``seconds`` trained; ``best`` and ``tie``, the score to beat, once
            there is one. ``loss_sum``, ``right`` and ``seen`` are what the epoch under way has come to, 0 at its
            beginning, and ``kept_step`` is the step of ``kept.*``.
    """

    tensors: dict[str, Tensor]
    position: dict[str, float]


def is_position(position: Mapping[str, Any]) -> bool:
    """Whether scalars are those of a :class:`Checkpoint`: its names and no others, finite, and none below zero that
    cannot be.
    """
    return (
        set(_REQUIRED) <= set(position) <= {*_COUNTS, *_NUMBERS}
        and all(type(position.get(name, 0)) is int and position.get(name, 0) >= 0 for name in _COUNTS)
        and all(_is_finite(position.get(name, 0)) for name in _NUMBERS)
        and position["seconds"] >= 0
    )


def mismatch(checkpoint: Checkpoint, model: nn.Module, optimizer: AdamW, window: int | None) -> str:
    """Why this training cannot go on from a checkpoint whose position is one: a clause; empty where it can.

    Args:
        window: how many losses ``window`` has to hold; None where the training keeps no running loss.
    """
    expected = _expected(checkpoint.position, model, optimizer, window)
    for name in sorted(expected.keys() ^ checkpoint.tensors.keys()):
        return f"{name[:60]} is {'missing' if name in expected else 'not of this training'}"
    for name, tensor in checkpoint.tensors.items():
        if (tensor.shape, tensor.dtype) != (expected[name].shape, expected[name].dtype):
            return f"{name} is of another network"
        kind, _, what = name.rpartition(".")
        if kind.startswith("optimizer.") or name == WINDOW:
            lowest = 0 if what in ("step", "exp_avg_sq") else -math.inf
            if not bool((tensor.isfinite() & (tensor >= lowest)).all()):
                return f"{name} holds numbers that cannot be"
    return ""


def _expected(
    position: Mapping[str, float], model: nn.Module, optimizer: AdamW, window: int | None
) -> dict[str, Tensor]:
    """A tensor of the right shape and type for every name that there should be."""
    weights = model.state_dict()
    expected = {f"model.{name}": value for name, value in weights.items()}
    expected |= {f"optimizer.{name}": value for name, value in optimizer.state().items()}
    if window is not None and "kept_step" in position:
        expected |= {f"kept.{name}": value for name, value in weights.items()}
    if window:
        expected[WINDOW] = torch.empty(window, dtype=torch.float64)
    return expected


def _is_finite(value: object) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300 and math.isfinite(value)
