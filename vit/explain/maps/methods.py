"""Every method that makes one map of an image, and which of them a network can give."""

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
    """A way to make one map of an image.

    Attributes:
        function: ``(model, images (b c h w), target, **options) -> (b rows columns)``; raises an ExplainError where the
            network cannot give it. Where it is not fast, it takes ``progress(done, total)`` besides.
        title: what a person calls it.
        family: what it is made from; the perturbation methods run the model many times.
        for_class: whether the map depends on the target.
        signed: whether negative numbers (against the class) mean something.
        source: the paper, or who described it.
        what: what it computes, in a sentence.
        caution: when not to trust it, in a sentence or two.
        unit: what a number of the map is.
        fast: one forward and at most one backward pass.
        options: the settings that ``function`` takes besides.
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
    """Grad-CAM of the last block: of a convolutional network's output, of the tokens that enter a transformer's."""
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
        caution="It is the same for every class. By the last layer a patch's token already holds something of the "
        "patches it looked at before, so a bright patch need not be about its own pixels.",
        unit="share of attention",
    ),
    "rollout": Method(
        rollout,
        "Attention rollout",
        "attention",
        for_class=False,
        signed=False,
        source="Abnar and Zuidema 2020",
        what="Attention followed through all layers, as if half of each token stayed in place in each.",
        caution="It is the same for every class, and counts every look as evidence, whether it raised the score, "
        "lowered it or did nothing. With many layers it turns even.",
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
        caution="What speaks against the class is dropped, so it cannot show. Where the model is sure, slopes are "
        "small and the map may rest on little.",
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
        caution="What earlier layers moved about is unknown to it: a bright patch's token may speak of other patches.",
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
        caution="Heads that raise and heads that lower the score cancel out before negative sums are dropped, so a "
        "place that matters both ways may stay dark.",
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
        caution="One weight for each feature serves all places, so it is coarse. What stands at a place may have been "
        "taken from elsewhere.",
        unit="part of the score",
    ),
    "integrated": Method(
        integrated_gradients,
        "Integrated gradients",
        "gradient",
        for_class=True,
        signed=True,
        source="Sundararajan, Taly and Yan 2017",
        what="The slope by each pixel on the way from a blank picture to this one, times how far the pixel moves.",
        caution="Parts that have the blank picture's colour get nothing, whatever they mean; and the pictures on the "
        "way are unlike any that the model was trained on.",
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
        what="How far the score falls when one patch is painted over.",
        caution="One patch at a time: where two say the same, neither is missed. And a painted patch is an edge and a "
        "colour of its own, which the model may react to.",
        unit="fall of the score",
        fast=False,
    ),
}
"""The methods that give one map, by the name that the command line takes."""


def methods_for(network: Network | ModelConfig) -> dict[str, Method]:
    """Those of :data:`METHODS` that a network, or one of these settings, can give."""
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
    """Why the others are not to be had, in a sentence; empty where there are none."""
    config = getattr(network, "config", network)
    if not config.num_classes:
        return f"{NO_CLASSES} Methods that explain the score of a class have nothing to explain."
    if isinstance(config, CNNConfig):
        return (
            "A convolutional network has no attention, so the methods that are made from attention have no map of it."
        )
    if isinstance(config, ReferenceConfig) and config.mixes_positions:
        return (
            "This network mixes positions outside its attention too, so what its tokens and its attention say cannot "
            "be traced back to patches; integrated gradients and occlusion ask the pixels themselves."
        )
    if isinstance(config, ReferenceConfig) and "softmax" not in config.mended:
        return (
            "This network normalises its attention over the queries, so a row of it is no division of a whole, and it "
            "cannot be followed from layer to layer."
        )
    return ""
