"""Activation patching over many pairs of images: the mean effect with its interval."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from vit.data.records import Split
from vit.data.scenes.pairs import Change, scene_pair
from vit.errors import DataError
from vit.explain.faithfulness.bootstrap import COVERAGE, RESAMPLES
from vit.explain.maps.target import Target
from vit.explain.passes.sample import Progress
from vit.explain.patching.patch import (
    Direction,
    PatchRuns,
    Site,
    attribute_each,
    patch_each,
    rank_correlation,
    record_runs,
)
from vit.networks import Network

PAIRS_MAX = 200
"""Maximum number of pairs that a mean is measured on."""

ImagePair = tuple[np.ndarray, np.ndarray, int, int | None]
"""Clean and corrupt image, uint8 (h w c), the class of the clean one, and that of the corrupt one if it has one."""


@dataclass(frozen=True)
class MeanEffect:
    """The mean effect of patching each unit of a site.

    Attributes:
        site: the site.
        mean, low, high: ``(l u)``, the mean over the pairs and the ends of its 95 % interval.
        pairs: the number of pairs.
        left_out: the number of pairs that were left out, because both images have the same logit difference.
        agreement: ``(pairs)``, the rank correlation of the estimate by gradient with the exact effect; empty if it was
            not measured.
    """

    site: Site
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    pairs: int
    left_out: int
    agreement: np.ndarray


def mean_effect(
    model: Network,
    pairs: Sequence[Callable[[], ImagePair]],
    prepare: Callable[[np.ndarray], Tensor],
    site: Site,
    direction: Direction = "denoise",
    *,
    by_gradient: bool = False,
    progress: Progress | None = None,
) -> MeanEffect:
    """Patch every unit of a site for many pairs, and return the mean effect.

    Each pair is weighted by how far its two images differ, so that a pair of nearly equal answers, whose own effect is
    a division by almost zero, has little weight. The pairs are resampled for the interval (percentile bootstrap).

    Class A is the class of the clean image. Class B is that of the corrupt image; if it is the same or there is none,
    it is the most probable other class of the corrupt image.

    Args:
        model: a transformer with classes.
        pairs: each returns a pair.
        prepare: turns an image into the model's input ``(1 c h w)``.
        site: what is patched.
        direction: which run is patched.
        by_gradient: estimate the effects by one backward pass (attribution patching) instead of patching.
        progress: called with (done, total) in pairs.

    Raises:
        DataError: there is no pair with a defined effect.
    """
    changes, gaps, agreement = [], [], []
    for done, pair in enumerate(pairs):
        clean, corrupt, label, other = pair()
        runs = pair_runs(model, prepare(clean), prepare(corrupt), label, other, direction)
        if not runs.undefined:
            estimate = attribute_each(runs, site)
            exact = estimate if by_gradient else patch_each(runs, site)
            gap = runs.source_difference - runs.base_difference
            changes.append(np.sign(gap) * (exact - runs.base_difference).ravel())  # the effect times the weight
            gaps.append(abs(gap))
            if not by_gradient:
                agreement.append(rank_correlation(exact, estimate))
        if progress is not None:
            progress(done + 1, len(pairs))
    if not changes:
        raise DataError("No pair of images has different logit differences, so no effect is defined.")
    shape = (-1, runs.units(site))
    change, weight, count = np.array(changes), np.array(gaps), len(changes)
    draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    tail = 50 * (1 - COVERAGE)
    low, high = np.percentile(draws @ change / (draws @ weight)[:, None], [tail, 100 - tail], axis=0)
    return MeanEffect(
        site=site,
        mean=(change.sum(axis=0) / weight.sum()).reshape(shape),
        low=low.reshape(shape),
        high=high.reshape(shape),
        pairs=count,
        left_out=len(pairs) - count,
        agreement=np.array(agreement),
    )


def pair_runs(
    model: Network, clean: Tensor, corrupt: Tensor, label: int, other: int | None, direction: Direction = "denoise"
) -> PatchRuns:
    """Record the runs of a pair; without another class, class B is the most probable other class of ``corrupt``."""
    if other is None or other == label:
        with torch.no_grad():
            logits = model(corrupt)[0].clone()
        logits[label] = -torch.inf
        other = int(logits.argmax())
    return record_runs(model, clean, corrupt, Target(label, other), direction)


def scene_pairs(change: Change, count: int, *, image_size: int, seed: int = 0) -> list[Callable[[], ImagePair]]:
    """Return minimal pairs of validation scenes, drawn when they are needed."""
    return [
        partial(scene_pair, index, change, image_size=image_size, seed=seed) for index in range(min(count, PAIRS_MAX))
    ]


def split_pairs(split: Split, count: int) -> list[Callable[[], ImagePair]]:
    """Return pairs of images of different classes, for any data set: each image with the next one of another class.

    Raises:
        DataError: all images have the same class.
    """
    labels = np.asarray(split.labels)

    def read(index: int) -> np.ndarray:
        return np.ascontiguousarray(np.moveaxis(np.asarray(split.images[index]), 0, -1))

    def pair(index: int, other: int) -> ImagePair:
        return read(index), read(other), int(labels[index]), int(labels[other])

    def partners() -> Iterator[Callable[[], ImagePair]]:
        order = np.random.default_rng(0).permutation(len(labels))
        for place, index in enumerate(order[: min(count, PAIRS_MAX)]):
            following = np.roll(order, -place - 1)
            different = following[labels[following] != labels[index]]
            if not len(different):
                raise DataError("All images have the same class, so there are no pairs of different classes.")
            yield partial(pair, int(index), int(different[0]))

    return list(partners())
