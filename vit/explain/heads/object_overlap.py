"""How well the class token's attention outlines the object: overlap of thresholded maps with object masks, by head."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vit.data.batches import normalise
from vit.data.records import Split
from vit.data.sampling import spread
from vit.errors import DataError
from vit.explain.recording import attention_arrays, capture, token_rows
from vit.networks import Network

if TYPE_CHECKING:  # it would bring the trainer
    from vit.runs.weights import CheckpointInfo

MASS = 0.6
"""Share of a map's mass that the kept patches hold, as in DINO."""
_BATCH = 32


@dataclass(frozen=True)
class ObjectOverlap:
    """Jaccard indices of thresholded attention maps with object masks.

    Attributes:
        heads: mean over the images for each head, (depth h).
        best: mean over the images of the best head of the last layer for each image, as in DINO's table.
        whole: the value of a map that keeps the whole image: the mean share of the object in the image.
        bound: the largest value that patches of this grid can have: the masks, rounded to whole patches.
        images: number of images.
    """

    heads: np.ndarray
    best: float
    whole: float
    bound: float
    images: int

    @property
    def best_head(self) -> tuple[int, int]:
        """Layer and head with the largest mean, from 0."""
        layer, head = np.unravel_index(int(self.heads.argmax()), self.heads.shape)
        return int(layer), int(head)


def keep_mass(maps: np.ndarray, mass: float = MASS) -> np.ndarray:
    """Return the fewest patches of each map that together hold at least ``mass`` of it: ``(... p)`` bool.

    Args:
        maps: values of at least 0, ``(... p)``.
        mass: share of the sum, between 0 and 1.
    """
    order = np.argsort(-maps, axis=-1, kind="stable")
    sorted_ = np.take_along_axis(maps, order, axis=-1).astype(np.float64)
    shares = sorted_ / np.maximum(sorted_.sum(axis=-1, keepdims=True), np.finfo(np.float64).tiny)
    before = shares.cumsum(axis=-1) - shares  # the mass of the larger ones: a patch is kept while it is below ``mass``
    kept = np.empty(maps.shape, dtype=bool)
    np.put_along_axis(kept, order, before < mass, axis=-1)
    return kept


def jaccard(kept: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return the Jaccard index (intersection over union) of patches and pixel masks: ``(...)``.

    The patches are enlarged to pixels, so the masks keep their resolution.

    Args:
        kept: ``(... rows columns)`` bool.
        masks: ``(... h w)`` bool, with the same leading axes or ones that broadcast.
    """
    scale = masks.shape[-2] // kept.shape[-2], masks.shape[-1] // kept.shape[-1]
    pixels = kept.repeat(scale[0], axis=-2).repeat(scale[1], axis=-1)
    both = (pixels & masks).sum(axis=(-2, -1))
    either = (pixels | masks).sum(axis=(-2, -1))
    return both / np.maximum(either, 1)


def object_overlap(model: Network, info: "CheckpointInfo", split: Split, count: int | None = None) -> ObjectOverlap:
    """Measure how well each head's attention from the summary token outlines the object.

    The map of a head is the attention of the class token to the patches (of a network that takes the mean of the
    patches: the mean of their attention). The patches that hold 60 % of its mass are compared with the object's mask
    (Caron et al. 2021, figure 4 and table in the supplement). Images whose mask is empty are left out.

    Args:
        model: the network, in eval mode.
        info: the normalisation of its images.
        split: images with masks.
        count: number of images, a stratified sample; None for all.

    Raises:
        DataError: the images have no masks.
        ExplainError: a TypeError; the network has no attention.
    """
    if split.masks is None:
        raise DataError("These images have no object masks: use scenes, or another data set with masks.")
    rows = spread(split.labels, count, 0)
    rows = rows[np.asarray([bool(split.masks[row].any()) for row in rows], dtype=bool)]
    if not len(rows):
        raise DataError("None of these images has an object in its mask: use other images.")
    heads, best, whole, bound = [], [], [], []
    for start in range(0, len(rows), _BATCH):
        part = rows[start : start + _BATCH]
        images: Tensor = normalise(torch.from_numpy(split.images[part]), info.mean, info.std)
        masks = np.asarray(split.masks[part]).astype(bool)
        maps, grid = _summary_maps(model, images)  # b depth h p
        kept = keep_mass(maps).reshape(*maps.shape[:3], *grid)
        found = jaccard(kept, masks[:, None, None])  # b depth h
        heads.append(found)
        best.append(found[:, -1].max(axis=-1))
        whole.append(masks.mean(axis=(-2, -1)))
        bound.append(jaccard(on_grid(masks, grid), masks))
    every = np.concatenate(heads)
    return ObjectOverlap(
        heads=every.mean(axis=0),
        best=float(np.concatenate(best).mean()),
        whole=float(np.concatenate(whole).mean()),
        bound=float(np.concatenate(bound).mean()),
        images=len(every),
    )


def on_grid(masks: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Return the patches that have the largest Jaccard index with each mask: ``(b h w) -> (b rows columns)`` bool.

    These are the patches with the largest shares of object, as many as are best for this mask.
    """
    b, h, w = masks.shape
    shares = masks.reshape(b, grid[0], h // grid[0], grid[1], w // grid[1]).mean(axis=(2, 4)).reshape(b, -1)
    order = np.argsort(-shares, axis=-1, kind="stable")
    covered = np.take_along_axis(shares, order, axis=-1).cumsum(axis=-1)  # object in the k fullest patches
    number = np.arange(1, shares.shape[-1] + 1)
    index = covered / (number + shares.sum(axis=-1, keepdims=True) - covered)
    kept = np.zeros(shares.shape, dtype=bool)
    np.put_along_axis(kept, order, number <= index.argmax(axis=-1)[:, None] + 1, axis=-1)
    return kept.reshape(b, *grid)


def _summary_maps(model: Network, images: Tensor) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the attention of the summary token to the patches, ``(b depth h p)``, and the grid."""
    record = capture(model, images)
    maps = np.stack([token_rows(record, attention_arrays(record, image), 0) for image in range(len(images))])
    return maps[..., record.prefix_tokens :], record.grid
