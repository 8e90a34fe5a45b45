"""All methods that compute one map of an image, and which of them are available for a network."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from vit.classes import NO_CLASSES
from vit.cnn import CNN
from vit.config import CNNConfig, ModelConfig, ReferenceConfig
from vit.explain.maps.attention import (
    attention_gradient,
    chefer,
    gradient_rollout,
    last_attention,
    rollout,
    token_grad_cam,
)
from vit.explain.maps.attribution import integrated_gradients, occlusion
from vit.explain.maps.gradcam import grad_cam
from vit.explain.maps.target import Target
from vit.networks import Network


@dataclass(frozen=True)
class Method:
    """A method that computes one map of an image.

    Attributes:
        function: ``(model, images (b c h w), target, **options) -> (b rows columns)``; raises an ExplainError if the
            method is not available for the network. Slow methods also accept ``progress(done, total)``.
        title: the name on screen.
        family: what the map is computed from; perturbation methods run the model many times.
        for_class: whether the map depends on the target.
        signed: whether negative numbers (evidence against the class) have a meaning.
        source: the paper or author.
        what: what it computes, in a sentence.
        caution: its limits, in a sentence or two.
        unit: the meaning of a number of the map.
        fast: whether it needs only one forward and at most one backward pass.
        options: further settings that ``function`` accepts.
    """

    function: Callable[..., np.ndarray]
    title: str
    family: Literal["attention", "gradient", "perturbation"]
    for_class: bool
    signed: bool
    source: str
    what: str
    caution: str
    unit: str
    fast: bool = True
    options: tuple[str, ...] = ()


def any_grad_cam(model: Network, images: Tensor, target: Target | int | None = None) -> np.ndarray:
    """Compute Grad-CAM on the last block's output (convolutional network) or input tokens (transformer)."""
    return (grad_cam if isinstance(model, CNN) else token_grad_cam)(model, images, target)


METHODS: dict[str, Method] = {
    "last": Method(
        last_attention,
        "Last layer's attention",
        "attention",
        for_class=False,
        signed=False,
        source="Vaswani et al. 2017",
        what="What the summary token attends to in the last layer, averaged over the heads.",
        caution="It is the same for every class. By the last layer a patch's token already contains information from "
        "other patches, so a bright patch need not be about its own pixels.",
        unit="share of attention",
    ),
    "rollout": Method(
        rollout,
        "Attention rollout",
        "attention",
        for_class=False,
        signed=False,
        source="Abnar and Zuidema 2020",
        what="Attention multiplied through all layers, where half of each token is assumed to stay in place.",
        caution="It is the same for every class, and counts all attention as evidence, whether it raised the score, "
        "lowered it or had no effect. With many layers it becomes uniform.",
        unit="share that reaches the answer",
        options=("fusion", "discard"),
    ),
    "chefer": Method(
        chefer,
        "Gradient-weighted relevance",
        "gradient",
        for_class=True,
        signed=False,
        source="Chefer, Gur and Wolf 2021",
        what="Attention followed through all layers, counting only links that would raise the score if stronger.",
        caution="Evidence against the class is dropped. If the model is very confident, gradients are small and the "
        "map is less reliable.",
        unit="relevance",
    ),
    "attention-gradient": Method(
        attention_gradient,
        "Attention × gradient",
        "gradient",
        for_class=True,
        signed=False,
        source="the last step of Chefer, Gur and Wolf 2021",
        what="The last layer's attention, counting only links that would raise the score if stronger.",
        caution="It ignores earlier layers: a bright patch's token may contain information from other patches.",
        unit="relevance",
    ),
    "gradient-rollout": Method(
        gradient_rollout,
        "Gradient rollout",
        "gradient",
        for_class=True,
        signed=False,
        source="Gildenblat 2020, vit-explain",
        what="Attention times its gradient, averaged over the heads first, followed through all layers.",
        caution="Heads that raise and heads that lower the score cancel before negative sums are dropped, so a place "
        "that does both may stay dark.",
        unit="relevance",
        options=("discard",),
    ),
    "gradcam": Method(
        any_grad_cam,
        "Grad-CAM",
        "gradient",
        for_class=True,
        signed=False,
        source="Selvaraju et al. 2017",
        what="The last block's features at each place, weighted by how much they raise the score on average.",
        caution="Each feature has one weight for all places, so the map is coarse. The features at a place may contain "
        "information from other places.",
        unit="part of the score",
    ),
    "integrated": Method(
        integrated_gradients,
        "Integrated gradients",
        "gradient",
        for_class=True,
        signed=True,
        source="Sundararajan, Taly and Yan 2017",
        what="Each pixel's gradient, averaged from a blank image to this image, times the change of the pixel.",
        caution="Parts with the blank image's colour always get 0, and the images in between are unlike any that the "
        "model was trained on.",
        unit="part of the score",
        fast=False,
        options=("steps",),
    ),
    "occlusion": Method(
        occlusion,
        "Occlusion",
        "perturbation",
        for_class=True,
        signed=True,
        source="Zeiler and Fergus 2014",
        what="The drop of the score when one patch is covered.",
        caution="It covers one patch at a time: if two patches carry the same information, neither seems to matter. "
        "And a covered patch adds edges and a colour that the model may react to.",
        unit="drop of the score",
        fast=False,
    ),
}
"""All methods, by their name on the command line."""


def methods_for(network: Network | ModelConfig) -> dict[str, Method]:
    """Return the entries of :data:`METHODS` that are available for a network, given itself or its settings."""
    config = getattr(network, "config", network)
    names = set(METHODS)
    if not config.num_classes:
        names = {name for name, method in METHODS.items() if not method.for_class}
    elif isinstance(config, CNNConfig):
        names = {"gradcam", "integrated", "occlusion"}
    elif isinstance(config, ReferenceConfig) and config.mixes_positions:
        names = {"last", "integrated", "occlusion"}
    elif isinstance(config, ReferenceConfig) and "softmax" not in config.mended:
        names = {"last", "gradcam", "integrated", "occlusion"}
    return {name: method for name, method in METHODS.items() if name in names}


def reason_unavailable(network: Network | ModelConfig) -> str:
    """Return why the other methods are not available, in a sentence; empty if all are available."""
    config = getattr(network, "config", network)
    if not config.num_classes:
        return f"{NO_CLASSES} Methods that explain the score of a class are not available."
    if isinstance(config, CNNConfig):
        return "A convolutional network has no attention, so methods that use attention are not available."
    if isinstance(config, ReferenceConfig) and config.mixes_positions:
        return (
            "This network mixes positions outside its attention too, so its tokens and its attention cannot be traced "
            "back to patches; integrated gradients and occlusion use the pixels instead."
        )
    if isinstance(config, ReferenceConfig) and "softmax" not in config.mended:
        return (
            "This network normalises its attention over the queries, so its rows do not sum to 1 and it cannot be "
            "followed from layer to layer."
        )
    return ""
