"""Random views of images for training without labels: crops of one size, and changes of their colours.

Every function takes whole batches and their random numbers, one row for each image, as in :mod:`vit.data.batches`.
The colour changes are those of BYOL (Grill et al. 2020), which DINO also uses, but the strength of a blur is the weight
of one blurred copy.
"""

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

ASPECT = (3 / 4, 4 / 3)
"""Width of a crop divided by its height."""
JITTER = (0.4, 0.4, 0.4)
"""Brightness, contrast and saturation are scaled by 1 +- these."""
HUE, ANY_HUE = 0.2 * math.pi, math.pi
"""Largest rotation of the hue in radians, as in DINO, and if a hue may become any other."""
JITTER_PROBABILITY = 0.8
GREY_PROBABILITY = 0.2

CROP_NOISE, COLOUR_NOISE, BACKGROUND_NOISE = 5, 9, 2
"""Random numbers for each crop, for each change of colours, and for each change of the background."""
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in Pillow's greyscale
_BLUR = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)  # binomial: a standard deviation of one pixel


def crop(images: Tensor, noise: Tensor, size: int, area: tuple[float, float], *, flip: bool = True) -> Tensor:
    """Cut a random rectangle out of each image, flip half of them, and resize them bilinearly.

    Args:
        images: float32 (b c h w).
        noise: random numbers in [0, 1), (b, :data:`CROP_NOISE`): area, aspect, row, column, flip.
        size: side of the result in pixels.
        area: smallest and largest share of the image's area.
        flip: whether half of them are flipped.

    Returns:
        float32 (b c size size).
    """
    share = area[0] + (area[1] - area[0]) * noise[:, 0]
    low, high = (math.log(limit) for limit in ASPECT)
    aspect = torch.exp(low + (high - low) * noise[:, 1])
    height, width = (share / aspect).sqrt().clamp(max=1), (share * aspect).sqrt().clamp(max=1)
    rows = (1 - height) * (2 * noise[:, 2] - 1)  # centres, in coordinates from -1 to 1
    columns = (1 - width) * (2 * noise[:, 3] - 1)
    if flip:
        width = torch.where(noise[:, 4] < 0.5, -width, width)
    pixel = (2 * torch.arange(size, device=images.device) + 1) / size - 1
    y = rows[:, None] + height[:, None] * pixel  # (b size)
    x = columns[:, None] + width[:, None] * pixel
    grid = torch.stack((x[:, None].expand(-1, size, -1), y[:, :, None].expand(-1, -1, size)), dim=-1)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def swap_backgrounds(images: Tensor, masks: Tensor, noise: Tensor, share: float) -> Tensor:
    """Put the objects of some images on the backgrounds of other images of the batch.

    The new background is another image; where that shows its object, a second one, and where that shows its own, a
    third, so that objects remain only where all three overlap.

    Args:
        images: float32 (b c h w).
        masks: 1 on the object, float32 (b 1 h w).
        noise: random numbers in [0, 1), (b, :data:`BACKGROUND_NOISE`): whether an image is changed, and the order in
            which images follow each other.
        share: probability of a change.

    Returns:
        float32 (b c h w).
    """
    order = noise[:, 1].argsort()
    place = order.argsort()
    others = [order[(place + distance) % len(order)] for distance in (3, 2, 1)]
    background = images[others[0]]
    for other in others[1:]:
        background = images[other].lerp(background, masks[other])
    changed = (noise[:, 0] < share).to(masks.dtype)[:, None, None, None]
    return images.lerp(background, changed * (1 - masks))


def recolour(images: Tensor, noise: Tensor, *, blur: float, solarise: float, hue: float = HUE) -> Tensor:
    """Change the colours of each image: hue, jitter, grey, blur, solarisation.

    Args:
        images: float32 (b c h w) in [0, 1], c = 3.
        noise: random numbers in [0, 1), (b, :data:`COLOUR_NOISE`).
        blur: probability of a blur.
        solarise: probability that pixels brighter than one half are inverted.
        hue: largest rotation of the hue, in radians.

    Returns:
        float32 (b c h w) in [0, 1].
    """
    luma, eye, turn = _constants(images.device)
    jitter = (noise[:, 3] < JITTER_PROBABILITY).to(images.dtype)
    brightness, contrast, saturation = (
        1 + jitter * limit * (2 * noise[:, column] - 1) for column, limit in enumerate(JITTER)
    )
    saturation = torch.where(noise[:, 4] < GREY_PROBABILITY, torch.zeros_like(saturation), saturation)
    # All are affine maps of a pixel's colours, so one matrix does them at once. A rotation about the grey axis is the
    # change of hue: R = cos I + (1 - cos) J / 3 + sin K.
    angle = (jitter * hue * (2 * noise[:, 8] - 1))[:, None, None]
    rotation = angle.cos() * eye + (1 - angle.cos()) / 3 + angle.sin() * turn  # b c c
    mean = ((rotation @ images.mean(dim=(2, 3))[:, :, None])[..., 0] @ luma) * brightness
    own, grey = brightness * contrast * saturation, brightness * contrast * (1 - saturation)
    matrix = (own[:, None, None] * eye + grey[:, None, None] * luma) @ rotation
    bias = ((1 - contrast) * mean)[:, None, None].expand(-1, 3, 1)
    images = torch.baddbmm(bias, matrix, images.flatten(2)).clamp_(0, 1).view(images.shape)
    if blur:
        weight = torch.where(noise[:, 5] < blur, noise[:, 6], torch.zeros_like(noise[:, 6]))
        images = images.lerp(_blurred(images), weight[:, None, None, None])
    if solarise:
        inverted = (noise[:, 7] < solarise)[:, None, None, None] & (images > 0.5)
        images = torch.where(inverted, 1 - images, images)
    return images


def _blurred(images: Tensor) -> Tensor:
    """Blur with a 5 x 5 binomial kernel, mirrored at the borders: ``b c h w -> b c h w``."""
    h, w = images.shape[-2:]
    padded = F.pad(images, (2, 2, 2, 2), mode="reflect")
    across, blurred = torch.zeros_like(padded[..., :w]), torch.zeros_like(images)
    for start, weight in enumerate(_BLUR):
        across.add_(padded[..., start : start + w], alpha=weight)
    for start, weight in enumerate(_BLUR):
        blurred.add_(across[:, :, start : start + h], alpha=weight)
    return blurred


@cache
def _constants(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return luma weights (3), the unit matrix and the generator of rotations about the grey axis (3 3 each).

    They are cached, because a CUDA graph may not copy from the host.
    """
    turn = torch.tensor(((0.0, -1.0, 1.0), (1.0, 0.0, -1.0), (-1.0, 1.0, 0.0)), device=device) / math.sqrt(3)
    return torch.tensor(_LUMA, device=device), torch.eye(3, device=device), turn
