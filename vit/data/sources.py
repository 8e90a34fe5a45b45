"""The kinds of data set behind one interface."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np

from vit.config import FOUND_COLUMNS, Columns, Window
from vit.data import scenes
from vit.data.cache import Plan, Progress
from vit.data.catalog import catalog
from vit.data.files import folders
from vit.data.files.images import Square
from vit.data.files.uploads import upload_title
from vit.data.records import Skipped
from vit.data.tables import hub
from vit.data.tables.find import open_table
from vit.errors import DataError

SCENES = "scenes"


class DataSource(Protocol):
    """Interface of a data set. ``split`` is one of ``own_splits``, ``"train"`` or ``"val"``."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Files that were left out."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences about how the files were read."""

    @property
    def own_splits(self) -> tuple[str, ...]:
        """The splits that the data set itself has; empty if it has only classes, and then ``"all"`` is one too."""

    def count(self, split: str, seed: int, limit: int | None = None) -> int:
        """Return the number of images of the split, or how many are used if ``limit`` images are asked for."""

    def image_size(self) -> int:
        """Return the natural side in pixels."""

    def window(self) -> Window | None:
        """Return the values of greyscale with more than 8 bits that become black and white; None without these."""

    def key(self, split: str, count: int | None, seed: int) -> tuple:
        """Return everything that the content of the split depends on, as values that JSON can represent."""

    def plan(self, split: str, count: int | None, seed: int, square: Square) -> AbstractContextManager[Plan]:
        """Return how to make the split, or ``count`` images of it."""


class Scenes:
    """The drawn data set (:mod:`vit.data.scenes`)."""

    class_names: tuple[str, ...] = scenes.CLASSES
    skipped: tuple[Skipped, ...] = ()
    remarks: tuple[str, ...] = ()
    own_splits: tuple[str, ...] = ("train", "val")

    def count(self, split: str, seed: int, limit: int | None = None) -> int:
        return min(limit or scenes.SPLIT_COUNTS[split], scenes.IMAGES_MAX)  # any number of scenes can be drawn

    def image_size(self) -> int:
        return 64

    def window(self) -> None:
        """Return None: the images have 8 bits."""

    def key(self, split: str, count: int | None, seed: int) -> tuple:
        return (SCENES, scenes.VERSION, split, count, seed)

    @contextmanager
    def plan(self, split: str, count: int | None, seed: int, square: Square) -> Iterator[Plan]:
        size = square.size  # scenes are drawn as squares and not cropped
        low, high = scenes.IMAGE_SIZES[0], scenes.IMAGE_SIZES[-1]
        if not low <= size <= high:
            raise DataError(f"Scenes cannot be drawn at {size} pixels: choose an image size from {low} to {high}.")
        total = self.count(split, seed, count)

        def fill(images: np.ndarray, masks: np.ndarray, progress: Progress) -> None:
            scenes.draw_many(total, split=split, image_size=size, seed=seed, progress=progress, out=(images, masks))

        # The classes alternate, so any number of first scenes is balanced.
        yield Plan(self.class_names, np.arange(total) % len(self.class_names), [""] * total, fill=fill)


def is_name(source: str) -> bool:
    """Return whether a source is a name, which means the same on every machine, and not a path."""
    return source == SCENES or source in catalog.CATALOG or hub.is_hub(source)


def is_ready(source: str) -> bool:
    """Return whether a data set can be used without a download."""
    if source in catalog.CATALOG:
        return catalog.is_ready(source)
    return not hub.is_hub(source) or hub.folder_of(source).is_dir()


def download(source: str, progress: Progress | None = None) -> None:
    """Download a data set of the catalog or of the hub, unless it is on this machine.

    Args:
        source: its name.
        progress: called with bytes downloaded and bytes in total; an exception from it ends the download.

    Raises:
        DataError: there is no such data set, no connection, or too little disk space.
    """
    if hub.is_hub(source):
        hub.download(source, progress)
    else:
        catalog.download(source, progress)


def find(source: str, *, columns: Columns = FOUND_COLUMNS, to_train: bool = True) -> DataSource:
    """Return the data set with this name or path.

    Args:
        source: name or path.
        columns: the columns of a table that hold the images and the classes.
        to_train: whether the data set needs training images.

    Raises:
        DataError: there is none, or it is not a set of images in classes.
    """
    if source == SCENES:
        return Scenes()
    if source in catalog.CATALOG:
        return catalog.CATALOG[source]
    if not source:
        raise DataError(
            "This is a pretrained model, and the images that it was trained on are not here: use your own images or "
            "another data set."
        )
    if hub.is_hub(source):
        return hub.open_downloaded(source, columns, to_train=to_train)
    path = Path(source).expanduser().absolute()
    if not path.exists():
        raise DataError(
            f"There is no data set {source!r}: choose an existing folder, zip or table of images, hf:OWNER/NAME, or "
            f"one of {', '.join((SCENES, *catalog.CATALOG))}."
        )
    if upload_title(str(path)) is None and (table := open_table(path, columns, to_train=to_train)) is not None:
        return table  # an upload is a zip of folders, whatever else is in it
    if any(columns):
        raise DataError(f"{path.name} is no table: leave out the image column and the class column.")
    return folders.scan(path, to_train=to_train)
