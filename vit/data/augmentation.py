"""Augment images as whole tensors on their device: flips, shifted crops, colour jitter and random erasing."""

import math
from functools import cache

import torch
from torch import Tensor

SHIFT = 1 / 8
"""Largest shift of a crop, as a share of the side."""
JITTER = 0.2
"""Brightness, contrast and saturation are scaled by 1 +- this."""
ERASE_PROBABILITY = 0.25
ERASE_AREA = (0.02, 0.2)
ERASE_ASPECT = (1 / 3, 3.0)

NOISE = 11
"""Random numbers for each image."""
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in Pillow's greyscale


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Apply a random flip, shifted crop, colour jitter and random erasing to each image.

    Args:
        images: float32 (b c h w) in [0, 1], c = 3.
        generator: on any device; each image uses one row of random numbers.

    Returns:
        float32 (b c h w) in [0, 1].
    """
    noise = torch.rand(len(images), NOISE, generator=generator, device=generator.device).to(images.device)
    return erase(jitter(move(images, noise[:, :3]), noise[:, 3:6]), noise[:, 6:])


def move(images: Tensor, noise: Tensor, *, flip: bool = True, shift: bool = True) -> Tensor:
    """Flip half of the images, and shift each with mirrored borders; any dtype (b c h w)."""
    b, c, h, w = images.shape
    reach = SHIFT if shift else 0.0
    rows = _mirrored(h, noise[:, 0], reach)  # (b h)
    columns = _mirrored(w, noise[:, 1], reach)
    if flip:
        columns = torch.where(noise[:, 2, None] < 0.5, columns.flip(1), columns)
    index = (rows[:, :, None] * w + columns[:, None]).view(b, 1, h * w)
    return images.flatten(2).gather(2, index.expand(b, c, h * w)).view(b, c, h, w)


def _mirrored(size: int, noise: Tensor, share: float) -> Tensor:
    """Return the indices (b, size) of each image's window, which is shifted by this share at most, and mirrored."""
    reach = max(1, round(size * share)) if share else 0
    offset = (noise * (2 * reach + 1)).long().clamp_(max=2 * reach) - reach
    index = torch.arange(size, device=noise.device) + offset[:, None]
    return (size - 1) - ((size - 1) - index.abs()).abs()


def jitter(images: Tensor, noise: Tensor) -> Tensor:
    """Scale brightness, contrast and saturation by random factors."""
    return scale_colours(images, *(1 + JITTER * (2 * noise - 1)).unbind(1))


def scale_colours(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Scale brightness, contrast around the mean luminance, and saturation, as one affine map of the colours.

    Args:
        images: float32 (b c h w) in [0, 1].
        brightness: factor of each image, float32 (b,).
        contrast: the same.
        saturation: the same.
    """
    luma = _luma(images.device)
    mean = (images.mean(dim=(2, 3)) @ luma) * brightness
    own = brightness * contrast * saturation
    grey = brightness * contrast * (1 - saturation)
    matrix = own[:, None, None] * torch.eye(3, device=images.device) + grey[:, None, None] * luma  # (b c c)
    bias = ((1 - contrast) * mean)[:, None, None].expand(-1, 3, 1)
    return torch.baddbmm(bias, matrix, images.flatten(2)).clamp_(0, 1).view(images.shape)


@cache
def _luma(device: torch.device) -> Tensor:
    """Return the luma weights, cached per device because a CUDA graph may not copy from the host."""
    return torch.tensor(_LUMA, device=device)


def erase(images: Tensor, noise: Tensor) -> Tensor:
    """Fill a rectangle of some images with the image's mean colour, in place (Zhong et al. 2020)."""
    _, _, h, w = images.shape
    area = ERASE_AREA[0] + (ERASE_AREA[1] - ERASE_AREA[0]) * noise[:, 1]
    low, high = (math.log(limit) for limit in ERASE_ASPECT)
    aspect = torch.exp(low + (high - low) * noise[:, 2])
    erased = (noise[:, 0] < ERASE_PROBABILITY)[:, None]
    rows = (_span(h, torch.sqrt(area * aspect), noise[:, 3]) & erased).to(images.dtype)
    columns = _span(w, torch.sqrt(area / aspect), noise[:, 4]).to(images.dtype)
    # A blend with weights 0 and 1 is exact, and several times as fast as torch.where with a boolean mask.
    inside = rows[:, None, :, None] * columns[:, None, None]  # (b 1 h w)
    return images.lerp_(images.mean(dim=(2, 3), keepdim=True), inside)


def _span(size: int, share: Tensor, position: Tensor) -> Tensor:
    """Return which of ``size`` pixels lie in a span with this share and position: bool (b, size)."""
    length = (share * size).round().clamp(1, size)
    start = (position * (size - length + 1)).floor()
    pixel = torch.arange(size, device=share.device)
    return (pixel >= start[:, None]) & (pixel < (start + length)[:, None])
