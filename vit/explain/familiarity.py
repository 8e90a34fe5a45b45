"""Whether a picture is like the images that a model was trained on, and what the model answers to a grey picture.

A classifier gives one of its classes to every picture, often with a high probability. The distance of a picture from
known images, in the features that the last layer reads, tells pictures of another kind apart (Sun et al. 2022, "Out-of-
distribution detection with deep nearest neighbors").
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vit.classes import require_classes
from vit.cnn import CNN
from vit.errors import DataError
from vit.explain.passes.inputs import ready, ready_images
from vit.explain.passes.sample import Sample, each_batch
from vit.networks import Network

NEIGHBOUR = 5
"""The distance is that to the fifth nearest known image; the nearest alone may be an exception itself."""

FALSE_ALARMS = 0.05
"""Share of pictures of the known kind that are flagged all the same."""

GREY = 0.5
"""Brightness of a picture without content, in all channels."""

IMAGES_MIN = 100
"""Fewest images for a threshold: fifty to compare with, and fifty that give it."""


@torch.no_grad()
def last_features(model: Network, images: Tensor) -> Tensor:
    """Return what the last layer reads of images ``(b c h w)``, normalised: ``(b e)``."""
    model = ready(model)
    images = ready_images(model, images)
    if isinstance(model, CNN):
        return model.blocks(images).mean(dim=(2, 3))
    return model.summarise(model.blocks(model.embed(images)))


@torch.no_grad()
def grey_probabilities(model: Network, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Return the class probabilities of a picture that is :data:`GREY` everywhere and so shows no class: ``(k)``.

    Args:
        model: any network.
        mean: the mean of each channel with which the model's images are normalised.
        std: the standard deviation of each channel.

    Raises:
        ExplainError: a TypeError; the model has no classes.
    """
    require_classes(model.config)
    model, config = ready(model), model.config
    centre, scale = (torch.tensor(tuple(it), dtype=torch.float32) for it in (mean, std))
    channels = (GREY - centre) / scale
    picture = channels.view(1, -1, 1, 1).expand(1, config.in_channels, config.image_size, config.image_size)
    return model(picture.to(next(model.parameters()).device)).softmax(dim=1)[0].float().cpu().numpy()


@dataclass(frozen=True)
class Familiarity:
    """Known images of a model, and the distance from which on a picture counts as unlike them.

    Attributes:
        known: ``(n e)``, features of length 1.
        threshold: the distance that the share :data:`FALSE_ALARMS` of further known images exceeds.
    """

    known: np.ndarray
    threshold: float

    def distances(self, features: np.ndarray) -> np.ndarray:
        """Return 1 - cosine to the :data:`NEIGHBOUR`-th nearest known image, for features ``(b e)``: ``(b)``."""
        cosines = _unit(features) @ self.known.T
        return 1 - np.partition(cosines, -NEIGHBOUR, axis=1)[:, -NEIGHBOUR]

    def is_unlike(self, model: Network, images: Tensor) -> np.ndarray:
        """Return whether each of ``images (b c h w)``, normalised, is unlike the known ones: ``(b)`` bool."""
        return self.distances(last_features(model, images).float().cpu().numpy()) > self.threshold


def learn_familiarity(
    model: Network, sample: Sample, *, progress: Callable[[int, int], None] | None = None
) -> Familiarity:
    """Compute the features of images that the model was not trained on, and the threshold.

    Every second image is kept to compare with; the others give the threshold, at which the share
    :data:`FALSE_ALARMS` of them is flagged.

    Args:
        model: any network.
        sample: validation images, from :func:`vit.explain.passes.sample.sample`.
        progress: called with (done, total) in batches.

    Raises:
        DataError: there are too few images.
    """
    if sample.images < IMAGES_MIN:
        raise DataError(f"{sample.images} images are too few to say what is unlike them: at least {IMAGES_MIN} needed.")
    parts = each_batch(lambda images, _: last_features(model, images).float().cpu().numpy(), sample, progress)
    features = np.random.default_rng(0).permutation(np.concatenate(parts))
    known = Familiarity(_unit(features[::2]), np.inf)
    return Familiarity(known.known, float(np.quantile(known.distances(features[1::2]), 1 - FALSE_ALARMS)))


def _unit(features: np.ndarray) -> np.ndarray:
    return F.normalize(torch.from_numpy(features), dim=1).numpy()
