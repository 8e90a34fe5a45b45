"""Logit lens (nostalgebraist 2020): what the class head would say of the tokens of every layer, not the last alone.

The head was trained on what the last layer leaves, so its answer to the tokens of earlier ones is a reading by an
instrument that was made for something else. Shapes in einops letters: ``b`` batch, ``n`` token, ``e`` embed_dim, ``k``
class; and ``l`` state of the tokens, as they enter the first block and after each block.
"""

from collections.abc import Sequence

import numpy as np
import torch

from vit.classes import require_classes
from vit.errors import ExplainError
from vit.explain.recording import Record, require_attention
from vit.explain.tokens.states import token_states
from vit.networks import Network


@torch.no_grad()
def summary_lens(model: Network, record: Record) -> np.ndarray:
    """Class probabilities read from the summary token of every state: ``(b l k)`` float32; the last are the model's.

    Args:
        model: the one that the record is of.

    Raises:
        ExplainError: a TypeError; the network has no class head to read with.
    """
    model = require_attention(model)
    require_classes(model.config)
    states = token_states(record)
    return torch.stack([model.classify(tokens) for tokens in states.unbind(dim=1)], dim=1).softmax(dim=-1).cpu().numpy()


@torch.no_grad()
def token_lens(model: Network, record: Record) -> np.ndarray:
    """Class probabilities read from each token by itself, normed, in every state: ``(b l n k)`` float32.

    Where the head reads the mean of the patch tokens, the mean of their logits after the last layer is the model's
    own logit of each class. Where it reads the class token, it has never read a patch token before.

    Args:
        model: the one that the record is of.

    Raises:
        ExplainError: a TypeError; the network has no class head to read with, or it mixes positions, or its softmax
            runs over the queries, so what stands at a patch's place need not be about that patch.
    """
    model = require_attention(model)
    require_classes(model.config)
    if record.caveat:
        reason = "mixes positions" if record.mixes_positions else "normalises its attention over the queries"
        raise ExplainError(
            f"this network {reason}, so the token in a patch's place need not be about that patch: take the lens of "
            "its summary token."
        )
    return model.classify_each(token_states(record)).softmax(dim=-1).cpu().numpy()


def prediction_stable_from(probabilities: np.ndarray) -> int:
    """The first state from which on the likeliest class is that of the last one, for ``probabilities (l k)``."""
    best = probabilities.argmax(axis=-1)
    others = np.flatnonzero(best != best[-1])
    return int(others[-1]) + 1 if others.size else 0


def prominent_classes(
    summary: np.ndarray, each: np.ndarray | None, *, always: Sequence[int] = (), limit: int = 6
) -> list[int]:
    """The classes that are worth a colour of their own in one image, in ascending order.

    Args:
        summary: ``(l k)`` probabilities, of the summary token.
        each: ``(l n k)`` probabilities, of each token; None where there are none.
        always: classes that are among them in any case.
        limit: how many there are, where there are so many classes.
    """
    weight = summary.max(axis=0)
    if each is not None:
        weight = weight + each.mean(axis=1).max(axis=0)
    ranked = [*always, *np.argsort(-weight, kind="stable").tolist()]
    return sorted(list(dict.fromkeys(ranked))[:limit])
