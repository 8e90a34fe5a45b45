"""Decoded images on disk: one folder for each split at each size, built once and memory-mapped from then on.

A folder appears under its final name only when it is whole; a lock lets two processes ask for the same one at once.
Rows are written as they are decoded, so a set may be larger than memory.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

from vit.data.records import Skipped, Split
from vit.errors import DataError
from vit.paths import data_dir

LAYOUT = 2
"""Counts up when what is written, or how images are decoded, changes."""

CHUNK = 512
"""Rows decoded between two writes and two calls of the progress."""

Progress = Callable[[int, int], None]
Row = np.ndarray | DataError
"""Image uint8 (h w c), or why there is none."""


@dataclass(frozen=True)
class Plan:
    """How a split is made: read row by row, or filled in as a whole.

    Attributes:
        labels: int64 (n,) class of each row.
        files: name of each row.
        read: row numbers -> what lies in them, in the same order.
        fill: writes images uint8 (n c h w) and masks uint8 (n h w) itself; then there is no ``read``.
        every_class: whether each class must keep an image when unreadable files are left out.
    """

    class_names: tuple[str, ...]
    labels: np.ndarray
    files: Sequence[str]
    read: Callable[[np.ndarray], Iterable[Row]] | None = None
    fill: Callable[[np.ndarray, np.ndarray, Progress], None] | None = None
    every_class: bool = True


def cache_key(*parts: object) -> str:
    """Name of a split in the cache: a hash of all that its content depends on."""
    text = json.dumps([LAYOUT, *parts], default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def is_made(key: str) -> bool:
    """Whether the split of this key is in the cache."""
    return (data_dir() / "cache" / key / "index.json").is_file()


def fetch(
    key: str, size: int, plan: Callable[[], AbstractContextManager[Plan]], progress: Progress
) -> tuple[Split, tuple[Skipped, ...]]:
    """The split of this key from the cache; made by ``plan`` when it is not there yet.

    Raises:
        DataError: no image of some class can be decoded, or the disk is full.
    """
    root = data_dir() / "cache"
    folder = root / key
    if (found := _read(folder)) is not None:
        with suppress(OSError):
            os.utime(folder)  # by its age it is known whether anybody still uses it
        return found
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f"{key}.lock"):
            if (found := _read(folder)) is None:
                with plan() as made:
                    _build(folder, size, made, progress)
                found = _read(folder)
    except OSError as error:
        raise DataError(f"The decoded images cannot be kept in {root}: {error.strerror or error}.") from error
    if found is None:
        raise DataError(f"The decoded images in {folder} cannot be read back: check the disk.")
    return found


def _read(folder: Path) -> tuple[Split, tuple[Skipped, ...]] | None:
    try:
        index = json.loads((folder / "index.json").read_text("utf-8"))
        images = np.load(folder / "images.npy", mmap_mode="r")
        labels = np.load(folder / "labels.npy")
        masks = np.load(folder / "masks.npy", mmap_mode="r") if index["masks"] else None
    except (OSError, ValueError, KeyError, EOFError):  # absent, or cut off by a crash: it is built anew
        return None
    if len(images) != len(labels):
        return None
    skipped = tuple(Skipped(*entry) for entry in index["skipped"])
    return Split(images, labels, masks, tuple(index["files"])), skipped


def _build(folder: Path, size: int, plan: Plan, progress: Progress) -> None:
    """Make all rows in a folder beside, then rename it. The caller holds the lock."""
    beside = folder.with_name(f"{folder.name}.part")
    for remains in (beside, folder):
        shutil.rmtree(remains, ignore_errors=True)
    beside.mkdir()
    try:
        kept, skipped = (_filled if plan.fill else _decoded)(beside, size, plan, progress)
        _check_classes(plan, kept, skipped)
        np.save(beside / "labels.npy", plan.labels[kept].astype(np.int64))
        index = {
            "masks": plan.fill is not None,
            "files": [plan.files[row] for row in kept],
            "skipped": [(entry.file, entry.reason) for entry in skipped],
        }
        (beside / "index.json").write_text(json.dumps(index), "utf-8")
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _filled(folder: Path, size: int, plan: Plan, progress: Progress) -> tuple[list[int], list[Skipped]]:
    count = len(plan.labels)
    shapes = {"images.npy": (count, 3, size, size), "masks.npy": (count, size, size)}
    arrays = [np.lib.format.open_memmap(folder / name, "w+", np.uint8, shape) for name, shape in shapes.items()]
    for name in shapes:
        _reserve(folder / name)
    plan.fill(*arrays, progress)
    for array in arrays:
        array.flush()
    return list(range(count)), []


def _reserve(path: Path) -> None:
    """Take the room of a whole file on the disk: writing to a memory map that finds none kills the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    raise


def _decoded(folder: Path, size: int, plan: Plan, progress: Progress) -> tuple[list[int], list[Skipped]]:
    total = len(plan.labels)
    kept: list[int] = []
    skipped: list[Skipped] = []
    with closing(_Rows(folder / "images.npy", (3, size, size), total)) as images:
        for start in range(0, total, CHUNK):
            rows = np.arange(start, min(start + CHUNK, total))
            for row, image in zip(rows.tolist(), plan.read(rows), strict=True):
                if isinstance(image, DataError):
                    skipped.append(Skipped(plan.files[row], str(image)))
                else:
                    images.append(image.transpose(2, 0, 1))
                    kept.append(row)
            progress(start + len(rows), total)
    return kept, skipped


def _check_classes(plan: Plan, kept: list[int], skipped: list[Skipped]) -> None:
    """Skipped files may have been the only ones of a class, or of all."""
    lost = np.setdiff1d(plan.labels, plan.labels[kept])
    if not len(lost) or (kept and not plan.every_class):
        return
    rows = np.flatnonzero(plan.labels == lost[0])
    first = next(entry for entry in skipped if entry.file == plan.files[rows[0]])
    name = plan.class_names[lost[0]]
    raise DataError(
        f"No file of the class {name!r} can be read as an image, of {len(rows)}: {first.file}, {_lower(first.reason)}"
    )


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


class _Rows:
    """A .npy file of uint8 rows whose number is known at the end: NumPy leaves room for it in the header."""

    def __init__(self, path: Path, shape: tuple[int, ...], expected: int) -> None:
        self._shape, self._count = shape, 0
        self._file = path.open("wb")
        self._write_header(expected)

    def append(self, row: np.ndarray) -> None:
        self._file.write(np.ascontiguousarray(row, dtype=np.uint8).data)
        self._count += 1

    def close(self) -> None:
        self._file.seek(0)
        self._write_header(self._count)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def _write_header(self, count: int) -> None:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, *self._shape)}
        np.lib.format.write_array_header_1_0(self._file, header)
