"""Folders and zips of images, one folder for each class (:mod:`vit.data.files.layout`).

A zip is read without being unpacked.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from threading import BoundedSemaphore
from typing import NamedTuple
from zipfile import ZipFile, ZipInfo

import numpy as np

from vit.config import Window
from vit.data.cache import Plan, Row, unreadable_class
from vit.data.files import layout, zips
from vit.data.files.colours import Range, window_for
from vit.data.files.file_names import can_be_image, has_image_suffix, is_hidden
from vit.data.files.images import FILE_BYTES_MAX, Square, open_image, read_header, read_range, read_square, read_values
from vit.data.files.layout import Layout, Parts
from vit.data.files.zip_names import read_names
from vit.data.records import Offered, Skipped
from vit.data.sampling import split_off, subset
from vit.errors import DataError
from vit.support.hardware import cpu_cores
from vit.support.threads import threaded
from vit.support.untrusted_text import is_unicode

Content = Callable[[str], Path | bytes]
"""Returns the path or the bytes of an image, given the name of its file."""
Opener = Callable[[Path], AbstractContextManager[Content]]
"""Opens a data set, given its path, to read images."""

_SIZE_SAMPLES = 9
_WINDOW_SAMPLES = 64
_CONTENT_SAMPLES = 20
_VALUES_OF_IMAGE = 2**16
_REMARKS = ".remarks.json"
"""What was told when an upload was unpacked; no upload can contain this file, because its name is hidden."""
_LARGE_BYTES = 8 * 2**20
_few_large_files = BoundedSemaphore(2)
"""Large files are read two at a time, so that memory does not depend on the number of cores."""


class File(NamedTuple):
    """An image file: its name within the data set, its class, and its size with its time or checksum."""

    name: str
    label: int
    stamp: tuple[int, int]


@dataclass(frozen=True)
class Index:
    """The content of a folder, a zip or a table, from names alone.

    Attributes:
        path: the folder or file.
        name: what it is called in messages.
        train, val, test: the files of each split; ``val`` is empty if one in five training images is used for
            validation, and equal to ``test`` if the data set has only that.
        skipped: images that belong to no class, and other files beside the images of a class.
        remarks: sentences about how the layout and the names were read.
        opener: opens the data set to read images; None for a folder or zip (:func:`reader`).
        offered: the columns, if the data set is a table.
    """

    path: Path
    name: str
    class_names: tuple[str, ...]
    train: tuple[File, ...]
    val: tuple[File, ...]
    test: tuple[File, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    remarks: tuple[str, ...] = ()
    opener: Opener | None = field(default=None, compare=False)
    offered: Offered | None = None

    @property
    def own_splits(self) -> tuple[str, ...]:
        """The splits that are folders of the data set; empty if it has only classes."""
        splits = {"train": self.train, "val": self.val, "test": self.test}
        return tuple(split for split, files in splits.items() if files) if self.val or self.test else ()

    def files(self, split: str, *, seed: int = 0, count: int | None = None) -> list[File]:
        """Return the files of ``train``, ``val``, ``test`` or ``all``, or a stratified choice of ``count`` of them.

        Raises:
            DataError: the data set has no such split.
        """
        if split == "all":
            files = list(dict.fromkeys([*self.train, *self.val, *self.test]))
        elif split == "test" or (split == "val" and self.val) or (split == "train" and (self.val or self.test)):
            files = list({"train": self.train, "val": self.val, "test": self.test}[split])
            if not files:
                raise DataError(f"{self.name} has no {split}/ with a folder for each class: choose another split.")
        else:
            rows = self._split_off(seed)[split == "val"]
            files = [self.train[row] for row in rows]
        return [files[row] for row in subset(np.array([file.label for file in files]), count, seed)]

    def _split_off(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.array([file.label for file in self.train])
        for label in np.flatnonzero(np.bincount(labels) == 1):
            self._check_readable([self.train[row] for row in np.flatnonzero(labels == label)])
        return split_off(labels, self.class_names, seed)

    def count(self, split: str, seed: int, limit: int | None = None) -> int:
        """Return the number of images of a split, or how many are used if ``limit`` images are asked for."""
        count = len(self.files(split, seed=seed))
        return min(limit or count, count)

    def opened(self) -> AbstractContextManager[Content]:
        """Return a context whose value reads the images by the names of their files."""
        return (self.opener or reader)(self.path)

    def image_size(self) -> int:
        """Return the median shorter side of a few images, in pixels.

        Raises:
            DataError: none of them can be read.
        """
        sizes, failure = [], ""
        with self.opened() as content:
            for file in self._spread(_SIZE_SAMPLES):
                try:
                    sizes.append(read_header(content(file.name)).side)
                except DataError as error:
                    failure = str(error)
        if not sizes:
            raise DataError(f"None of the first images of {self.name} can be read: {failure}")
        return int(np.median(sizes))

    def window(self) -> Window | None:
        """Return the values of greyscale with more than 8 bits that become black and white; None without such images.

        They are those of a sample of the training images.
        """
        return self._window

    @cached_property
    def _window(self) -> Window | None:
        ranges: list[Range] = []
        with self.opened() as content:
            for few in (_SIZE_SAMPLES, _WINDOW_SAMPLES):
                ranges = [found for file in self._spread(few) if (found := _range_of(content, file)) is not None]
                if not ranges:
                    return None
        return window_for(ranges)

    def percentile_window(self, low: float, high: float) -> Window:
        """Return the window between two percentiles of the values of a sample of the training images.

        Raises:
            DataError: the percentiles are not in order, the images have 8 bits, or all sampled values are the same.
        """
        if not 0 <= low < high <= 100:
            raise DataError(f"The percentiles {low:g} and {high:g} are not in order: give two from 0 to 100.")
        found = []
        with self.opened() as content:
            for file in self._spread(_WINDOW_SAMPLES):
                with suppress(DataError):
                    if (values := read_values(content(file.name), _VALUES_OF_IMAGE)) is not None:
                        found.append(values)
        if not found:
            raise DataError(f"The images of {self.name} have 8 bits, for which there is no window: leave it out.")
        black, white = np.percentile(np.concatenate(found), (low, high))
        if black >= white:
            raise DataError(f"The percentiles {low:g} and {high:g} of the values are equal: take a wider range.")
        return float(black), float(white)

    def _spread(self, count: int) -> tuple[File, ...]:
        """Return about ``count`` files, spread over the classes."""
        files = self.train or self.val or self.test
        return files[:: max(1, len(files) // count)][:count]

    def reordered(self, class_names: tuple[str, ...]) -> "Index":
        """Return the index with the same classes in another order, in which an earlier version sorted them."""
        place = [class_names.index(name) for name in self.class_names]

        def moved(files: tuple[File, ...]) -> tuple[File, ...]:
            return tuple(file._replace(label=place[file.label]) for file in files)

        train, val, test = (moved(files) for files in (self.train, self.val, self.test))
        return replace(self, class_names=class_names, train=train, val=val, test=test)

    def check(self) -> None:
        """Check that a training can use the data set: that each class has an image that can be read.

        Raises:
            DataError: some class has none, or too few.
        """
        files = self.files("train")
        self.files("val")
        for label in range(len(self.class_names)):
            self._check_readable([file for file in files if file.label == label])

    def _check_readable(self, files: list[File]) -> None:
        """Raise a DataError if none of the files of a class can be read."""
        reason = ""
        with self.opened() as content:
            for file in files:
                try:
                    open_image(content(file.name), name="The file", at_least=8)
                    return
                except DataError as error:
                    reason = reason or str(error)
        raise unreadable_class(self.class_names[files[0].label], len(files), Skipped(files[0].name, reason))

    def is_of_images(self, files: list[File]) -> bool:
        """Return whether the files of a class are images by their names, or else some of them by their headers."""
        if any(has_image_suffix(file.name) for file in files):
            return True
        with self.opened() as content:
            for file in files[:_CONTENT_SAMPLES]:
                with suppress(DataError):
                    read_header(content(file.name))
                    return True
        return False

    def key(self, split: str, count: int | None, seed: int) -> tuple:
        """Return everything that the content of a split depends on."""
        columns = self.offered.chosen if self.offered else ()
        return ("folder", str(self.path), self.class_names, self.files(split, seed=seed, count=count), *columns)

    @contextmanager
    def plan(self, split: str, count: int | None, seed: int, square: Square) -> Iterator[Plan]:
        """Yield the plan by which :mod:`vit.data.cache` makes a split."""
        files = self.files(split, seed=seed, count=count)
        labels = np.array([file.label for file in files], dtype=np.int64)
        with self.opened() as content, threaded(partial(_decode, content, square=square), cpu_cores()) as decode:

            def read(rows: np.ndarray) -> Iterator[Row]:
                return decode(files[row] for row in rows)

            # Some class may have no validation images, or only unreadable ones.
            yield Plan(self.class_names, labels, [file.name for file in files], read, every_class=split == "train")


def _range_of(content: Content, file: File) -> Range | None:
    try:
        return read_range(content(file.name))
    except DataError:
        return None


def _decode(content: Content, file: File, *, square: Square) -> Row:
    source = None
    with _few_large_files if file.stamp[0] > _LARGE_BYTES else nullcontext():
        try:
            source = content(file.name)
            return read_square(source, square)
        except DataError as error:
            if isinstance(source, Path) and not source.exists():  # it existed during the scan
                raise DataError(
                    f"{file.name} was deleted while the images were read: put it back and start again."
                ) from error
            return str(error)


def scan(path: Path, name: str = "", *, to_train: bool = True) -> Index:
    """Find the classes and files of a folder or zip.

    Args:
        path: the folder or zip.
        name: what it is called in messages.
        to_train: whether training images are needed.

    Raises:
        DataError: the layout is different, there are fewer than two classes, a class has no images, or val has classes
            that train lacks.
    """
    name = name or path.name or str(path)
    if path.is_dir():
        files, folders = _walk(path)
        remarks = _stored_remarks(path)
    elif path.is_file():
        files, folders, remarks = _list_zip(path, name)
    else:
        raise DataError(f"{path} does not exist: name a folder or a zip of images.")
    found = layout.find_layout(name, files, folders, to_train=to_train)
    splits: dict[str, tuple[File, ...]] = {"train": (), "val": (), "test": ()}
    skipped = [
        Skipped("/".join(parts), "The image lies outside the folders of the classes.")
        for parts in layout.loose_images(files, found)
    ]
    for split, root in found.roots.items():
        labels = layout.labelled(files, root, found.class_names)
        splits[split] = tuple(
            File("/".join(parts), label, files[parts]) for parts, label in labels.items() if can_be_image(parts[-1])
        )
        if split != "test" or found.test != found.val:
            others = ("/".join(parts) for parts in labels if not can_be_image(parts[-1]))
            skipped += [Skipped(file, "The file is not an image, by its name.") for file in others]
    skips, told = tuple(skipped), (*remarks, *found.remarks)
    index = Index(
        path, name, found.class_names, splits["train"], splits["val"], splits["test"], skipped=skips, remarks=told
    )
    _check_classes(index, found, files)
    return index


def _check_classes(index: Index, found: Layout, files: dict[Parts, tuple[int, int]]) -> None:
    """Raise a DataError if a class has no images among those that decide which classes there are."""
    split, root = next(iter(found.roots.items()))
    of_class: dict[int, list[File]] = {}
    for file in {"train": index.train, "val": index.val, "test": index.test}[split]:
        of_class.setdefault(file.label, []).append(file)
    place = f"{index.name}, {root[-1]}/" if root != found.base else index.name
    for label, class_name in enumerate(index.class_names):
        if index.is_of_images(of_class.get(label, [])):
            continue
        rest = [parts[-1] for parts in sorted(files) if parts[: len(root) + 1] == (*root, class_name)]
        only = f" (only {', '.join(rest[:3])}{' and others' if len(rest) > 3 else ''})" if rest else ""
        raise DataError(f"{place}: the class {class_name!r} has no images{only}: add some, or remove its folder.")


@contextmanager
def reader(path: Path) -> Iterator[Content]:
    """Yield a function from the name of a file to its path, or to its content if the data set is a zip."""
    if path.is_dir():
        yield path.joinpath
        return
    with zips.open_zip(path, path.name) as archive:
        infos = {"/".join(member.parts): member.info for member in zips.members(archive, path.name)}
        yield lambda name: _content(archive, infos, name)


def _content(archive: ZipFile, infos: dict[str, ZipInfo], name: str) -> bytes:
    if name not in infos:
        raise DataError("The file is no longer in the zip.")
    return zips.read_member(archive, infos[name], FILE_BYTES_MAX)


def store_remarks(folder: Path, remarks: list[str]) -> None:
    """Keep what was told about a zip in the folder that it is unpacked into, for :func:`scan`."""
    if remarks:
        (folder / _REMARKS).write_text(json.dumps(remarks), "utf-8")


def _stored_remarks(folder: Path) -> list[str]:
    try:
        return [str(remark) for remark in json.loads((folder / _REMARKS).read_text("utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


def _walk(root: Path) -> tuple[dict[Parts, tuple[int, int]], set[Parts]]:
    """Return visible files with size and time, and visible folders; follow links, except to a parent folder."""
    files: dict[Parts, tuple[int, int]] = {}
    folders: set[Parts] = set()
    pending: list[tuple[Path, Parts, tuple[tuple[int, int], ...]]] = [(root, (), (_inode(root.stat()),))]
    while pending:
        folder, parts, above = pending.pop()
        try:
            for entry in os.scandir(folder):
                here = (*parts, entry.name)
                if is_hidden(entry.name):
                    continue
                if not is_unicode(entry.name):
                    raise DataError(f"{folder.name} contains a name that is not in UTF-8, {entry.name!r}: rename it.")
                if entry.is_dir():
                    if (inode := _inode(entry.stat())) not in above:
                        folders.add(here)
                        pending.append((Path(entry.path), here, (*above, inode)))
                elif entry.is_file():
                    status = entry.stat()
                    files[here] = (status.st_size, status.st_mtime_ns)
        except OSError as error:
            raise DataError(f"{folder} cannot be read: {error.strerror or error}.") from error
    return files, folders


def _inode(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _list_zip(path: Path, name: str) -> tuple[dict[Parts, tuple[int, int]], set[Parts], list[str]]:
    """Return the visible files and folders of a zip, and a remark if the names were guessed."""
    files: dict[Parts, tuple[int, int]] = {}
    folders: set[Parts] = set()
    with zips.open_zip(path, name) as archive:
        found = zips.members(archive, name)
        zips.check_expansion(found, name, path.stat().st_size)
        for member in found:
            folders.update(member.parts[:depth] for depth in range(1, len(member.parts)))
            if member.is_dir:
                folders.add(member.parts)
            else:
                files[member.parts] = (member.info.file_size, member.info.CRC)
        remark = read_names(archive.infolist()).remark
    return files, folders, [remark] if remark else []
