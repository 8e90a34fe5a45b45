"""Logit lens (nostalgebraist 2020): apply the classification head to the tokens of every layer.

The head was trained only on the output of the last layer, so its predictions for earlier layers are an approximation.

Shapes in einops letters: ``b`` batch, ``n`` token, ``e`` embed_dim, ``k`` class; and ``l`` state of the tokens: before
the first block and after each block.
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
    """Return the class probabilities read from the summary token of every state: ``(b l k)`` float32.

    The last state gives the model's own prediction.

    Args:
        model: the model that was recorded.
        record: from :func:`vit.explain.capture`.

    Raises:
        ExplainError: a TypeError; the network has no classification head.
    """
    model = require_attention(model)
    require_classes(model.config)
    states = token_states(record)
    return torch.stack([model.classify(tokens) for tokens in states.unbind(dim=1)], dim=1).softmax(dim=-1).cpu().numpy()


@torch.no_grad()
def token_lens(model: Network, record: Record) -> np.ndarray:
    """Return the class probabilities read from each token alone, after the final norm: ``(b l n k)`` float32.

    If the head reads the mean of normalised patch tokens, the mean of their logits after the last layer equals the
    model's logits. With ``fc_norm`` it does not, because the network normalises the mean instead of each token. If the
    head reads the class token, it was never trained on patch tokens.

    Args:
        model: the model that was recorded.
        record: from :func:`vit.explain.capture`.

    Raises:
        ExplainError: a TypeError; the network has no classification head, it mixes positions, or its softmax runs over
            the queries. In the last two cases the token of a patch need not be about that patch.
    """
    model = require_attention(model)
    require_classes(model.config)
    if record.caveat:
        reason = "mixes positions" if record.mixes_positions else "normalises its attention over the queries"
        raise ExplainError(
            f"this network {reason}, so the token in a patch's place need not be about that patch: use the lens of "
            "the summary token."
        )
    return model.classify_each(token_states(record)).softmax(dim=-1).cpu().numpy()


def prediction_stable_from(probabilities: np.ndarray) -> int:
    """Return the first state from which the most probable class stays that of the last state.

    Args:
        probabilities: ``(l k)``.
    """
    best = probabilities.argmax(axis=-1)
    others = np.flatnonzero(best != best[-1])
    return int(others[-1]) + 1 if others.size else 0


def prominent_classes(
    summary: np.ndarray, each: np.ndarray | None, *, always: Sequence[int] = (), limit: int = 6
) -> list[int]:
    """Return the classes that get their own colour in one image, in ascending order.

    These are the classes with the highest probability in some state.

    Args:
        summary: ``(l k)`` probabilities from the summary token.
        each: ``(l n k)`` probabilities from each token, or None.
        always: classes that are always included.
        limit: maximum number of classes.
    """
    weight = summary.max(axis=0)
    if each is not None:
        weight = weight + each.mean(axis=1).max(axis=0)
    ranked = [*always, *np.argsort(-weight, kind="stable").tolist()]
    return sorted(list(dict.fromkeys(ranked))[:limit])
