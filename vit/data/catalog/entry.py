"""The base class of the catalog's entries."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from vit.data.cache import Plan, Progress
from vit.data.files.images import Square
from vit.data.records import Skipped
from vit.errors import DataError


@dataclass(frozen=True, kw_only=True)
class CatalogEntry:
    """A data set of the catalog: an :class:`vit.data.sources.DataSource` that can be downloaded.

    Attributes:
        counts: number of images in ``train`` and ``val``; a published test split is ``val`` here.
        size: natural side in pixels; a typical one for photographs of many sizes.
        resumes: whether an interrupted download is resumed.
    """

    name: str
    title: str
    class_names: tuple[str, ...]
    counts: dict[str, int]
    size: int
    download_bytes: int
    licence: str
    resumes: ClassVar[bool] = False
    remarks: ClassVar[tuple[str, ...]] = ()
    own_splits: ClassVar[tuple[str, ...]] = ("train", "val")

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Images that were left out when the set was made."""
        return ()

    def count(self, split: str, seed: int, limit: int | None = None) -> int:
        return min(limit or self.counts[split], self.counts[split])

    def image_size(self) -> int:
        return self.size

    def window(self) -> None:
        """Return None: the images have 8 bits."""

    def root(self) -> Path | None:
        """Return the folder of the data set; None if it is not on this machine."""
        raise NotImplementedError

    def build(self, root: Path, progress: Progress) -> None:
        """Download the data set into ``root``.

        Args:
            root: a temporary folder, which the caller then renames.
            progress: called with bytes downloaded and bytes in total; an exception from it ends the download.

        Raises:
            DataError: there is no connection, a damaged or altered download, or too little disk space.
        """
        raise NotImplementedError

    def key(self, split: str, count: int | None, seed: int) -> tuple:
        """Return everything that the content of the split depends on."""
        raise NotImplementedError

    def plan(self, split: str, count: int | None, seed: int, square: Square) -> AbstractContextManager[Plan]:
        """Return the plan by which :mod:`vit.data.cache` makes a split."""
        raise NotImplementedError

    def ready_root(self) -> Path:
        """Return the folder of the data set.

        Raises:
            DataError: it is not downloaded yet.
        """
        if (root := self.root()) is None:
            raise DataError(
                f"{self.title} is not downloaded yet: download it on the Train page, or with "
                f"`python -m vit data --dataset {self.name}`."
            )
        return root
