"""Cover some patches of images, to see how a prediction changes without them.

Shapes in einops letters: ``b`` batch, ``c`` channel, ``h w`` pixels, ``rows columns`` patches.
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

Fill = Literal["mean", "blur"]

FILLS: dict[Fill, str] = {"mean": "mean colour", "blur": "blur"}
"""The fills of covered patches and their names on screen."""


def patch_of_pixel(grid: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Return the number of the patch that each pixel belongs to, row by row: ``(h w)`` int64.

    If the image size is not a multiple of the grid, patch sizes differ by one pixel.
    """
    (rows, columns), (height, width) = grid, size
    return (torch.arange(height) * rows // height)[:, None] * columns + torch.arange(width) * columns // width


def _blurring(size: int, sigma: float) -> Tensor:
    """Return the matrix of a Gaussian blur along one axis, ``(size size)``, renormalised at the borders."""
    place = torch.arange(size, dtype=torch.float32)
    weights = torch.exp(-((place[:, None] - place) ** 2) / (2 * sigma**2))
    return weights / weights.sum(dim=1, keepdim=True)


def filled(images: Tensor, grid: tuple[int, int], fill: Fill) -> Tensor:
    """Return ``images (b c h w)`` with every patch covered.

    ``mean`` is each image's own mean colour. ``blur`` is a Gaussian blur whose deviation is the side of a patch: it
    keeps rough colours, removes shapes, and creates fewer artificial edges.

    Both are weighted means of pixels, so images may be covered before or after normalisation.
    """
    if fill == "mean":
        return images.mean(dim=(2, 3), keepdim=True).expand_as(images)
    height, width = images.shape[2:]
    down = _blurring(height, height / grid[0]).to(images)
    across = _blurring(width, width / grid[1]).to(images)
    return down @ images @ across.T


def cover(images: Tensor, patches: Tensor | np.ndarray, fill: Fill = "mean") -> Tensor:
    """Cover some patches of images.

    Args:
        images: float ``(b c h w)``.
        patches: True where covered, ``(b rows columns)``, or ``(rows columns)`` for all images. One image with many
            patterns is possible, and many images with one pattern.
        fill: the content of a covered patch; see :func:`filled`.

    Returns:
        ``(b c h w)``.
    """
    covered = torch.as_tensor(patches, dtype=torch.bool, device=images.device)
    if covered.ndim == 2:
        covered = covered[None]
    grid = (covered.shape[1], covered.shape[2])
    place = patch_of_pixel(grid, (images.shape[2], images.shape[3])).to(images.device)
    return torch.where(covered.flatten(1)[:, place][:, None], filled(images, grid, fill), images)
