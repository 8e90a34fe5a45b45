"""The kinds of data set behind one interface."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np

from vit.data import scenes
from vit.data.cache import Plan, Progress
from vit.data.catalog import catalog
from vit.data.files import folders
from vit.data.files.images import Square
from vit.data.records import Skipped
from vit.errors import DataError

SCENES = "scenes"


class DataSource(Protocol):
    """Interface of a data set. ``split`` is ``"train"`` or ``"val"``."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Files that were left out."""

    def count(self, split: str, seed: int, limit: int | None = None) -> int:
        """Return the number of images of the split, or how many are used if ``limit`` images are asked for."""

    def image_size(self) -> int:
        """Return the natural side in pixels."""

    def key(self, split: str, count: int | None, seed: int) -> tuple:
        """Return everything that the content of the split depends on, as values that JSON can represent."""

    def plan(self, split: str, count: int | None, seed: int, square: Square) -> AbstractContextManager[Plan]:
        """Return how to make the split, or ``count`` images of it."""


class Scenes:
    """The drawn data set (:mod:`vit.data.scenes`)."""

    class_names: tuple[str, ...] = scenes.CLASSES
    skipped: tuple[Skipped, ...] = ()

    def count(self, split: str, seed: int, limit: int | None = None) -> int:
        return min(limit or scenes.SPLIT_COUNTS[split], scenes.IMAGES_MAX)  # any number of scenes can be drawn

    def image_size(self) -> int:
        return 64

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


def find(source: str) -> DataSource:
    """Return the data set with this name or path.

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
    path = Path(source).expanduser().absolute()
    if not path.exists():
        raise DataError(
            f"There is no data set {source!r}: choose an existing folder or zip of images, or one of "
            f"{', '.join((SCENES, *catalog.CATALOG))}."
        )
    return folders.scan(path)
