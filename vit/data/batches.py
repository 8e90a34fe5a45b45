"""Gather, augment and normalise batches as whole tensors on the device.

Order and augmentation are functions of (seed, epoch, step), so an epoch that starts at step k yields the same batches
as the whole epoch from step k on. Images are uint8 until they are augmented, and no Python code handles single images.
"""

import hashlib
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vit.config import TrainingConfig
from vit.data.augmentation import NOISE, erase, jitter, move
from vit.data.mixing import Mixer, draw_mix
from vit.data.randaugment import randaugment
from vit.data.records import Split
from vit.data.sampling import subset
from vit.errors import SettingsError

_COPY_ROWS = 4096
ALL = slice(None)
_ORDER, _AUGMENTATION, _MIX = -1, -2, -3  # part of the seed, so that each of them gets different random numbers


class SoftBatch(NamedTuple):
    """A batch whose images may be mixed or blank.

    Attributes:
        images: normalised, float32 (b c h w).
        targets: probabilities, float32 (b classes).
        blank: share of each image that shows no object, float32 (b,).
    """

    images: Tensor
    targets: Tensor
    blank: Tensor


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


def steps_per_epoch(images: int, batch_size: int, drop_last: bool = False) -> int:
    """Return the number of batches; with ``drop_last``, an incomplete last batch counts only if it is the only one."""
    return max(1, images // batch_size) if drop_last and images else -(-images // batch_size)


class Batches:
    """The batches of a split.

    If the batch size does not divide the split, the last batch is smaller; with ``drop_last`` it is left out, unless it
    is the only one.

    Args:
        split: images and labels.
        batch_size: number of images in a batch.
        device: device of the batches.
        mean: mean of each channel.
        std: standard deviation of each channel.
        augment: whether the images are augmented as ``recipe`` says.
        seed: seed of order and augmentation.
        drop_last: whether an incomplete last batch is left out.
        recipe: what the augmentation consists of, and whether images are repeated, mixed and blanked; by default that
            of :class:`vit.config.TrainingConfig`.

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
        augment: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        recipe: TrainingConfig | None = None,
    ) -> None:
        self.device = torch.device(device)
        self._recipe = recipe or TrainingConfig()
        self.batch_size = batch_size
        self.augment = augment and bool(self._recipe.augmentations)
        self.generator = torch.Generator(self.device if self.device.type == "cuda" else "cpu")
        self._seed = seed
        self._mean, self._std = _channels(mean, self.device), _channels(std, self.device)
        self._count = len(split)
        self._steps = steps_per_epoch(self._count, batch_size, drop_last)
        self._images = split.images
        self._masks: np.ndarray | Tensor | None = split.masks
        self._labels = torch.from_numpy(np.array(split.labels, dtype=np.int64)).to(self.device)
        self._mixer = Mixer(self.device) if self._recipe.mixes else None
        self._on_gpu = self._copy_to_gpu() if self._fits() else None
        self.resident = self._on_gpu is not None
        if self.resident and self._recipe.swap_backgrounds and split.masks is not None:
            self._masks = torch.from_numpy(np.array(split.masks)).to(self.device)

    def __len__(self) -> int:
        return self._steps

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the shuffled batches of an epoch from step ``start``: float32 (b c h w) normalised, int64 (b,)."""
        order = self.order(epoch)
        for step in range(start, len(self)):
            self.seed(epoch, step)
            yield self.batch(self.rows(order, step))

    def stratified(self, most: int | None) -> Tensor:
        """Return about ``most`` rows, ascending, with the shares of the classes in the split; None for all rows.

        Every class has at least one row.
        """
        labels = self._labels.cpu().numpy()
        return torch.from_numpy(subset(labels, None if most is None else max(most, len(np.unique(labels))), 0))

    def order(self, epoch: int) -> Tensor:
        """Return the rows of the split in the order of an epoch, int64; on the device if the images are resident."""
        order = torch.randperm(
            self._count, generator=torch.Generator().manual_seed(mix_seed(self._seed, epoch, _ORDER))
        )
        if (repeats := self._recipe.repeats) > 1:
            order = order.repeat_interleave(repeats)[: self._count]
        # Sorted for faster reading from disk; the order within a batch does not matter.
        order = torch.cat([rows.sort().values for rows in order.split(self.batch_size)])
        if not self.resident:
            return order
        return (order.pin_memory() if self.device.type == "cuda" else order).to(self.device, non_blocking=True)

    def rows(self, order: Tensor, step: int) -> Tensor:
        return order[step * self.batch_size : (step + 1) * self.batch_size]

    def seed(self, epoch: int, step: int) -> None:
        self.generator.manual_seed(mix_seed(self._seed, epoch, step, _AUGMENTATION))
        if self._mixer is not None:
            random = np.random.default_rng(mix_seed(self._seed, epoch, step, _MIX))
            self._mixer.set(draw_mix(random, self._images.shape[-1], self._recipe))

    def batch(self, rows: Tensor, part: slice = ALL) -> tuple[Tensor, Tensor]:
        """Return the images and labels of rows, augmented if augmentation is on.

        Args:
            rows: rows of the whole batch, int64 (b,).
            part: this rank's part of the batch; random numbers are drawn for the whole batch.
        """
        images, labels = self._gather(rows[part])
        noise = self._noise(len(rows)) if self.augment or self._recipe.randaugment else None
        return self._prepared(images, None if noise is None else noise[part]), labels

    def soft_batch(self, rows: Tensor, classes: int, part: slice = ALL) -> SoftBatch:
        """Return :meth:`batch` with blank and mixed images, and with probabilities of ``classes`` classes as targets.

        On several ranks an image is mixed with one of the whole batch, as on one.
        """
        noise = self._noise(len(rows))
        own = torch.arange(len(rows), device=noise.device)[part]
        others = noise[:, -1].argsort()[part]  # each image is mixed with another one; rows are sorted, so at random
        whole = len(own) == len(rows)
        chosen = own if whole or self._mixer is None else torch.cat((own, others))
        images, labels = self._gather(rows if whole else rows[chosen.to(rows.device)])
        images = self._prepared(images, noise if whole else noise[chosen])
        lot, share = noise[chosen, -2, None, None, None], self._recipe.blank_images
        blank = (lot[:, 0, 0, 0] < share).to(torch.float32)
        # Half of the blank images have the mean colour of the image, and half the colour that the normalisation maps to
        # 0: a group norm enlarges even the faintest other colour, so that this one has to be learned separately.
        colour = images.mean(dim=(2, 3), keepdim=True) * (lot < share / 2)
        images = images.lerp_(colour, blank[:, None, None, None])
        targets = (labels[:, None] == torch.arange(classes, device=labels.device)).to(torch.float32)
        targets = targets + blank[:, None] * (1 / classes - targets)
        if self._mixer is None:
            return SoftBatch(images, targets, blank)
        mixed = self._mixer.images, self._mixer.targets, self._mixer.targets
        pairs = [(it, it[others]) if whole else it.split(len(own)) for it in (images, targets, blank)]
        return SoftBatch(*(mix(*pair) for mix, pair in zip(mixed, pairs, strict=True)))

    def _noise(self, count: int) -> Tensor:
        """Return uniform random numbers for each image of a batch: those of the augmentation, then any others."""
        width = NOISE + 2 * self._recipe.randaugment + (2 if self._recipe.soft else 0)
        noise = torch.rand(count, width, generator=self.generator, device=self.generator.device)
        return noise.to(self.device, non_blocking=True)

    def _prepared(self, images: Tensor, noise: Tensor | None) -> Tensor:
        """Augment images, uint8 (b c h w), as the recipe says, and normalise them."""
        if noise is None:
            return _normalise(images, self._mean, self._std)
        recipe, augmented = self._recipe, self.augment
        count, magnitude = recipe.randaugment, recipe.magnitude
        if augmented and (recipe.flip or recipe.shift):
            images = move(images, noise[:, :3], flip=recipe.flip, shift=recipe.shift)
        images = images.to(torch.float32).mul_(1 / 255)
        if count:
            images = randaugment(images, noise[:, NOISE : NOISE + 2 * count].unflatten(1, (count, 2)), magnitude)
        if augmented and recipe.colour:
            images = jitter(images, noise[:, 3:6])
        if augmented and recipe.erasing:
            images = erase(images, noise[:, 6:NOISE])
        return images.sub_(self._mean).div_(self._std)

    def in_order(self, part: Callable[[int], slice] = lambda _: ALL) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all batches in the order of the split, without augmentation.

        Args:
            part: returns this rank's part of a batch from the batch's size; the part may be empty.
        """
        for start in range(0, min(self._count, self._steps * self.batch_size), self.batch_size):
            rows = torch.arange(start, min(start + self.batch_size, self._count))
            images, labels = self._gather(rows[part(len(rows))])
            yield _normalise(images, self._mean, self._std), labels

    def plain(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images of rows, normalised but not augmented, and their labels."""
        images, labels = self._gather(rows)
        return _normalise(images, self._mean, self._std), labels

    def pixels(self, rows: Tensor) -> Tensor:
        """Return the images of rows as float32 (b c h w) in [0, 1]."""
        return self._gather(rows)[0].to(torch.float32).mul_(1 / 255)

    def masks(self, rows: Tensor) -> Tensor:
        """Return the masks of the objects of rows, 1 on the object, as float32 (b 1 h w).

        Raises:
            SettingsError: the images have no masks.
        """
        if self._masks is None:
            raise SettingsError(
                "Swapped backgrounds need masks of the objects, which these images do not have: set swap_backgrounds "
                "to 0 (--swap-backgrounds 0), or train on scenes."
            )
        if isinstance(self._masks, Tensor):
            return self._masks[rows, None].to(torch.float32)
        return torch.from_numpy(self._masks[rows.numpy()]).to(self.device, torch.float32)[:, None]

    def standardise(self, images: Tensor) -> Tensor:
        """Normalise images in [0, 1] in place, with the mean and deviation of each channel."""
        return images.sub_(self._mean).div_(self._std)

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
