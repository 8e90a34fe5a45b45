"""Votes over many images, and how well three rankings of the heads agree: votes, ablation and gradient.

A vote says what a head adds to the answer directly. Ablation also counts what later layers do with it, and how they
compensate for its absence. The gradient is the slope at the unchanged head. So the rankings may differ.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from vit.classes import require_classes
from vit.explain.faithfulness.bootstrap import COVERAGE, RESAMPLES, Interval, intervals
from vit.explain.heads.ablation import Ablation, Importance
from vit.explain.heads.votes import head_of, votes_along
from vit.explain.passes.sample import Progress, Sample, each_batch
from vit.explain.recording import capture, require_attention
from vit.networks import Network

RANKINGS = ("votes", "ablation", "gradient")


@dataclass(frozen=True)
class VotesOfImages:
    """The votes of all parts for each image's true class against its most probable other class.

    Attributes:
        names: the parts, in the order of the network.
        values: ``(images parts)``; a row sums to the difference of the two logits.
        heads: ``(l h images)``, the votes of the heads among them.
        labels: ``(images)``, the true classes.
    """

    names: tuple[str, ...]
    values: np.ndarray
    heads: np.ndarray
    labels: np.ndarray

    def means(self, label: int | None = None) -> list[Interval]:
        """Return the mean vote of each part with its 95 % interval, over all images or those of one class.

        Raises:
            ValueError: there is no image of this class.
        """
        return intervals(self.values if label is None else self.values[self.labels == label])


def votes_of_images(model: Network, sample: Sample, progress: Progress | None = None) -> VotesOfImages:
    """Measure the votes of all parts on labelled images.

    Args:
        model: a transformer with classes.
        sample: the labelled images.
        progress: called with (done, total) in batches.

    Raises:
        ExplainError: a TypeError; the model has no attention, or no classes.
    """
    transformer = require_attention(model)
    require_classes(transformer.config)

    def measure(images: Tensor, labels: Tensor) -> tuple[list[list[tuple[str, float]]], np.ndarray, np.ndarray]:
        record = capture(transformer, images)
        others = record.logits.scatter(1, labels[:, None], -torch.inf).argmax(dim=1)
        weight, bias = head_of(transformer)
        found = votes_along(transformer, images, record, weight[labels] - weight[others], bias[labels] - bias[others])
        parts = [found.parts(image) for image in range(len(images))]
        return parts, np.moveaxis(found.by_head(), 0, -1), labels.cpu().numpy()

    batches = each_batch(measure, sample, progress)
    rows = [row for parts, _, _ in batches for row in parts]
    return VotesOfImages(
        names=tuple(name for name, _ in rows[0]),
        values=np.array([[value for _, value in row] for row in rows]),
        heads=np.concatenate([heads for _, heads, _ in batches], axis=-1),
        labels=np.concatenate([labels for _, _, labels in batches]),
    )


@dataclass(frozen=True)
class Agreement:
    """Spearman's rank correlation of two rankings of all heads, with its 95 % interval over images."""

    one: str
    other: str
    correlation: Interval


def compare_rankings(
    votes: VotesOfImages, importance: Importance, ablation: Ablation = "zero", *, resamples: int = RESAMPLES
) -> tuple[Agreement, ...]:
    """Compare the rankings of heads by their mean vote, by the loss without them, and by their gradient.

    The images are resampled with replacement, the same ones for all three (Efron and Tibshirani 1993).

    Args:
        votes: from :func:`votes_of_images`.
        importance: from :func:`vit.explain.heads.ablation.head_importance` of the same images.
        ablation: what replaces the output of a head in the ablation.
        resamples: number of resamples.

    Raises:
        ValueError: the two were measured on different numbers of images.
    """
    count = votes.heads.shape[-1]
    if importance.images != count:
        raise ValueError(f"the votes are of {count} images, the importance of {importance.images}: give the same ones.")
    lost = importance.without[ablation].loss - importance.before.loss
    measured = {"votes": votes.heads, "ablation": lost, "gradient": importance.gradient}
    draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=resamples) / count
    weights = np.concatenate([np.full((1, count), 1 / count), draws])  # the first row is the mean itself
    ranks = {name: _centred_ranks(weights @ values.reshape(-1, count).T) for name, values in measured.items()}
    tail = 50 * (1 - COVERAGE)
    found = []
    for one, other in combinations(RANKINGS, 2):
        first, second = ranks[one], ranks[other]
        size = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
        correlation = (first * second).sum(axis=1) / np.maximum(size, np.finfo(float).tiny)
        low, high = np.percentile(correlation[1:], [tail, 100 - tail])
        found.append(Agreement(one, other, Interval(float(correlation[0]), float(low), float(high))))
    return tuple(found)


def _centred_ranks(values: np.ndarray) -> np.ndarray:
    """Return the rank of each number in its row, minus the mean rank."""
    from scipy.stats import rankdata

    ranks = rankdata(values, axis=1)
    return ranks - ranks.mean(axis=1, keepdims=True)
