"""The kinds of data set, each behind the same few questions."""

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


class Origin(Protocol):
    """What a kind of data set knows of itself. ``split`` is ``"train"`` or ``"val"``."""

    class_names: tuple[str, ...]
    skipped: tuple[Skipped, ...]

    def count(self, split: str, seed: int) -> int:
        """Images of the split."""

    def image_size(self) -> int:
        """Natural side in pixels."""

    def key(self, split: str, count: int | None, seed: int) -> tuple:
        """All that decides the content of the split, as values that JSON can write."""

    def plan(self, split: str, count: int | None, seed: int, square: Square) -> AbstractContextManager[Plan]:
        """How the split, or ``count`` images of it, is made."""


class Scenes:
    """The drawn data set (:mod:`vit.data.scenes`)."""

    class_names = scenes.CLASSES
    skipped = ()

    def count(self, split: str, seed: int) -> int:
        return scenes.SPLIT_COUNTS[split]

    def image_size(self) -> int:
        return 64

    def key(self, split: str, count: int | None, seed: int) -> tuple:
        return (SCENES, scenes.VERSION, split, count, seed)

    @contextmanager
    def plan(self, split: str, count: int | None, seed: int, square: Square) -> Iterator[Plan]:
        size = square.size  # they are drawn as squares, of which nothing is cut off
        low, high = scenes.IMAGE_SIZES[0], scenes.IMAGE_SIZES[-1]
        if not low <= size <= high:
            raise DataError(f"Scenes are drawn at {low} to {high} pixels, not at {size}: choose an image size there.")
        total = min(count or self.count(split, seed), self.count(split, seed))

        def fill(images: np.ndarray, masks: np.ndarray, progress: Progress) -> None:
            scenes.draw_many(total, split=split, image_size=size, seed=seed, progress=progress, out=(images, masks))

        # The classes take turns, so the first scenes are as balanced as all of them.
        yield Plan(self.class_names, np.arange(total) % len(self.class_names), [""] * total, fill=fill)


def find(source: str) -> Origin:
    """The data set of this name or path.

    Raises:
        DataError: there is none, or it is no set of images in classes.
    """
    if source == SCENES:
        return Scenes()
    if source in catalog.CATALOG:
        return catalog.CATALOG[source]
    if not source:
        raise DataError(
            "The images that this model was trained on are not here, since it came trained: take pictures or a data "
            "set of your own."
        )
    path = Path(source).expanduser().absolute()
    if not path.exists():
        raise DataError(
            f"There is no data set {source!r}: put it back there, or name a folder or a zip of images, or one of "
            f"{', '.join((SCENES, *catalog.CATALOG))}."
        )
    return folders.scan(path)
