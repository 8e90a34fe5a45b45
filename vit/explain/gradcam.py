"""Where a convolutional network looks: Grad-CAM (Selvaraju et al., ICCV 2017), by way of captum."""

import copy

import numpy as np
import torch
from torch import Tensor, nn

from vit.cnn import CNN
from vit.errors import ExplainError


def grad_cam(model: nn.Module, images: Tensor, label: int | None = None, *, layer: int = -1) -> np.ndarray:
    """The channels of one block's output, weighted by how much each raises a class, summed, negative sums set to 0.

    A channel's weight is the mean over the positions of the gradient of the class's logit.

    Args:
        images: ``(b c h w)``, normalised.
        label: the class to explain; None explains each image's likeliest.
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
    if label is None:
        with torch.no_grad():
            target = own(images).argmax(dim=1)
    else:
        target = torch.full((len(images),), label, device=images.device)
    maps = LayerGradCam(own, own.blocks[layer]).attribute(images, target, relu_attributions=True)
    return maps[:, 0].detach().float().cpu().numpy()
