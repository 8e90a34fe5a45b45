"""One map from all layers: how much each patch of an image counts for the summary token, or for a class."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from vit.errors import ExplainError
from vit.explain.capture import Record, capture


def _refuse_what_cannot_be_followed(record: Record) -> None:
    if record.mixes_positions:
        reason = "mixes positions"
    elif record.normalised_over == "query":
        reason = "normalises its attention over the queries"
    else:
        return
    raise ExplainError(
        f"this network {reason}, so its attention cannot be followed from layer to layer: take its raw maps."
    )


def _summary_map(record: Record, relevance: Tensor) -> np.ndarray:
    """``(b n m)`` to the summary token's patches, ``(b rows columns)``."""
    rows = relevance[:, record.summary_rows].mean(dim=1)[:, record.prefix_tokens :]
    return rows.reshape(-1, *record.grid).detach().float().cpu().numpy()


def rollout(model: nn.Module, images: Tensor, label: int | None = None) -> np.ndarray:
    """Attention rollout (Abnar and Zuidema 2020): the product over layers of half attention, half identity.

    Args:
        images: ``(b c h w)``, normalised.
        label: without effect; rollout knows no classes.

    Returns:
        ``(b rows columns)``: how much of each patch reaches the summary token.

    Raises:
        ExplainError: a TypeError; the model has no attention, or none that can be followed: it mixes positions, or
            its softmax runs over the queries.
    """
    record = capture(model, images)
    _refuse_what_cannot_be_followed(record)
    identity = torch.eye(record.attention.shape[-1], device=record.attention.device)
    result = identity
    for layer in record.layers:
        result = (0.5 * layer.attention.mean(dim=1) + 0.5 * identity) @ result
    return _summary_map(record, result)


def chefer(model: nn.Module, images: Tensor, label: int | None = None) -> np.ndarray:
    """Gradient-weighted relevance for a class (Chefer, Gur and Wolf, ICCV 2021).

    R <- R + mean over heads of (dA * A)+ R, layer by layer, from R = I. The map is of R - I, what the layers added: a
    mean over tokens would have its even share of I in it.

    Args:
        images: ``(b c h w)``, normalised.
        label: the class to explain; None explains each image's likeliest.

    Returns:
        ``(b rows columns)``: how much each patch speaks for the class.

    Raises:
        ExplainError: a TypeError; the model has no attention, or none that can be followed: it mixes positions, or
            its softmax runs over the queries.
    """
    record = capture(model, images, grad=True)
    _refuse_what_cannot_be_followed(record)
    labels = record.logits.argmax(dim=1) if label is None else torch.full((len(images),), label)
    score = record.logits[torch.arange(len(images)), labels.to(record.logits.device)].sum()
    attentions = [layer.attention for layer in record.layers]
    identity = torch.eye(attentions[0].shape[-1], device=score.device).expand(len(images), -1, -1)
    result = identity
    for attention, gradient in zip(attentions, torch.autograd.grad(score, attentions), strict=True):
        result = result + (gradient * attention.detach()).clamp(min=0).mean(dim=1) @ result
    return _summary_map(record, result - identity)


METHODS: dict[str, Callable[[nn.Module, Tensor, int | None], np.ndarray]] = {"rollout": rollout, "chefer": chefer}
"""The methods that give one map, by the name that the command line takes."""
