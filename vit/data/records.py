"""What the data room hands out: arrays of a split, a data set, and what is known of a source before it is read."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Split:
    """Images of one split, decoded and memory-mapped.

    Attributes:
        images: uint8 (n c h w), c = 3.
        labels: int64 (n,), indices into the class names.
        masks: uint8 (n h w), 1 on the object, where the source knows it.
        files: name of each image within its source; empty strings where it has none.
    """

    images: np.ndarray
    labels: np.ndarray
    masks: np.ndarray | None
    files: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Skipped:
    """A file that was left out, and why, as a sentence."""

    file: str
    reason: str


@dataclass(frozen=True)
class ImageData:
    """A data set at one image size; a split that was not asked for is None."""

    source: str
    class_names: tuple[str, ...]
    image_size: int
    train: Split | None
    val: Split | None
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class DataInfo:
    """What is known of a source before its images are read.

    Attributes:
        source: the name or the absolute path that :func:`vit.data.load` takes.
        image_size: natural side in pixels; of a folder, the median shorter side of a few images.
        auto_image_size: the side that "auto" means: the natural one, at most 64, as a multiple of 8 from 32 up.
        ready: False for a data set of the catalog that is not downloaded yet.
        download_bytes: size of that download.
        skipped: what the scan already left out.
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
