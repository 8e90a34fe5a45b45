"""What the catalog knows of a data set, whatever it is made of."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from vit.data.cache import Plan, Progress
from vit.data.files.images import Square
from vit.data.records import Skipped
from vit.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A data set of the catalog: an :class:`vit.data.sources.Origin` that can be fetched.

    Attributes:
        counts: images of ``train`` and ``val``; what others call test is ``val`` here.
        size: natural side in pixels, of photographs of many sizes a typical one.
        resumes: whether a download goes on from what an earlier one left.
    """

    name: str
    title: str
    class_names: tuple[str, ...]
    counts: dict[str, int]
    size: int
    download_bytes: int
    licence: str
    resumes: ClassVar[bool] = False

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Images that were left out when the set was made."""
        return ()

    def count(self, split: str, seed: int) -> int:
        return self.counts[split]

    def image_size(self) -> int:
        return self.size

    def root(self) -> Path | None:
        """Where the set lies; None where it does not."""
        raise NotImplementedError

    def build(self, root: Path, progress: Progress) -> None:
        """Fetch the set into ``root``, which becomes its folder once this returns.

        Args:
            progress: called with bytes fetched and bytes in all; what it raises ends the work.

        Raises:
            DataError: no connection, a broken or altered download, or too little disk space.
        """
        raise NotImplementedError

    def key(self, split: str, count: int | None, seed: int) -> tuple:
        """All that decides the content of the split."""
        raise NotImplementedError

    def plan(self, split: str, count: int | None, seed: int, square: Square) -> AbstractContextManager[Plan]:
        """How :mod:`vit.data.cache` makes a split."""
        raise NotImplementedError

    def ready_root(self) -> Path:
        """Where the set lies.

        Raises:
            DataError: it does not.
        """
        if (root := self.root()) is None:
            raise DataError(
                f"{self.title} is not downloaded yet: download it on the Train page, or with "
                f"`python -m vit data --dataset {self.name}`."
            )
        return root
