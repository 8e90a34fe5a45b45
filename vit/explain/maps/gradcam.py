"""Grad-CAM (Selvaraju et al., ICCV 2017) for a convolutional network, computed by captum."""

import copy

import numpy as np
import torch
from torch import Tensor

from vit.cnn import CNN
from vit.explain.maps.target import Label, Target
from vit.explain.passes.inputs import gradients_enabled, ready_images, refusal
from vit.networks import Network


@gradients_enabled()
def grad_cam(model: Network, images: Tensor, target: Target | Label | None = None, *, layer: int = -1) -> np.ndarray:
    """Compute Grad-CAM on the output of one block.

    The weight of a channel is the mean over the positions of the score's gradient. The map is the weighted sum of the
    channels, with negative values set to 0.

    Args:
        model: a convolutional network.
        images: ``(b c h w)``, normalised.
        target: what to explain; a class means its logit, None each image's most probable class.
        layer: index of the block; -1 is the last one.

    Returns:
        ``(b rows columns)`` float32: how much each position of the block's output supports the class, in units of the
        logit. The scale differs between blocks.

    Raises:
        ExplainError: a TypeError; the model has no convolution blocks.
        UserError: the images are not normalised floats, or the model has no such class.
    """
    if not isinstance(model, CNN):
        raise refusal(model, "convolution blocks for Grad-CAM")
    from captum.attr import LayerGradCam  # imported here because it takes a second

    # captum installs a hook in the module, and every forward pass in another thread would overwrite what the hook
    # keeps. A lock would have to cover every forward pass; a copy takes only milliseconds.
    own = copy.deepcopy(model).eval()
    images = ready_images(own, images)
    target = Target.of(target).for_model(own, len(images))
    with torch.no_grad():
        labels = target.labels(own(images))

    def score(images: Tensor) -> Tensor:
        return Target(labels, target.against).score(own(images))

    maps = LayerGradCam(score, own.blocks[layer]).attribute(images, relu_attributions=True)
    return maps[:, 0].detach().float().cpu().numpy()
