"""Find the image whose answer depends most on its object: the answer changes most when the object is covered."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vit.classes import require_classes
from vit.config import TransformerConfig
from vit.cost.counts import count
from vit.data.batches import normalise
from vit.data.records import Split
from vit.explain.interventions.cover import cover, filled, patch_of_pixel
from vit.explain.maps.attribution import CUTS
from vit.explain.passes.inputs import gradients_enabled, ready, ready_images
from vit.networks import Network

if TYPE_CHECKING:  # it would bring the trainer
    from vit.runs.weights import CheckpointInfo

IMAGES = 64
"""Images that are compared, from the first."""

FLOPS_MAX = 4e10
"""Operations for all of them; a larger network compares fewer images, so that this takes about the same time."""

COVERED = 0.25
"""Share of the patches that is covered in images without masks."""

_BATCH = 32


@dataclass(frozen=True)
class Reaction:
    """The image whose answer depends most on its object.

    Attributes:
        image: its index in the split.
        answer: the class that the network predicts for it.
        before: the probability of this class.
        after: its probability when the object is covered.
        images: how many images were compared.
        by_mask: whether the object was known; otherwise the most important patches were covered, a quarter of all.
    """

    image: int
    answer: int
    before: float
    after: float
    images: int
    by_mask: bool


def strongest_reaction(
    model: Network, info: "CheckpointInfo", split: Split, *, images: int = IMAGES
) -> Reaction | None:
    """Return the image whose predicted class loses most probability when its object is covered, of the first images.

    The object's patches get the mean colour of the image. Without masks, those patches are covered for which a
    first-order estimate of the loss of the logit is largest: the gradient times the change of the pixels.

    Args:
        model: a network with classes.
        info: the normalisation of its images.
        split: the images.
        images: how many are compared at most.

    Returns:
        The image, or None if the network is so large that fewer than two images can be compared.

    Raises:
        ExplainError: the model has no classes.
    """
    require_classes(model.config)
    passes = 2 if split.masks is not None else 5  # a gradient costs two forward passes more
    number = min(images, len(split), int(FLOPS_MAX / (passes * count(model.config).flops)))
    if number < 2:
        return None
    model = ready(model)
    parts = [
        _react(model, info, split, slice(start, min(start + _BATCH, number))) for start in range(0, number, _BATCH)
    ]
    answers, before, after = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    best = int((before - after).argmax())
    return Reaction(
        image=best,
        answer=int(answers[best]),
        before=float(before[best]),
        after=float(after[best]),
        images=number,
        by_mask=split.masks is not None,
    )


def _react(
    model: Network, info: "CheckpointInfo", split: Split, rows: slice
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the predicted classes of some images, and their probabilities before and after the object is covered."""
    pixels = torch.from_numpy(np.array(split.images[rows]))
    images = ready_images(model, normalise(pixels, info.mean, info.std))
    grid = (model.config.grid,) * 2 if isinstance(model.config, TransformerConfig) else (CUTS, CUTS)
    if split.masks is not None:
        covered = object_patches(torch.from_numpy(np.array(split.masks[rows])), grid)
        with torch.inference_mode():
            logits = model(images).float()
    else:
        covered, logits = _important_patches(model, images, grid)
    answers = logits.argmax(dim=1, keepdim=True)
    with torch.inference_mode():
        after = model(cover(images, covered)).float().softmax(dim=1).gather(1, answers)
    before = logits.softmax(dim=1).gather(1, answers)
    return answers[:, 0].cpu().numpy(), before[:, 0].cpu().numpy(), after[:, 0].cpu().numpy()


def object_patches(masks: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return the patches with at least one pixel of the object: ``(b rows columns)`` bool from ``masks (b h w)``."""
    place = patch_of_pixel(grid, (masks.shape[1], masks.shape[2])).flatten()
    touched = torch.zeros(len(masks), grid[0] * grid[1])
    touched.index_add_(1, place, masks.flatten(1).float())
    return (touched > 0).unflatten(1, grid)


def _important_patches(model: Network, images: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the patches whose cover should cost the predicted class most, ``(b rows columns)``, and the logits."""
    with gradients_enabled():
        inputs = images.clone().requires_grad_()
        logits = model(inputs).float()
        (gradient,) = torch.autograd.grad(logits.max(dim=1).values.sum(), inputs)
    loss = (gradient * (images - filled(images, grid, "mean"))).sum(dim=1).flatten(1)
    place = patch_of_pixel(grid, (images.shape[2], images.shape[3])).flatten().to(images.device)
    patches = loss.new_zeros(len(images), grid[0] * grid[1]).index_add_(1, place, loss)
    chosen = patches.topk(max(1, round(COVERED * patches.shape[1])), dim=1).indices
    covered = torch.zeros_like(patches, dtype=torch.bool).scatter_(1, chosen, value=True)
    return covered.unflatten(1, grid), logits.detach()
