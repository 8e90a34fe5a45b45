"""Where a convolutional network looks: Grad-CAM (Selvaraju et al., ICCV 2017), by way of captum."""

import copy

import numpy as np
import torch
from torch import Tensor

from vit.cnn import CNN
from vit.errors import ExplainError
from vit.explain.maps.target import Target
from vit.networks import Network


def grad_cam(model: Network, images: Tensor, target: Target | int | None = None, *, layer: int = -1) -> np.ndarray:
    """The channels of one block's output, weighted by how much each raises a class, summed, negative sums set to 0.

    A channel's weight is the mean over the positions of the gradient of what is explained.

    Args:
        images: ``(b c h w)``, normalised.
        target: what to explain; a class stands for its logit, None for each image's likeliest.
        layer: the block, from 0, or from the last one with -1.

    Returns:
        ``(b rows columns)`` float32: how much each position of the block's output speaks for the class, in units of
        the logit; blocks differ in scale.

    Raises:
        ExplainError: a TypeError; the model has no convolution blocks.
    """
    if not isinstance(model, CNN):
        raise ExplainError(
            f"{type(model).__name__} has no convolution blocks for Grad-CAM; take rollout or chefer for a transformer."
        )
    from captum.attr import LayerGradCam  # a second to import, so only when it is asked for

    # captum hooks itself into the module, and what its hook keeps would be overwritten by every forward pass of another
    # thread, of a prediction too. A lock would have to be held by all of them; a copy takes milliseconds.
    own = copy.deepcopy(model).eval()
    images = images.detach().to(next(own.parameters()).device, torch.float32)
    target = Target.of(target)
    with torch.no_grad():
        labels = target.labels(own(images))

    def score(images: Tensor) -> Tensor:
        return Target(labels, target.against).score(own(images))

    maps = LayerGradCam(score, own.blocks[layer]).attribute(images, relu_attributions=True)
    return maps[:, 0].detach().float().cpu().numpy()
