"""RandAugment (Cubuk et al. 2020) for whole batches: each image gets its own random operations, with fixed magnitude.

The amounts of all operations are computed first. All geometric operations are then one resampling and all colour
factors one affine map, so an image's operations are applied in a fixed order, not in the order of the draw.
"""

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from vit.data.augmentation import scale_colours

SIGNED = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y", "scale", "brightness", "contrast", "saturation")
"""Operations whose amount is positive or negative with equal probability."""
OPERATIONS = ("identity", *SIGNED, "solarize", "posterize", "autocontrast", "equalize")

MAGNITUDES = 30
"""The largest magnitude. The ranges below are torchvision's, except for ``scale``, which torchvision does not have."""
ROTATION = math.radians(30)
SHEAR = 0.3
TRANSLATION = 150 / 331
SCALE = 0.5
COLOUR = 0.9
_BITS, _LOST_BITS = 8, 4
_LEVELS = 256


def randaugment(images: Tensor, noise: Tensor, magnitude: float) -> Tensor:
    """Apply random operations of :data:`OPERATIONS` to each image.

    Args:
        images: float32 (b c h w) in [0, 1], c = 3, h = w.
        noise: uniform random numbers (b n 2) for n operations for each image: which one, and its sign.
        magnitude: strength of every operation, from 0 to 30.
    """
    amounts = dict(zip(OPERATIONS, _amounts(noise).unbind(1), strict=True))
    part = magnitude / MAGNITUDES
    images = affine(
        images,
        angle=ROTATION * part * amounts["rotate"],
        shear=SHEAR * part * torch.stack((amounts["shear_x"], amounts["shear_y"]), 1),
        shift=TRANSLATION * part * torch.stack((amounts["translate_x"], amounts["translate_y"]), 1),
        scale=1 + SCALE * part * amounts["scale"].clamp(min=-1),
    )
    names = ("brightness", "contrast", "saturation")
    images = scale_colours(images, *((1 + COLOUR * part * amounts[name]).clamp_(min=0) for name in names))
    for name, change in (
        ("solarize", lambda it: solarize(it, 1 - part)),
        ("posterize", lambda it: posterize(it, _BITS - round(_LOST_BITS * part))),
        ("autocontrast", autocontrast),
        ("equalize", equalize),
    ):
        # A blend with weights 0 and 1 is exact, and faster than torch.where.
        images = torch.lerp(images, change(images), (amounts[name] > 0)[:, None, None, None].to(images.dtype))
    return images


def _amounts(noise: Tensor) -> Tensor:
    """Return how often each image gets each operation, with sign: (b, operations)."""
    chosen = (noise[..., 0] * len(OPERATIONS)).long().clamp_(max=len(OPERATIONS) - 1)
    each = (chosen[..., None] == torch.arange(len(OPERATIONS), device=noise.device)).to(noise.dtype)  # b n operations
    sign = torch.where(noise[..., 1:] < 0.5, -1.0, 1.0)
    return (each * (sign * _signed(noise.device) + ~_signed(noise.device))).sum(1)


@cache
def _signed(device: torch.device) -> Tensor:
    """Return which operations have a sign; cached per device because a CUDA graph may not copy from the host."""
    return torch.tensor([name in SIGNED for name in OPERATIONS], device=device)


def affine(
    images: Tensor, *, angle: Tensor, shear: Tensor, shift: Tensor, scale: Tensor, padding: str = "reflection"
) -> Tensor:
    """Rotate, shear, scale and shift each image about its centre, in one bilinear resampling.

    As ``torchvision.transforms.v2.functional.affine``, with other numbers for each image.

    Args:
        images: float32 (b c h w), h = w.
        angle: clockwise rotation in radians (b,).
        shear: tangents of the shear angles along x and y (b 2).
        shift: shares of the side, to the right and down (b 2).
        scale: factor of the size (b,).
        padding: what lies beyond the border, as in ``torch.nn.functional.grid_sample``.
    """
    along_x, along_y = shear.unbind(1)
    turned = angle - torch.atan(along_y)
    secant = torch.sqrt(1 + along_y.square())  # 1 / cos(atan(along_y))
    a, c = turned.cos() * secant, turned.sin() * secant
    b, d = -a * along_x - angle.sin(), -c * along_x + angle.cos()
    inverse = torch.stack((torch.stack((d, -b), 1), torch.stack((-c, a), 1)), 1) / scale[:, None, None]  # b 2 2
    offset = -2 * inverse @ shift[:, :, None]  # an image is 2 wide in the coordinates of grid_sample
    grid = F.affine_grid(torch.cat((inverse, offset), 2), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode=padding, align_corners=False)


def solarize(images: Tensor, threshold: float) -> Tensor:
    """Invert the values from a threshold on."""
    return torch.lerp(images, 1 - images, (images >= threshold).to(images.dtype))


def posterize(images: Tensor, bits: int) -> Tensor:
    """Keep only the first ``bits`` of 8 bits of each value."""
    levels = 2**bits
    return (images * levels).floor_().clamp_(0, levels - 1).mul_(1 / levels)


def autocontrast(images: Tensor) -> Tensor:
    """Stretch each channel to the range from 0 to 1; a channel of one value is left as it is."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    flat = (low == high).to(images.dtype)
    return (images - low * (1 - flat)) / (high - low + flat)


def equalize(images: Tensor) -> Tensor:
    """Make the histogram of each channel even, with 256 levels as in Pillow."""
    b, c, h, w = images.shape
    values = (images * (_LEVELS - 1)).round_().long().view(b * c, h * w)
    counts = torch.zeros(b * c, _LEVELS, device=images.device)
    cumulative = counts.scatter_add_(1, values, counts.new_ones(1, 1).expand_as(values)).cumsum(1)
    below_largest = torch.where(cumulative < h * w, cumulative, 0).amax(1, keepdim=True)
    step = (below_largest / (_LEVELS - 1)).floor_()
    mapped = ((cumulative + (step / 2).floor_()) / step.clamp(min=1)).floor_().clamp_(max=_LEVELS - 1)
    mapped = torch.cat((torch.zeros_like(mapped[:, :1]), mapped[:, :-1]), 1)
    mapped = torch.where(step > 0, mapped, torch.arange(_LEVELS, device=images.device, dtype=mapped.dtype))
    return mapped.gather(1, values).view(images.shape).div_(_LEVELS - 1)
