"""Mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019): mix each image of a batch with another one.

A batch is mixed with one ratio or one box, as in ``torchvision.transforms.v2``. The host draws them, since a CUDA graph
cannot draw from a beta distribution, and writes them to fixed memory on the device.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vit.config import TrainingConfig


class Mix(NamedTuple):
    """How a batch is mixed.

    Attributes:
        weight: weight of the own image outside the box.
        left, top, right, bottom: the box in pixels in which the other image is shown; empty for mixup.
        share: share of the own label in the target.
    """

    weight: float = 1.0
    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0
    share: float = 1.0


def draw_mix(random: np.random.Generator, size: int, recipe: TrainingConfig) -> Mix:
    """Draw how a batch of images of ``size`` pixels is mixed; of two kinds that are on, each is as likely."""
    kinds = [kind for kind in ("mixup", "cutmix") if getattr(recipe, kind)]
    if not kinds or random.random() >= recipe.mix_probability:
        return Mix()
    kind = kinds[int(random.integers(len(kinds)))]
    alpha = getattr(recipe, kind)
    ratio = float(random.beta(alpha, alpha))
    if kind == "mixup":
        return Mix(weight=ratio, share=ratio)
    column, row = (int(it) for it in random.integers(size, size=2))
    half = int(0.5 * math.sqrt(1 - ratio) * size)
    left, top, right, bottom = (
        max(column - half, 0),
        max(row - half, 0),
        min(column + half, size),
        min(row + half, size),
    )
    return Mix(1.0, left, top, right, bottom, 1 - (right - left) * (bottom - top) / size**2)


class Mixer:
    """Holds a :class:`Mix` on a device, and applies it.

    Args:
        device: device of the images.
    """

    def __init__(self, device: torch.device) -> None:
        self._numbers = torch.tensor(Mix(), dtype=torch.float32, device=device)

    def set(self, mix: Mix) -> None:
        """Store how the next batch is mixed, without waiting for the device."""
        for place, value in zip(self._numbers, mix, strict=True):
            place.fill_(value)

    def images(self, images: Tensor, others: Tensor) -> Tensor:
        """Mix images with others, ``b c h w`` each."""
        weight, left, top, right, bottom, _ = self._numbers.unbind()
        row, column = (torch.arange(size, device=images.device) for size in images.shape[2:])
        outside = ((row < top) | (row >= bottom))[:, None] | (column < left) | (column >= right)  # h w
        return torch.lerp(others, images, weight * outside)

    def targets(self, targets: Tensor, others: Tensor) -> Tensor:
        """Mix targets with others, in the share of the images."""
        return torch.lerp(others, targets, self._numbers[5])
