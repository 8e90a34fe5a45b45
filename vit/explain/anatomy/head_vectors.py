"""The recorded vectors of one head for one query: what an animation of its attention shows."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from vit.errors import ExplainError
from vit.explain.recording import Record


@dataclass(frozen=True)
class HeadVectors:
    """The attention of one token in one head: ``attention = softmax(keys @ query / sqrt(d))``.

    Attributes:
        query: of the token, ``(d)`` float32.
        keys: of all tokens, ``(m d)`` float32.
        values: of all tokens, ``(m d)`` float32.
        attention: of the token to all tokens, ``(m)`` float32; sums to 1.
        output: ``attention @ values``, ``(d)`` float32.
    """

    query: np.ndarray
    keys: np.ndarray
    values: np.ndarray
    attention: np.ndarray
    output: np.ndarray


def head_vectors(record: Record, *, layer: int, head: int, token: int, image: int = 0) -> HeadVectors:
    """Return the vectors of one head that a token's attention is computed from, as they were recorded.

    Args:
        record: from :func:`vit.explain.capture`.
        layer: from 1.
        head: from 1.
        token: from 0, in the network's order: prefix tokens, then the patches row by row.
        image: index of the image in the batch.

    Raises:
        ExplainError: the softmax of this network runs over the queries, so a token's attention depends on the queries
            of all tokens.
    """
    if record.normalised_over != "key":
        raise ExplainError(
            "The softmax of this network runs over the queries, so the attention of a token needs the queries of all "
            "tokens, not only its own."
        )
    of = record.layers[layer - 1]

    def take(tensor: Tensor) -> np.ndarray:
        return tensor[image, head - 1].detach().float().cpu().numpy()

    return HeadVectors(take(of.q)[token], take(of.k), take(of.v), take(of.attention)[token], take(of.heads)[token])
