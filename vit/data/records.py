"""Records of the data package: the arrays of a split, a data set, and a description of a source."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vit.config import Columns, DataConfig, Ground, Window

if TYPE_CHECKING:
    from vit.data.tables.columns import Offered


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


@dataclass(frozen=True)
class Skipped:
    """A file that was left out, and a sentence that says why."""

    file: str
    reason: str


@dataclass(frozen=True)
class ImageData:
    """A data set at one image size; a split that was not loaded is None.

    Attributes:
        skipped: files that were left out.
        remarks: sentences about how the images were read.
    """

    source: str
    class_names: tuple[str, ...]
    image_size: int
    train: Split | None
    val: Split | None
    skipped: tuple[Skipped, ...] = ()
    remarks: tuple[str, ...] = ()

    @classmethod
    def from_arrays(
        cls,
        images: Any,
        labels: Any,
        *,
        val: tuple[Any, Any] | None = None,
        class_names: Sequence[str] = (),
        layout: Literal["hwc", "chw"] = "hwc",
        image_size: int | None = None,
        seed: int = 0,
    ) -> "ImageData":
        """Make a data set of NumPy arrays or tensors, for :func:`vit.trainer.fit`.

        >>> data = ImageData.from_arrays(images, labels, class_names=("cat", "dog"))
        >>> network = ViTConfig(image_size=data.image_size, patch_size=8, num_classes=2)
        >>> for event in fit(RunConfig(model=network, data=data.config()), data): ...

        Args:
            images: uint8, or floats from 0 to 1: (n h w c) with 1 or 3 channels, with the layout "chw" (n c h w), or
                grey (n h w).
            labels: (n,) whole numbers from 0, or names of classes.
            val: images and labels to validate on; None for one in five of each class.
            class_names: in the order of the labels; by default the names in ``labels``, or numbers.
            layout: "hwc" if the channels are the last axis, "chw" if they are the first.
            image_size: side in pixels; by default the shorter side. Other images are cropped to their central square
                and resized.
            seed: seed of the choice of validation images.

        Raises:
            DataError: the arrays are not images with a label each, or a class has too few.
        """
        from vit.data import arrays

        return arrays.image_data(
            images, labels, val=val, class_names=class_names, layout=layout, image_size=image_size, seed=seed
        )

    @classmethod
    def from_dataset(
        cls,
        dataset: Any,
        *,
        val: Any = None,
        class_names: Sequence[str] = (),
        layout: Literal["hwc", "chw"] | None = None,
        image_size: int | None = None,
        seed: int = 0,
    ) -> "ImageData":
        """Make a data set of a ``torch.utils.data.Dataset``, which is read once, into memory.

        Args:
            dataset: its items are pairs of an image and a label, with or without further values. An image is a Pillow
                image, a tensor or an array as in :meth:`from_arrays`. Transforms that augment should be left out: the
                training has its own.
            val: the same to validate on; None for one in five of each class.
            class_names: in the order of the labels; by default ``dataset.classes``, the names in the labels, or
                numbers.
            layout: of tensors and arrays; by default tensors have their channels first and arrays have them last.
            image_size: side in pixels; by default the shorter side of the first image.
            seed: seed of the choice of validation images.

        Raises:
            DataError: an item is no image with a label, or a class has too few images.
        """
        from vit.data import arrays

        return arrays.image_data_of(
            dataset, val=val, class_names=class_names, layout=layout, image_size=image_size, seed=seed
        )

    def config(self) -> DataConfig:
        """Return the settings of a run on these images; without a source if they were given as arrays."""
        return DataConfig(source=self.source, image_size=self.image_size, class_names=self.class_names)

    def splits(self) -> tuple[Split, Split]:
        """Return the training and the validation split.

        Raises:
            ValueError: one of them was not loaded.
        """
        if self.train is None or self.val is None:
            raise ValueError("This needs both splits: load the data without the argument splits.")
        return self.train, self.val


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
    offered: "Offered | None" = None
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
