"""Which pixels an answer rests on, asked of any network: integrated gradients and occlusion, by way of captum.

Both are sums over the squares of a grid: a transformer's patches, or an 8 x 8 cut of the image where there are none.
Captum is given functions, no modules, so nothing is hooked into a model that threads share.
"""

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from vit.classes import require_classes
from vit.explain.maps.target import Target
from vit.explain.passes.memory import image_slices, recording_batch_size
from vit.explain.recording import Recordable
from vit.networks import Network

CUTS = 8
"""Rows and columns into which an image is cut for a network without patches."""

STEPS = 50
"""Points of the way from the blank image to the image at which integrated gradients looks."""

BATCH_MAX = 64
"""Images of one pass; more at once are no faster."""

Progress = Callable[[int, int], None]


def integrated_gradients(
    model: Network,
    images: Tensor,
    target: Target | int | None = None,
    *,
    steps: int = STEPS,
    progress: Progress | None = None,
) -> np.ndarray:
    """Integrated gradients (Sundararajan, Taly and Yan 2017), summed over the channels and pixels of each square.

    The integral runs from the data set's mean colour, 0 after normalisation, to the image along a straight line, by
    Gauss and Legendre's rule. With enough steps a map adds up to :func:`gain_over_blank`. Where the first layers
    normalise contrast, as the convolutional stem does, the score changes close to the blank image alone, between the
    steps: the sum then falls short, while the places of the map change little.

    Args:
        images: ``(b c h w)``, normalised.
        target: what to explain; a class stands for its logit, None for each image's likeliest.
        steps: points of the integral.
        progress: called with passes done and in all.

    Returns:
        ``(b rows columns)`` float32, signed, in units of the logit.
    """
    from captum.attr import IntegratedGradients

    def attribute(score: Callable, images: Tensor, labels: Tensor, at_once: int) -> Tensor:
        return IntegratedGradients(score).attribute(
            images, 0.0, additional_forward_args=labels, n_steps=steps, internal_batch_size=at_once
        )

    pixels = _attributed(model, images, target, attribute, steps * len(images), progress).sum(axis=1)
    rows, columns = (_edges(images.shape[axis], count) for axis, count in zip((2, 3), grid_of(model), strict=True))
    return np.add.reduceat(np.add.reduceat(pixels, rows, axis=1), columns, axis=2)


def occlusion(
    model: Network,
    images: Tensor,
    target: Target | int | None = None,
    *,
    progress: Progress | None = None,
) -> np.ndarray:
    """Occlusion (Zeiler and Fergus 2014): how far the score falls when one square is painted in the mean colour.

    Args:
        images: ``(b c h w)``, normalised.
        target: what to explain; a class stands for its logit, None for each image's likeliest.
        progress: called with passes done and in all.

    Returns:
        ``(b rows columns)`` float32 in units of the logit; negative where the score rises without the square.
    """
    from captum.attr import FeatureAblation  # captum's Occlusion wants windows of equal size, which need not fit

    grid = grid_of(model)
    rows, columns = (_edges(images.shape[axis], count) for axis, count in zip((2, 3), grid, strict=True))
    squares = np.arange(grid[0] * grid[1]).reshape(grid)
    for axis, edges in enumerate((rows, columns)):
        squares = squares.repeat(np.diff(edges, append=images.shape[2 + axis]), axis=axis)

    def attribute(score: Callable, images: Tensor, labels: Tensor, at_once: int) -> Tensor:
        return FeatureAblation(score).attribute(
            images,
            0.0,
            additional_forward_args=labels,
            feature_mask=torch.from_numpy(squares)[None, None].to(images.device),
            perturbations_per_eval=max(1, at_once // len(images)),
        )

    total = (grid[0] * grid[1] + 1) * len(images)
    return _attributed(model, images, target, attribute, total, progress)[:, 0, rows][:, :, columns]


@torch.no_grad()
def gain_over_blank(model: Network, images: Tensor, target: Target | int | None = None) -> np.ndarray:
    """How far each image's score is above that of the blank image, ``(b)``: what integrated gradients divide up.

    ``images (b c h w)``, normalised; the classes are settled on the images, as for the maps.

    Raises:
        ExplainError: a TypeError; the model has no classes.
    """
    require_classes(model.config)
    if model.training:
        model = copy.deepcopy(model).eval()
    target = Target.of(target)
    images = images.to(next(model.parameters()).device, torch.float32)
    logits, blank = model(images), model(torch.zeros_like(images[:1]))
    fixed = Target(target.labels(logits), target.against)
    return (fixed.score(logits) - fixed.score(blank.expand_as(logits))).float().cpu().numpy()


def grid_of(model: Network) -> tuple[int, int]:
    """Rows and columns of the squares that these maps are made of."""
    return model.grid if isinstance(model, Recordable) else (CUTS, CUTS)


def _edges(size: int, count: int) -> np.ndarray:
    """Where each of ``count`` pieces of ``size`` pixels begins; they are equal where that is possible."""
    return np.arange(count) * size // count


def _attributed(
    model: Network,
    images: Tensor,
    target: Target | int | None,
    attribute: Callable[[Callable, Tensor, Tensor, int], Tensor],
    total: int,
    progress: Progress | None,
) -> np.ndarray:
    """What ``attribute`` says of each number of the images, ``(b c h w)``, for classes that are settled beforehand."""
    require_classes(model.config)
    if model.training:
        model = copy.deepcopy(model).eval()  # a copy, since other threads may be using the model as it stands
    target, done = Target.of(target), 0
    images = images.detach().to(next(model.parameters()).device, torch.float32)

    def score(images: Tensor, labels: Tensor) -> Tensor:
        nonlocal done
        scores = Target(labels, target.against).score(model(images))
        done += len(images)
        if progress is not None:
            progress(min(done, total), total)
        return scores

    at_once, found = min(recording_batch_size(model), BATCH_MAX), []
    for part in image_slices(model, len(images)):
        with torch.no_grad():
            labels = target.part(part).labels(model(images[part]))
        found.append(attribute(score, images[part], labels, max(at_once, len(images[part]))))
    return torch.cat(found).detach().float().cpu().numpy()
