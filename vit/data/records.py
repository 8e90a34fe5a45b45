"""Records of the data package: the arrays of a split, and the description of a source."""

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import NamedTuple

import numpy as np

from vit.config import Columns, DataConfig, Ground, Window

HASHED_BYTES = 2**27
"""Maximum of pixels of a split that :attr:`Split.fingerprint` reads."""


@dataclass(frozen=True)
class Split:
    """Images of one split, decoded and memory-mapped.

    Attributes:
        images: uint8 (n c h w), c = 3.
        labels: int64 (n,), indices into the class names.
        masks: uint8 (n h w), 1 on the object; None if the source has no masks.
        files: name of each image within its source; empty strings for drawn scenes.
        digests: uint64 (n,), a hash of the decoded pixels of each image; None for drawn scenes.
        one_colour: names of the images all of whose pixels have the same colour.
        unreadable: number of files that were left out because they cannot be read.
    """

    images: np.ndarray
    labels: np.ndarray
    masks: np.ndarray | None
    files: tuple[str, ...]
    digests: np.ndarray | None = None
    one_colour: tuple[str, ...] = ()
    unreadable: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of labels and pixels, the same for the same images wherever they are stored.

        Images without digests are hashed themselves: all of them, or every k-th one of more than :data:`HASHED_BYTES`.
        """
        found = sha256(repr((self.images.shape, self.labels.tolist())).encode())
        if self.digests is not None:
            found.update(np.ascontiguousarray(self.digests).tobytes())
            return found.hexdigest()
        for array in (self.images, self.masks):
            if array is not None:
                found.update(np.ascontiguousarray(array[:: 1 + array.nbytes // HASHED_BYTES]).data)
        return found.hexdigest()


@dataclass(frozen=True)
class Skipped:
    """A file that was left out, and a sentence that says why."""

    file: str
    reason: str


class Offered(NamedTuple):
    """The columns of a table that may hold images and classes, and those that are used."""

    images: tuple[str, ...]
    labels: tuple[str, ...]
    chosen: Columns


@dataclass(frozen=True)
class DataInfo:
    """Description of a source before its images are read.

    Attributes:
        source: the name or the absolute path that :func:`vit.data.load` takes.
        image_size: natural side in pixels; for a folder, the median shorter side of a few images.
        auto_image_size: the side for "auto": the natural side as a multiple of 8, from 32 to 64.
        ready: False for a data set of the catalog that is not downloaded yet.
        download_bytes: size of that download.
        skipped: files that the scan left out.
        window: the values of greyscale with more than 8 bits that become black and white; None without such images.
        remarks: sentences about how the layout and the names of the files were read.
        offered: the columns of a table that may hold images and classes; None for other sources.
        ground: what is chosen to be shown behind transparent images.
        allow_unreadable: whether it is chosen to train although more than half of the files cannot be read.
    """

    source: str
    title: str
    class_names: tuple[str, ...]
    train_count: int
    val_count: int
    image_size: int
    auto_image_size: int
    ready: bool = True
    download_bytes: int | None = None
    licence: str = ""
    skipped: tuple[Skipped, ...] = ()
    window: Window | None = None
    remarks: tuple[str, ...] = ()
    offered: Offered | None = None
    ground: Ground = "white"
    allow_unreadable: bool = False

    @property
    def columns(self) -> Columns:
        """The columns of a table that hold the images and the classes."""
        return self.offered.chosen if self.offered else Columns()

    def config(self, image_size: int) -> DataConfig:
        """Return the settings of a training on all images, at this size."""
        return DataConfig(
            source=self.source,
            image_size=image_size,
            class_names=self.class_names,
            ground=self.ground,
            window=self.window,
            image_column=self.columns.image,
            label_column=self.columns.label,
            allow_unreadable=self.allow_unreadable,
        )
