"""One map from all layers: how much each patch of an image counts for the summary token, or for a class."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from vit.errors import ExplainError
from vit.explain.capture import Record, capture
from vit.explain.target import Target


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


def rollout(model: nn.Module, images: Tensor, target: Target | int | None = None) -> np.ndarray:
    """Attention rollout (Abnar and Zuidema 2020): the product over layers of half attention, half identity.

    Args:
        images: ``(b c h w)``, normalised.
        target: without effect; rollout knows no classes.

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


def chefer(model: nn.Module, images: Tensor, target: Target | int | None = None) -> np.ndarray:
    """Gradient-weighted relevance for a class (Chefer, Gur and Wolf, ICCV 2021).

    R <- R + mean over heads of (dA * A)+ R, layer by layer, from R = I. The map is of R - I, what the layers added: a
    mean over tokens would have its even share of I in it.

    Args:
        images: ``(b c h w)``, normalised.
        target: what to explain; a class stands for its logit, None for each image's likeliest.

    Returns:
        ``(b rows columns)``: how much each patch speaks for the class.

    Raises:
        ExplainError: a TypeError; the model has no attention, or none that can be followed: it mixes positions, or
            its softmax runs over the queries.
    """
    record = capture(model, images, grad=True)
    _refuse_what_cannot_be_followed(record)
    score = Target.of(target).score(record.logits).sum()
    attentions = [layer.attention for layer in record.layers]
    identity = torch.eye(attentions[0].shape[-1], device=score.device).expand(len(images), -1, -1)
    result = identity
    for attention, gradient in zip(attentions, torch.autograd.grad(score, attentions), strict=True):
        result = result + (gradient * attention.detach()).clamp(min=0).mean(dim=1) @ result
    return _summary_map(record, result - identity)


@dataclass(frozen=True)
class Method:
    """A way to make one map of an image.

    Attributes:
        function: ``(model, images (b c h w), target) -> (b rows columns)``; raises an ExplainError where the network
            cannot give it.
        title: what a person calls it.
        family: what it is made from; the perturbation methods run the model many times.
        for_class: whether the map depends on the target.
        signed: whether negative numbers (against the class) mean something.
        source: the paper, or who described it.
    """

    function: Callable[[nn.Module, Tensor, Target], np.ndarray]
    title: str
    family: Literal["attention", "gradient", "perturbation"]
    for_class: bool
    signed: bool
    source: str


METHODS: dict[str, Method] = {
    "rollout": Method(rollout, "Attention rollout", "attention", False, False, "Abnar and Zuidema 2020"),
    "chefer": Method(chefer, "Gradient-weighted relevance", "gradient", True, False, "Chefer, Gur and Wolf 2021"),
}
"""The methods that give one map, by the name that the command line takes."""
