"""Pixel attributions for any network, computed by captum: integrated gradients and occlusion.

Both give one number for each square of a grid: the patches of a transformer, or 8 x 8 squares for a network without
patches. Captum gets functions instead of modules, so it installs no hooks in a model that threads share.
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
"""Rows and columns of squares for a network without patches."""

STEPS = 50
"""Number of points of the integral of integrated gradients."""

BATCH_MAX = 64
"""Maximum of images in one forward pass; larger batches are not faster."""

Progress = Callable[[int, int], None]


def integrated_gradients(
    model: Network,
    images: Tensor,
    target: Target | int | None = None,
    *,
    steps: int = STEPS,
    progress: Progress | None = None,
) -> np.ndarray:
    """Compute integrated gradients (Sundararajan, Taly and Yan 2017), summed over channels and pixels of each square.

    The attribution of pixel x is x times the integral over a in [0, 1] of the score's gradient at a x. The baseline is
    the data set's mean colour, which is 0 after normalisation. The integral is computed with the Gauss-Legendre rule.
    With enough steps a map sums to :func:`gain_over_blank`. If the first layers normalise contrast, as the
    convolutional stem does, the score changes only very close to the baseline, between the steps: then the sum is too
    small, but the shape of the map changes little.

    Args:
        model: any network with classes.
        images: ``(b c h w)``, normalised.
        target: what to explain; a class means its logit, None each image's most probable class.
        steps: points of the integral.
        progress: called with (done, total) in forward passes.

    Returns:
        ``(b rows columns)`` float32, signed, in units of the logit.

    Raises:
        ExplainError: a TypeError; the model has no classes.
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
    """Compute occlusion (Zeiler and Fergus 2014): the drop of the score when one square gets the mean colour.

    Args:
        model: any network with classes.
        images: ``(b c h w)``, normalised.
        target: what to explain; a class means its logit, None each image's most probable class.
        progress: called with (done, total) in forward passes.

    Returns:
        ``(b rows columns)`` float32 in units of the logit; negative if the score rises without the square.

    Raises:
        ExplainError: a TypeError; the model has no classes.
    """
    from captum.attr import FeatureAblation  # captum's Occlusion needs squares of equal size

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
    """Return the score of each image minus that of the blank image: ``(b)``, the sum of integrated gradients.

    Args:
        model: any network with classes.
        images: ``(b c h w)``, normalised.
        target: what to explain, as in :func:`integrated_gradients`.

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
    """Return the rows and columns of the squares of these maps."""
    return model.grid if isinstance(model, Recordable) else (CUTS, CUTS)


def _edges(size: int, count: int) -> np.ndarray:
    """Return the first pixel of each of ``count`` parts of ``size`` pixels, of equal size if possible."""
    return np.arange(count) * size // count


def _attributed(
    model: Network,
    images: Tensor,
    target: Target | int | None,
    attribute: Callable[[Callable, Tensor, Tensor, int], Tensor],
    total: int,
    progress: Progress | None,
) -> np.ndarray:
    """Return the attribution of each number of the images, ``(b c h w)``, for classes chosen on the original images."""
    require_classes(model.config)
    if model.training:
        model = copy.deepcopy(model).eval()  # a copy, since other threads may be using the model
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
