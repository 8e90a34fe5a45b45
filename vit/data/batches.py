"""Gather, augment and normalise batches as whole tensors on the device.

Order and augmentation are functions of (seed, epoch, step), so an epoch that starts at step k yields the same batches
as the whole epoch from step k on. Images are uint8 until they are augmented, and no Python code handles single images.
"""

import hashlib
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from vit.data.records import Split

SHIFT = 1 / 8
"""Largest shift of a crop, as a share of the side."""
JITTER = 0.2
"""Brightness, contrast and saturation are scaled by 1 +- this."""
ERASE_PROBABILITY = 0.25
ERASE_AREA = (0.02, 0.2)
ERASE_ASPECT = (1 / 3, 3.0)

_NOISE = 11
"""Random numbers for each image."""
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in Pillow's greyscale
_COPY_ROWS = 4096
ALL = slice(None)
_ORDER, _AUGMENTATION = -1, -2  # part of the seed, so that order and augmentation get different random numbers


def mix_seed(*position: int) -> int:
    """Hash a position such as (seed, epoch, step) into a seed in [0, 2**63); close positions get unrelated seeds."""
    digest = hashlib.blake2b(struct.pack(f"<{len(position)}q", *position), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return (images / 255 - mean) / std, channel by channel: uint8 (b c h w) -> float32 (b c h w)."""
    return _normalise(images, _channels(mean, images.device), _channels(std, images.device))


def to_tensor(images: Sequence[np.ndarray], mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Stack and normalise images of one size: uint8 (h w c) each -> float32 (b c h w)."""
    return normalise(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(), mean, std)


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Apply a random flip, shifted crop, colour jitter and random erasing to each image.

    Args:
        images: float32 (b c h w) in [0, 1], c = 3.
        generator: on any device; each image uses one row of random numbers.

    Returns:
        float32 (b c h w) in [0, 1].
    """
    noise = torch.rand(len(images), _NOISE, generator=generator, device=generator.device).to(images.device)
    return _erase(_jitter(_move(images, noise[:, :3]), noise[:, 3:6]), noise[:, 6:])


def steps_per_epoch(images: int, batch_size: int, drop_last: bool = False) -> int:
    """Return the number of batches; with ``drop_last``, an incomplete last batch counts only if it is the only one."""
    return max(1, images // batch_size) if drop_last and images else -(-images // batch_size)


class Batches:
    """The batches of a split.

    If the batch size does not divide the split, the last batch is smaller; with ``drop_last`` it is left out, unless it
    is the only one.

    Attributes:
        resident: whether all images are in GPU memory, so that batches are made without the host.
        generator: random generator for augmentation; :meth:`seed` sets it before each batch.
    """

    def __init__(
        self,
        split: Split,
        *,
        batch_size: int,
        device: torch.device | str,
        mean: Sequence[float],
        std: Sequence[float],
        augment: str = "none",
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        self.device = torch.device(device)
        self.batch_size = batch_size
        self.augment = augment == "standard"
        self.generator = torch.Generator(self.device if self.device.type == "cuda" else "cpu")
        self._seed = seed
        self._mean, self._std = _channels(mean, self.device), _channels(std, self.device)
        self._count = len(split)
        self._steps = steps_per_epoch(self._count, batch_size, drop_last)
        self._images = split.images
        self._labels = torch.from_numpy(np.array(split.labels, dtype=np.int64)).to(self.device)
        self._on_gpu = self._copy_to_gpu() if self._fits() else None
        self.resident = self._on_gpu is not None

    def __len__(self) -> int:
        return self._steps

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the shuffled batches of an epoch from step ``start``: float32 (b c h w) normalised, int64 (b,)."""
        order = self.order(epoch)
        for step in range(start, len(self)):
            self.seed(epoch, step)
            yield self.batch(self.rows(order, step))

    def order(self, epoch: int) -> Tensor:
        """Return the rows of the split in the order of an epoch, int64; on the device if the images are resident."""
        order = torch.randperm(
            self._count, generator=torch.Generator().manual_seed(mix_seed(self._seed, epoch, _ORDER))
        )
        # Sorted for faster reading from disk; the order within a batch does not matter.
        order = torch.cat([rows.sort().values for rows in order.split(self.batch_size)])
        if not self.resident:
            return order
        return (order.pin_memory() if self.device.type == "cuda" else order).to(self.device, non_blocking=True)

    def rows(self, order: Tensor, step: int) -> Tensor:
        return order[step * self.batch_size : (step + 1) * self.batch_size]

    def seed(self, epoch: int, step: int) -> None:
        self.generator.manual_seed(mix_seed(self._seed, epoch, step, _AUGMENTATION))

    def batch(self, rows: Tensor, part: slice = ALL) -> tuple[Tensor, Tensor]:
        """Return the images and labels of rows, augmented if augmentation is on.

        Args:
            rows: rows of the whole batch, int64 (b,).
            part: this rank's part of the batch; random numbers are drawn for the whole batch.
        """
        images, labels = self._gather(rows[part])
        if not self.augment:
            return _normalise(images, self._mean, self._std), labels
        noise = torch.rand(len(rows), _NOISE, generator=self.generator, device=self.generator.device)[part]
        noise = noise.to(self.device, non_blocking=True)
        images = _move(images, noise[:, :3]).to(torch.float32).mul_(1 / 255)
        images = _erase(_jitter(images, noise[:, 3:6]), noise[:, 6:])
        return images.sub_(self._mean).div_(self._std), labels

    def in_order(self, part: Callable[[int], slice] = lambda _: ALL) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all batches in the order of the split, without augmentation.

        Args:
            part: returns this rank's part of a batch from the batch's size; the part may be empty.
        """
        for start in range(0, min(self._count, self._steps * self.batch_size), self.batch_size):
            rows = torch.arange(start, min(start + self.batch_size, self._count))
            images, labels = self._gather(rows[part(len(rows))])
            yield _normalise(images, self._mean, self._std), labels

    def _gather(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images uint8 (b c h w) and labels (b,) of these rows, on the device."""
        device_rows = rows.to(self.device)
        if self._on_gpu is not None:
            return self._on_gpu[device_rows], self._labels[device_rows]
        return torch.from_numpy(self._images[rows.numpy()]).to(self.device), self._labels[device_rows]

    def _fits(self) -> bool:
        """Return whether the split fits into half of the free GPU memory; on a CPU it stays memory-mapped."""
        return self.device.type == "cuda" and self._images.nbytes < torch.cuda.mem_get_info(self.device)[0] / 2

    def _copy_to_gpu(self) -> Tensor:
        images = torch.empty(self._images.shape, dtype=torch.uint8, device=self.device)
        for start in range(0, self._count, _COPY_ROWS):
            rows = slice(start, start + _COPY_ROWS)
            images[rows] = torch.from_numpy(np.array(self._images[rows])).to(self.device)
        return images


def _normalise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return images.to(torch.float32).mul_(1 / 255).sub_(mean).div_(std)


def _channels(values: Sequence[float], device: torch.device | str = "cpu") -> Tensor:
    """Return one value per channel, (1 c 1 1), for broadcasting over images."""
    return torch.tensor(tuple(values), device=device).view(1, -1, 1, 1)


def _move(images: Tensor, noise: Tensor) -> Tensor:
    """Flip half of the images, and shift each with mirrored borders; any dtype (b c h w)."""
    b, c, h, w = images.shape
    rows = _mirrored(h, noise[:, 0])  # (b h)
    columns = _mirrored(w, noise[:, 1])
    columns = torch.where(noise[:, 2, None] < 0.5, columns.flip(1), columns)
    index = (rows[:, :, None] * w + columns[:, None]).view(b, 1, h * w)
    return images.flatten(2).gather(2, index.expand(b, c, h * w)).view(b, c, h, w)


def _mirrored(size: int, noise: Tensor) -> Tensor:
    """Return the indices (b, size) of each image's window, mirrored at the borders."""
    reach = max(1, round(size * SHIFT))
    offset = (noise * (2 * reach + 1)).long().clamp_(max=2 * reach) - reach
    index = torch.arange(size, device=noise.device) + offset[:, None]
    return (size - 1) - ((size - 1) - index.abs()).abs()


def _jitter(images: Tensor, noise: Tensor) -> Tensor:
    """Scale brightness, contrast around the mean luminance, and saturation, as one affine map of the colours."""
    brightness, contrast, saturation = (1 + JITTER * (2 * noise - 1)).unbind(1)  # (b,) each
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


def _erase(images: Tensor, noise: Tensor) -> Tensor:
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
