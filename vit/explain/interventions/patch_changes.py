"""Changes that a user makes to an image: shuffle its patches, or cover some of them.

Shapes in einops letters: ``b`` batch, ``c`` channel, ``h w`` pixels.
"""

import re
from collections.abc import Collection, Iterable

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from vit.errors import SettingsError
from vit.explain.interventions.cover import Fill, cover

_RANGE = re.compile(r"([1-9]\d{0,5})(?:-([1-9]\d{0,5}))?")


def patch_order(grid: tuple[int, int], seed: int) -> np.ndarray:
    """Return the patch at each place, a random permutation: ``(rows columns)``, both counted from 0 row by row."""
    rows, columns = grid
    return np.random.default_rng(seed).permutation(rows * columns).reshape(rows, columns)


def shuffle(images: Tensor, grid: tuple[int, int], seed: int) -> Tensor:
    """Return ``images (b c h w)`` with their patches in the order of :func:`patch_order`, the same for all images.

    If the image size is not a multiple of the grid, patch sizes differ by one pixel, which is repeated or left out.
    """
    order = patch_order(grid, seed)
    source_rows, source_columns = np.divmod(order, grid[1])
    y = _sources(source_rows, images.shape[2], axis=0)  # h columns
    x = _sources(source_columns, images.shape[3], axis=1)  # rows w
    row_of, column_of = (np.arange(size) * count // size for size, count in zip(images.shape[2:], grid, strict=True))
    down = torch.from_numpy(y[:, column_of]).to(images.device)  # h w
    across = torch.from_numpy(x[row_of]).to(images.device)
    return images[:, :, down, across]


def _sources(patches: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Return the source pixel of each pixel along one axis of ``size`` pixels, for ``patches (rows columns)``."""
    count = patches.shape[axis]
    pixel = np.arange(size)
    patch = pixel * count // size
    starts = -(-np.arange(count + 1) * size // count)  # the first pixel of each patch
    offset, length = pixel - starts[patch], np.diff(starts)
    taken = patches.take(patch, axis=axis)  # the patch that is shown there
    offset = offset[:, None] if axis == 0 else offset[None]
    return starts[taken] + np.minimum(offset, length[taken] - 1)


def alter(
    view: np.ndarray, grid: tuple[int, int], covered: Collection[int], fill: Fill = "mean", seed: int = 0
) -> np.ndarray:
    """Shuffle the patches of an image, then cover some places.

    Args:
        view: ``(h w c)`` uint8.
        grid: rows and columns of patches.
        covered: numbers of the covered places, from 1, row by row.
        fill: the content of covered patches.
        seed: seed of the permutation; 0 means no shuffling.

    Returns:
        ``(h w c)`` uint8.
    """
    if not covered and not seed:
        return view
    images = rearrange(torch.from_numpy(view.astype(np.float32)), "h w c -> 1 c h w")
    if seed:
        images = shuffle(images, grid, seed)
    hidden = np.zeros(grid, dtype=bool)
    hidden.flat[[patch - 1 for patch in covered]] = True
    images = cover(images, hidden, fill)
    return rearrange(images, "1 c h w -> h w c").round().clamp(0, 255).to(torch.uint8).numpy()


def patches_to_text(patches: Iterable[int]) -> str:
    """Write patch numbers for a link, consecutive ones as a range: ``1-3.7.12-15``."""
    ranges: list[list[int]] = []
    for patch in sorted(set(patches)):
        if ranges and patch == ranges[-1][1] + 1:
            ranges[-1][1] = patch
        else:
            ranges.append([patch, patch])
    return ".".join(f"{first}" if first == last else f"{first}-{last}" for first, last in ranges)


def patches_from_text(text: str, count: int) -> tuple[int, ...]:
    """Read the numbers that :func:`patches_to_text` wrote, of patches 1 to ``count``, ascending.

    Raises:
        SettingsError: the text is malformed, or a patch does not exist.
    """
    found: set[int] = set()
    for part in text.split(".") if text else ():
        match = _RANGE.fullmatch(part)
        if match is None:
            raise SettingsError(f"{part!r} is not a list of patches: write numbers and ranges, as in 1-3.7.")
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last <= count:
            raise SettingsError(f"{part!r} contains patches that do not exist: this image has patches 1 to {count}.")
        found.update(range(first, last + 1))
    return tuple(sorted(found))
