"""Prepare a model and images for a method that looks inside: eval mode, device, gradients.

A caller may be inside ``torch.no_grad()`` or ``torch.inference_mode()``. Tensors made in inference mode cannot be part
of a graph, so they are copied.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TypeVar

import torch
from torch import Tensor, nn

from vit.cnn import CNN
from vit.errors import DataError, ExplainError
from vit.networks import Network

AnyNetwork = TypeVar("AnyNetwork", bound=Network)


@contextmanager
def gradients_enabled() -> Iterator[None]:
    """Allow gradients, also inside a caller's ``torch.no_grad()`` or ``torch.inference_mode()``."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def ready(model: AnyNetwork) -> AnyNetwork:
    """Return the model in eval mode, with weights that can be part of a graph.

    The model itself is returned if it is so already, otherwise a copy, since other threads may be using the model.
    """
    made_in_inference = any(tensor.is_inference() for tensor in chain(model.parameters(), model.buffers()))
    if not model.training and not made_in_inference:
        return model
    with torch.inference_mode(False):
        own: AnyNetwork = copy.deepcopy(model)
        own.eval()
        return own


def ready_images(model: Network, images: Tensor) -> Tensor:
    """Return images ``(b c h w)`` as float32 on the model's device, without a graph.

    Raises:
        DataError: the images have another number of axes or channels, or they are integers, which have not been
            normalised.
    """
    if not isinstance(images, Tensor):
        raise DataError(f"images are of type {type(images).__name__}: pass a float tensor (batch, channels, h, w).")
    config = getattr(model, "config", None)  # a network that can only be recorded need not have settings
    channels = "channels" if config is None else config.in_channels
    if images.ndim != 4 or (config is not None and images.shape[1] != config.in_channels):
        raise DataError(
            f"images have shape {tuple(images.shape)}; this model takes (batch, {channels}, height, width)."
        )
    if not images.is_floating_point():
        raise DataError(
            f"images have dtype {images.dtype}, but the model takes normalised float32 images: prepare them with "
            "vit.model_input(info, picture)."
        )
    images = images.detach()
    if images.is_inference():
        with torch.inference_mode(False):
            images = images.clone()
    return images.to(next(model.parameters()).device, torch.float32)


def require_network(model: nn.Module) -> None:
    """Raise an ExplainError (a TypeError) unless the model is one of this library's networks."""
    if not isinstance(model, Network):
        raise refusal(model, "settings that this method can read")


def refusal(model: nn.Module, lacks: str) -> ExplainError:
    """Return the error for a model of the wrong kind, which says what to use instead.

    Args:
        model: a network of this library or of another one.
        lacks: what the model does not have, as a phrase.
    """
    name = type(model).__name__
    if isinstance(model, CNN):
        instead = "it is a convolutional network: use Grad-CAM (vit.explain.grad_cam)."
    elif isinstance(model, Network):
        instead = "it is a transformer: use rollout or chefer."
    elif _is_transformer(model):
        instead = (
            "it is a transformer of another library: save its weights as a safetensors file, open them with "
            "`python -m vit open FILE`, and load the run with load_checkpoint."
        )
    else:
        instead = "it is a network of another library: use captum, for example its LayerGradCam (Grad-CAM)."
    return ExplainError(f"{name} has no {lacks}; {instead}")


def _is_transformer(model: nn.Module) -> bool:
    """Return whether a network of another library has attention in it, judged by the names of its modules."""
    return any(
        isinstance(module, nn.MultiheadAttention) or "attention" in type(module).__name__.lower()
        for module in model.modules()
    )
