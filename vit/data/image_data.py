"""A data set in memory: read from a source (:func:`vit.data.load`), or made from arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vit.config import DataConfig
from vit.data import arrays
from vit.data.records import Skipped, Split
from vit.data.told import of_splits
from vit.errors import DataError


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
        layout: arrays.Layout = "hwc",
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
        return cls._of(arrays.from_arrays(images, labels, val, class_names, layout, image_size, seed))

    @classmethod
    def from_dataset(
        cls,
        dataset: Any,
        *,
        val: Any = None,
        class_names: Sequence[str] = (),
        layout: arrays.Layout | None = None,
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
        return cls._of(arrays.from_dataset(dataset, val, class_names, layout, image_size, seed))

    @classmethod
    def _of(cls, given: arrays.Given) -> "ImageData":
        splits = {"train": given.train, "val": given.val}
        size = given.train.images.shape[-1]
        return cls("", given.class_names, size, given.train, given.val, remarks=tuple(of_splits(splits, "white")))

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


def check_readable(data: ImageData, config: DataConfig) -> None:
    """Check that at least half of the files of the classes can be read, unless the settings allow fewer.

    Raises:
        DataError: more than half cannot.
    """
    if config.allow_unreadable:
        return
    splits = [split for split in (data.train, data.val) if split is not None]
    lost, kept = sum(split.unreadable for split in splits), sum(len(split) for split in splits)
    if lost > kept:
        first = data.skipped[-lost]
        raise DataError(
            f"{lost:,} of the {lost + kept:,} files cannot be read as images, such as {first.file}: "
            f"{first.reason[:1].lower()}{first.reason[1:]} Repair them, or allow it (--allow-unreadable on "
            "the command line)."
        )
