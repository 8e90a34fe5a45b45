"""Figures of one image that the tour states: what a click changes, how heads differ, and what the answer depends on."""

from dataclasses import dataclass

import numpy as np

from vit.explain.recording import Record, class_probabilities, token_rows
from vit.explain.tokens.logit_lens import token_lens
from vit.model import ViT
from vit.runs.example import on_object

MOVES = 0.5
"""A click moves a map if at least this share of the attention goes to other tokens, on average over all patches."""
SIMILAR = 0.5
"""Maps are similar if their correlation is at least this on average."""
OBJECT_RATIO = 1.2
"""The answer depends on the object if its patches get at least this many times what they would get evenly."""
DROP = 0.05
"""Covering patches changes the answer if its probability falls or rises by at least this much."""
SURE = 0.6
"""Least probability of the right class."""


def moved_shares(attention: np.ndarray, prefix: int, patch: int) -> np.ndarray:
    """Return the share of the attention that goes to other tokens when another patch is the query: ``(... p)``.

    This is the total variation distance between the attention of the two queries: 0 if they attend to the same tokens
    equally, 1 if they attend to no token in common.

    Args:
        attention: ``(... n m)``; rows sum to 1.
        prefix: number of tokens before the patches.
        patch: number of the first query, from 1.
    """
    patches = attention[..., prefix:, :]
    return np.abs(patches - patches[..., patch - 1 : patch, :]).sum(axis=-1) / 2


def map_correlations(maps: np.ndarray) -> np.ndarray:
    """Return the Pearson correlation of each two maps ``(k p)``: ``(k k)``. A constant map correlates 0 with others."""
    centred = maps - maps.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    directions = np.divide(centred, lengths, out=np.zeros_like(centred), where=lengths > 1e-9)
    found = directions @ directions.T
    np.fill_diagonal(found, 1)
    return found


def object_ratios(model: ViT, record: Record, attention: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """Return how much more of the answer comes from the object's patches than if all patches counted the same: ``(l)``.

    For a class token, it is the share of its attention to patches that lies on the object, averaged over the heads,
    divided by the object's area: one number for each layer. For a mean of the patches, it is the probability of the
    predicted class from the object's patches, divided by that from all patches: one number.

    Args:
        model: the network.
        record: of one image.
        attention: of the record, ``(depth h n m)``.
        cover: ``(p)``, the share of each patch that the object covers.
    """
    area = max(float(cover.mean()), 1e-9)
    if record.pool == "cls":
        return object_shares(record, attention, cover) / area
    from_patches = predicted_from_patches(model, record)[-1]
    return np.array([(from_patches @ cover) / max(cover.sum(), 1e-9) / max(from_patches.mean(), 1e-9)])


def object_shares(record: Record, attention: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """Return the share of the class token's attention to patches that lies on the object, mean of the heads: ``(l)``.

    Args:
        record: of one image.
        attention: of the record, ``(depth h n m)``.
        cover: ``(p)``, the share of each patch that the object covers.
    """
    return on_object(token_rows(record, attention, 0), cover, record.prefix_tokens).mean(axis=1)


def predicted_from_patches(model: ViT, record: Record) -> np.ndarray:
    """Return the probability of the predicted class from each patch's token in each state: ``(l p)``."""
    label = int(class_probabilities(model, record.logits)[0].argmax())
    return token_lens(model, record)[0][:, record.prefix_tokens :, label]


@dataclass(frozen=True)
class ImageFacts:
    """What the claims of the tour need of an image.

    Attributes:
        certainty: probability of the right class.
        moved: mean of :func:`moved_shares` over all other patches, for the head that a click moves most.
        correlation: mean correlation of the maps of two heads.
        object_ratio: smallest of :func:`object_ratios`.
    """

    certainty: float
    moved: float
    correlation: float
    object_ratio: float

    @property
    def fit(self) -> float:
        """How well the claims hold; at 1 or more, all of them hold."""
        return min(
            self.certainty / SURE,
            self.moved / MOVES,
            (1 - self.correlation) / (1 - SIMILAR),
            self.object_ratio / OBJECT_RATIO,
        )


def image_facts(
    model: ViT, record: Record, attention: np.ndarray, *, cover: np.ndarray, label: int, patch: int
) -> ImageFacts:
    """Measure an image.

    Args:
        model: the network.
        record: of one image.
        attention: of the record, ``(depth h n m)``.
        cover: ``(p)``, the share of each patch that the object covers.
        label: its true class.
        patch: the query, from 1.
    """
    return ImageFacts(
        float(class_probabilities(model, record.logits)[0][label]),
        float(mean_of_others(moved_shares(attention, record.prefix_tokens, patch)).max()),
        mean_correlation(map_correlations(patch_maps(record, attention, patch))),
        float(object_ratios(model, record, attention, cover).min()),
    )


def patch_maps(record: Record, attention: np.ndarray, patch: int) -> np.ndarray:
    """Return the attention of a patch to all patches in every head of every layer: ``((depth h) p)``."""
    rows = token_rows(record, attention, patch)[..., record.prefix_tokens :]
    return rows.reshape(-1, rows.shape[-1])


def mean_of_others(moved: np.ndarray) -> np.ndarray:
    """Return the mean of :func:`moved_shares` ``(... p)`` over the patches other than the query, whose share is 0."""
    return moved.sum(axis=-1) / max(1, moved.shape[-1] - 1)


def mean_correlation(correlations: np.ndarray) -> float:
    """Return the mean over the pairs of different maps; 1 for a single map."""
    count = len(correlations)
    return float((correlations.sum() - count) / (count * (count - 1))) if count > 1 else 1.0


def patches_on_and_beside(cover: np.ndarray) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the patches that the object mostly covers, and as many without any of it, by number from 1.

    Those beside the object are spread evenly over the image; if there are fewer of them, all are returned.

    Args:
        cover: ``(p)``, the share of each patch that the object covers.
    """
    on = np.flatnonzero(cover >= min(0.5, float(cover.max())))
    free = np.flatnonzero(cover == 0)
    beside = free[np.linspace(0, len(free) - 1, min(len(on), len(free))).round().astype(int)] if len(free) else free
    return tuple(int(patch) + 1 for patch in on), tuple(int(patch) + 1 for patch in beside)
