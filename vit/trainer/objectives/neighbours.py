"""The k-nearest-neighbour classifier of features, which shows what a training without labels has learned."""

import torch
import torch.nn.functional as F
from torch import Tensor

NEIGHBOURS = 20
TEMPERATURE = 0.07
"""DINO's settings: number of neighbours, and the temperature of their weights."""
TRAINING_IMAGES = 2500
"""Maximum number of training images among which neighbours are searched."""


def neighbour_accuracy(known: Tensor, labels: Tensor, features: Tensor, truth: Tensor, *, k: int = NEIGHBOURS) -> float:
    """Return the accuracy of a weighted k-nearest-neighbour classifier (Wu et al. 2018; Caron et al. 2021).

    Each of the ``k`` training images with the most similar features votes for its class with the weight
    exp(cosine similarity / 0.07).

    Args:
        known: features of training images, (n e).
        labels: their classes, int64 (n).
        features: features of the images to classify, (b e).
        truth: their classes, int64 (b).
        k: number of neighbours; all training images if there are fewer.
    """
    similarity = F.normalize(features, dim=1) @ F.normalize(known, dim=1).T  # b n
    nearest = similarity.topk(min(k, len(known)), dim=1)
    votes = torch.zeros(len(features), int(torch.cat((labels, truth)).max()) + 1, device=features.device)
    # Weights relative to the best neighbour's, which cannot overflow.
    weights = ((nearest.values - nearest.values[:, :1]) / TEMPERATURE).exp()
    votes.scatter_add_(1, labels[nearest.indices], weights)
    return float((votes.argmax(dim=1) == truth).float().mean())
