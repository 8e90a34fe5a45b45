"""Folders and zips of images in ImageFolder layout: a folder for each class, under train/ and val/ or directly.

    photos/train/cat/1.jpg  photos/val/cat/2.jpg      with validation images
    photos/cat/1.jpg        photos/dog/2.jpg          one in five is used for validation

The outermost folder may be missing. A zip is read without being unpacked.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile, ZipInfo

import numpy as np

from vit.data.cache import Plan, Row
from vit.data.files import zips
from vit.data.files.images import FILE_BYTES_MAX, Square, fit_square, natural_size, open_image
from vit.data.records import Skipped
from vit.data.sampling import split_off, subset
from vit.errors import DataError
from vit.support.hardware import cpu_cores
from vit.support.untrusted_text import is_unicode

TRAIN = ("train", "training")
VAL = ("val", "valid", "validation", "test")
"""Names of the validation folder; the first one that exists is used."""

_LOOSE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_SIZE_SAMPLES = 9


class File(NamedTuple):
    """An image file: its name within the data set, its class, and its size with its time or checksum."""

    name: str
    label: int
    stamp: tuple[int, int]


@dataclass(frozen=True)
class Index:
    """The content of a folder or zip, from its file names.

    Attributes:
        path: the folder or zip.
        train, val: the files of each split; ``val`` is empty if one in five training images is used for validation.
        skipped: images that belong to no class.
    """

    path: Path
    class_names: tuple[str, ...]
    train: tuple[File, ...]
    val: tuple[File, ...]
    skipped: tuple[Skipped, ...]

    def files(self, split: str, *, seed: int = 0, count: int | None = None) -> list[File]:
        """Return the files of ``train`` or ``val``, or a stratified choice of ``count`` of them."""
        files = list(self.val if split == "val" and self.val else self.train)
        labels = np.array([file.label for file in files])
        if not self.val:
            train, val = split_off(labels, self.class_names, seed)
            files = [files[row] for row in (train if split == "train" else val)]
            labels = np.array([file.label for file in files])
        return [files[row] for row in subset(labels, count, seed)]

    def count(self, split: str, seed: int, limit: int | None = None) -> int:
        count = len(self.files(split, seed=seed))
        return min(limit or count, count)

    def image_size(self) -> int:
        """Return the median shorter side of a few images, in pixels.

        Raises:
            DataError: none of them can be read.
        """
        sizes, failure = [], None
        with reader(self.path) as content:
            step = max(1, len(self.train) // _SIZE_SAMPLES)  # spread over the classes
            for file in self.train[::step][:_SIZE_SAMPLES]:
                try:
                    sizes.append(natural_size(content(file.name)))
                except DataError as error:
                    failure = error
        if not sizes:
            raise DataError(f"None of the first images of {self.path.name} can be read: {failure}")
        return int(np.median(sizes))

    def key(self, split: str, count: int | None, seed: int) -> tuple:
        """Return everything that the content of a split depends on."""
        return ("folder", str(self.path), self.class_names, self.files(split, seed=seed, count=count))

    @contextmanager
    def plan(self, split: str, count: int | None, seed: int, square: Square) -> Iterator[Plan]:
        """Yield the plan by which :mod:`vit.data.cache` makes a split."""
        files = self.files(split, seed=seed, count=count)
        names = [file.name for file in files]
        labels = np.array([file.label for file in files], dtype=np.int64)
        every_class = split == "train" or bool(
            self.val
        )  # a small class may have one validation image, and that unreadable
        with reader(self.path) as content, ThreadPoolExecutor(cpu_cores()) as pool:
            decode = partial(_decode, content, square=square)

            def read(rows: np.ndarray) -> Iterator[Row]:
                return pool.map(decode, [names[row] for row in rows])

            yield Plan(self.class_names, labels, names, read, every_class=every_class)


def _decode(content: Callable[[str], Path | bytes], name: str, *, square: Square) -> Row:
    source = None
    try:
        source = content(name)
        return fit_square(open_image(source, name="The file", at_least=square.whole), *square)
    except DataError as error:
        if isinstance(source, Path) and not source.exists():  # it existed during the scan
            raise DataError(f"{name} was deleted while the images were read: put it back and start again.") from error
        return error


def scan(path: Path, name: str = "") -> Index:
    """Find the classes and files of a folder or zip, called ``name`` in messages.

    Raises:
        DataError: the layout is different, there are fewer than two classes, a class has no images, or train and val
            have different classes.
    """
    name = name or path.name or str(path)
    if path.is_dir():
        found, folders = _walk(path)
    elif path.is_file():
        found, folders = _list_zip(path, name)
    else:
        raise DataError(f"{path} does not exist: name a folder or a zip of images.")
    return _layout(path, name, found, folders)


@contextmanager
def reader(path: Path) -> Iterator[Callable[[str], Path | bytes]]:
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


Parts = tuple[str, ...]


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
                if zips.is_hidden(entry.name):
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


def _list_zip(path: Path, name: str) -> tuple[dict[Parts, tuple[int, int]], set[Parts]]:
    files: dict[Parts, tuple[int, int]] = {}
    folders: set[Parts] = set()
    with zips.open_zip(path, name) as archive:
        for member in zips.members(archive, name):
            folders.update(member.parts[:depth] for depth in range(1, len(member.parts)))
            if member.is_dir:
                folders.add(member.parts)
            else:
                files[member.parts] = (member.info.file_size, member.info.CRC)
    return files, folders


def _layout(path: Path, name: str, files: dict[Parts, tuple[int, int]], folders: set[Parts]) -> Index:
    base = _unwrap(folders)
    top = {folder[-1].lower(): folder for folder in folders if folder[:-1] == base}
    with_folders = {folder[:-1] for folder in folders}
    vals = [top[key] for key in VAL if key in top]
    # A class may also be called "train"; a split contains folders, or there is a validation folder too.
    train = next((top[key] for key in TRAIN if key in top and (vals or top[key] in with_folders)), None)
    val = next((folder for folder in vals if folder in with_folders), None)
    if train is None and vals and len(vals) == len(top):
        raise DataError(f"{name} has {vals[0][-1]}/ but no train/: add the training images in a folder train/.")
    root = base if train is None else train
    if train is None:
        val = None
    class_names = tuple(sorted(folder[-1] for folder in folders if folder[:-1] == root))
    place = f"{name}, {root[-1]}/" if train else name
    if len(class_names) < 2:
        raise DataError(
            f"{place} has {len(class_names) or 'no'} class{'' if class_names else 'es'}: "
            "put the images into at least two folders, one for each class."
        )
    if val is not None:
        _check_same_classes(name, class_names, {folder[-1] for folder in folders if folder[:-1] == val}, root, val)
    return Index(
        path,
        class_names,
        _labelled(files, root, class_names, place),
        _labelled(files, val, class_names, f"{name}, {val[-1]}/") if val else (),
        _loose(files, (root, val) if val else (root,)),
    )


def _unwrap(folders: set[Parts]) -> Parts:
    """Return the folder that contains train/ or the classes, without folders that only wrap another folder."""
    base: Parts = ()
    while True:
        inside = [folder for folder in folders if folder[:-1] == base]
        if len(inside) != 1 or inside[0][-1].lower() in TRAIN or not any(f[:-1] == inside[0] for f in folders):
            return base
        base = inside[0]


def _check_same_classes(
    name: str, train_classes: tuple[str, ...], val_classes: set[str], train: Parts, val: Parts
) -> None:
    for having, classes, lacking, others in (
        (train[-1], train_classes, val[-1], val_classes),
        (val[-1], sorted(val_classes), train[-1], train_classes),
    ):
        extra = [item for item in classes if item not in others]
        if extra:
            raise DataError(
                f"{name}: {having}/ has {'the class' if len(extra) == 1 else 'classes'} "
                f"{', '.join(repr(item) for item in extra[:5])} that {lacking}/ lacks: give both the same classes."
            )


def _labelled(
    files: dict[Parts, tuple[int, int]], root: Parts, class_names: tuple[str, ...], place: str
) -> tuple[File, ...]:
    labels = {class_name: label for label, class_name in enumerate(class_names)}
    depth = len(root)
    found = [
        File("/".join(parts), labels[parts[depth]], stamp)
        for parts, stamp in sorted(files.items())
        if len(parts) > depth + 1 and parts[:depth] == root
    ]
    present = {file.label for file in found}
    for class_name, label in labels.items():
        if label not in present:
            raise DataError(f"{place}: the class {class_name!r} has no images: add some, or remove its folder.")
    return tuple(found)


def _loose(files: dict[Parts, tuple[int, int]], roots: tuple[Parts, ...]) -> tuple[Skipped, ...]:
    """Return images outside the class folders, whose class is unknown."""
    return tuple(
        Skipped("/".join(parts), "The image lies outside the folders of the classes.")
        for parts in sorted(files)
        if parts[:-1] in roots and parts[-1].lower().endswith(_LOOSE_SUFFIXES)
    )
