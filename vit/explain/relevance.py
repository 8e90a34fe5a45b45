"""One map from all layers: how much each patch of an image counts for the summary token, or for a class."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from vit.errors import ExplainError
from vit.explain.capture import Record, capture


def _refuse_mixed_positions(record: Record) -> None:
    if record.normalised_over != "key":
        raise ExplainError(
            "this network mixes positions, so its attention cannot be followed from layer to layer: take its raw maps."
        )


def _summary_map(record: Record, relevance: Tensor) -> np.ndarray:
    """``(b n m)`` to the summary token's patches, ``(b rows columns)``."""
    prefix = record.prefix_tokens
    rows = relevance[:, 0] if record.pool == "cls" else relevance[:, prefix:].mean(dim=1)
    return rows[:, prefix:].reshape(-1, *record.grid).detach().float().cpu().numpy()


def rollout(model: nn.Module, images: Tensor, label: int | None = None) -> np.ndarray:
    """Attention rollout (Abnar and Zuidema 2020): the product over layers of half attention, half identity.

    Args:
        images: ``(b c h w)``, normalised.
        label: without effect; rollout knows no classes.

    Returns:
        ``(b rows columns)``: how much of each patch reaches the summary token.

    Raises:
        ExplainError: a TypeError; the model has no attention, or mixes positions.
    """
    record = capture(model, images)
    _refuse_mixed_positions(record)
    identity = torch.eye(record.attention.shape[-1], device=record.attention.device)
    result = identity
    for layer in record.layers:
        result = (0.5 * layer.attention.mean(dim=1) + 0.5 * identity) @ result
    return _summary_map(record, result)


def chefer(model: nn.Module, images: Tensor, label: int | None = None) -> np.ndarray:
    """Gradient-weighted relevance for a class (Chefer, Gur and Wolf, ICCV 2021).

    R <- R + mean over heads of (dA * A)+ R, layer by layer, from R = I.

    Args:
        images: ``(b c h w)``, normalised.
        label: the class to explain; None explains each image's likeliest.

    Returns:
        ``(b rows columns)``: how much each patch speaks for the class.

    Raises:
        ExplainError: a TypeError; the model has no attention, or mixes positions.
    """
    record = capture(model, images, grad=True)
    _refuse_mixed_positions(record)
    labels = record.logits.argmax(dim=1) if label is None else torch.full((len(images),), label)
    score = record.logits[torch.arange(len(images)), labels.to(record.logits.device)].sum()
    attentions = [layer.attention for layer in record.layers]
    result = torch.eye(attentions[0].shape[-1], device=score.device).expand(len(images), -1, -1)
    for attention, gradient in zip(attentions, torch.autograd.grad(score, attentions), strict=True):
        result = result + (gradient * attention.detach()).clamp(min=0).mean(dim=1) @ result
    return _summary_map(record, result)


METHODS: dict[str, Callable[[nn.Module, Tensor, int | None], np.ndarray]] = {"rollout": rollout, "chefer": chefer}
"""The methods that give one map, by the name that the command line takes."""
