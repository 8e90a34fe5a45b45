"""Pixel attributions for any network: integrated gradients, and occlusion, which captum computes.

Both give one number for each square of a grid: the patches of a transformer, or 8 x 8 squares for a network without
patches. Captum gets functions instead of modules, so it installs no hooks in a model that threads share.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vit.classes import require_output
from vit.explain.interventions.cover import patch_of_pixel
from vit.explain.maps.fade_in import NODES_MIN, SCAN, find_starts, integrate
from vit.explain.maps.target import Label, Target
from vit.explain.passes.inputs import gradients_enabled, ready, ready_images, require_network
from vit.explain.passes.memory import image_slices, recording_batch_size
from vit.explain.recording import Recordable
from vit.networks import Network

CUTS = 8
"""Rows and columns of squares for a network without patches."""

STEPS = 101
"""Maximum number of gradients for one map of integrated gradients; trained networks need about half of them."""

BATCH_MAX = 64
"""Maximum of images in one forward pass; larger batches are not faster."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _FadingIn:
    """The scores of images, and the gradients of their squares, on the way from the blank image.

    Attributes:
        images: ``(b c h w)``.
        target: what is explained, with one class for each image.
        place: ``(h w)``, the square of each pixel.
        at_once: images in one forward pass.
        count: called with the number of gradients after each batch.
    """

    model: Network
    images: Tensor
    target: Target
    place: Tensor
    at_once: int
    count: Callable[[int], None]

    def _parts(self, length: int) -> Iterator[slice]:
        return (slice(start, start + self.at_once) for start in range(0, length, self.at_once))

    @torch.no_grad()
    def scan(self) -> np.ndarray:
        """Return the scores at the blank image, at each fraction of SCAN and at the image: ``(b s)``."""
        rows = []
        for fraction in (0.0, *SCAN, 1.0):
            parts = self._parts(len(self.images))
            rows.append(torch.cat([self.target.part(it).score(self.model(fraction * self.images[it])) for it in parts]))
        return torch.stack(rows, dim=1).cpu().double().numpy()

    def evaluate(self, nodes: Sequence[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
        """Return scores ``(k)`` and the squares' gradients times images ``(k p)``, at pairs (image, fraction)."""
        scores, arrays = [], []
        place = self.place.flatten()
        for part in self._parts(len(nodes)):
            which = [index for index, _ in nodes[part]]
            images = self.images[which]
            fractions = images.new_tensor([fraction for _, fraction in nodes[part]])
            faded = (fractions[:, None, None, None] * images).requires_grad_()
            score = self.target.part(which).score(self.model(faded))
            (gradient,) = torch.autograd.grad(score.sum(), faded)
            pixels = (gradient * images).sum(dim=1).flatten(1)
            squares = pixels.new_zeros(len(which), int(place.max()) + 1).index_add_(1, place, pixels)
            scores.append(score.detach())
            arrays.append(squares)
            self.count(len(which))
        return torch.cat(scores).cpu().double().numpy(), torch.cat(arrays).cpu().double().numpy()


@gradients_enabled()
def integrated_gradients(
    model: Network,
    images: Tensor,
    target: Target | Label | None = None,
    *,
    steps: int = STEPS,
    progress: Progress | None = None,
) -> np.ndarray:
    """Compute integrated gradients (Sundararajan, Taly and Yan 2017), summed over channels and pixels of each square.

    The attribution of pixel x is x times the integral over a in [0, 1] of the score's gradient at a x. The baseline is
    the data set's mean colour, which is 0 after normalisation. A map should sum to :func:`gain_over_blank`. The nodes
    of the integral are placed for each image where its score changes (:mod:`vit.explain.maps.fade_in`), since with a
    convolutional stem nearly the whole change happens below a = 0.001.

    Args:
        model: any network with classes.
        images: ``(b c h w)``, normalised.
        target: what to explain; a class means its logit, None each image's most probable class.
        steps: maximum number of nodes of the integral, at least 17. There is one gradient for each node, and 14 forward
            passes find the part of the path where the score changes.
        progress: called with (done, total) in gradients; the total is the maximum.

    Returns:
        ``(b rows columns)`` float32, signed, in units of the logit.

    Raises:
        ExplainError: a TypeError; the model has no classes.
        UserError: the images are not normalised floats, or the model has no such class.
        ValueError: ``steps`` is too small.
    """
    if steps < NODES_MIN:
        raise ValueError(f"steps = {steps} is too small: choose at least {NODES_MIN}.")
    model, images, target = _prepared(model, images, target)
    place, total, done = _squares(model, images), steps * len(images), 0

    def count(gradients: int) -> None:
        nonlocal done
        done += gradients
        if progress is not None:
            progress(done, total)

    found = []
    for part in image_slices(model, len(images)):
        fixed = Target(target.part(part).labels(_outputs(model, images[part])), target.against)
        path = _FadingIn(model, images[part], fixed, place, _images_at_once(model), count)
        found.append(integrate(find_starts(path.scan()), steps, path.evaluate))
    if progress is not None and done < total:  # refinement ended early
        progress(total, total)
    return np.concatenate(found).reshape(-1, *grid_of(model)).astype(np.float32)


@gradients_enabled()  # not for gradients, but because captum's result would not leave a caller's inference mode
def occlusion(
    model: Network,
    images: Tensor,
    target: Target | Label | None = None,
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
        UserError: the images are not normalised floats, or the model has no such class.
    """
    from captum.attr import FeatureAblation  # captum's Occlusion needs squares of equal size

    model, images, target = _prepared(model, images, target)
    (rows, columns), place, at_once = grid_of(model), _squares(model, images), _images_at_once(model)
    total, done, found = (rows * columns + 1) * len(images), 0, []

    def score(images: Tensor, labels: Tensor) -> Tensor:
        nonlocal done
        scores = Target(labels, target.against).score(model(images))
        done += len(images)
        if progress is not None:
            progress(min(done, total), total)
        return scores

    first = torch.tensor([int((place.flatten() == square).nonzero()[0]) for square in range(rows * columns)])
    for part in image_slices(model, len(images)):
        labels = target.part(part).labels(_outputs(model, images[part]))
        pixels = FeatureAblation(score).attribute(
            images[part],
            0.0,
            additional_forward_args=labels,
            feature_mask=place[None, None],
            perturbations_per_eval=max(1, at_once // len(labels)),
        )
        found.append(pixels[:, 0].flatten(1)[:, first].detach().float().cpu().numpy())
    return np.concatenate(found).reshape(-1, rows, columns)


@torch.no_grad()
def gain_over_blank(model: Network, images: Tensor, target: Target | Label | None = None) -> np.ndarray:
    """Return the score of each image minus that of the blank image: ``(b)``, the sum of integrated gradients.

    Args:
        model: any network with classes.
        images: ``(b c h w)``, normalised.
        target: what to explain, as in :func:`integrated_gradients`.

    Raises:
        ExplainError: a TypeError; the model has no classes.
        UserError: the images are not normalised floats, or the model has no such class.
    """
    model, images, target = _prepared(model, images, target)
    logits, blank = model(images), model(torch.zeros_like(images[:1]))
    fixed = Target(target.labels(logits), target.against)
    return (fixed.score(logits) - fixed.score(blank.expand_as(logits))).float().cpu().numpy()


def grid_of(model: Network) -> tuple[int, int]:
    """Return the rows and columns of the squares of these maps."""
    return model.grid if isinstance(model, Recordable) else (CUTS, CUTS)


def _prepared(model: Network, images: Tensor, target: Target | Label | None) -> tuple[Network, Tensor, Target]:
    require_network(model)
    require_output(model.config)
    model, images = ready(model), ready_images(model, images)
    return model, images, Target.of(target).for_model(model, len(images))


def _squares(model: Network, images: Tensor) -> Tensor:
    """Return the square of each pixel, ``(h w)``: the same squares that :func:`vit.explain.cover` covers."""
    return patch_of_pixel(grid_of(model), (images.shape[2], images.shape[3])).to(images.device)


def _images_at_once(model: Network) -> int:
    return min(recording_batch_size(model), BATCH_MAX)


@torch.no_grad()
def _outputs(model: Network, images: Tensor) -> Tensor:
    return model(images)
