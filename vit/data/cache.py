"""Decoded images on disk: one folder for each split at each size, built once and memory-mapped from then on.

A folder gets its final name only when it is complete; with a lock, two processes may request the same folder at once.
Rows are written as they are decoded, so a data set may be larger than memory.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from filelock import FileLock

from vit.data.records import Skipped, Split
from vit.errors import DataError
from vit.paths import data_dir

LAYOUT = 3
"""Increased when the format of the files or the decoding of images changes."""

CHUNK = 512
"""Rows that are decoded between two calls of the progress."""

_ONE_COLOUR = 2
"""Largest difference within a channel of an image that counts as one colour."""

Progress = Callable[[int, int], None]
Row = np.ndarray | str
"""Image uint8 (h w c), or the reason why it cannot be decoded.

Not the exception: its traceback would keep the bytes of the file in memory.
"""
Read = Callable[[np.ndarray], Iterable[Row]]
"""Row numbers -> their images, in the same order."""
Fill = Callable[[np.ndarray, np.ndarray, Progress], None]
"""Writes images uint8 (n c h w) and masks uint8 (n h w) into arrays."""


@dataclass(frozen=True)
class Plan:
    """How to make a split: read it row by row, or fill whole arrays.

    Attributes:
        labels: int64 (n,) class of each row.
        files: name of each row.
        read: reads rows; None if there is ``fill``.
        fill: fills the arrays of the whole split; None if there is ``read``.
        every_class: whether each class must keep an image when unreadable files are left out.
    """

    class_names: tuple[str, ...]
    labels: np.ndarray
    files: Sequence[str]
    read: Read | None = None
    fill: Fill | None = None
    every_class: bool = True

    def rows(self, rows: np.ndarray) -> Iterable[Row]:
        """Read rows.

        Raises:
            ValueError: the split can only be filled as a whole.
        """
        if self.read is None:
            raise ValueError("This split cannot be read row by row.")
        return self.read(rows)


def cache_key(*parts: object) -> str:
    """Return the name of a split in the cache: a hash of everything that its content depends on."""
    text = json.dumps([LAYOUT, *parts], default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def is_cached(key: str) -> bool:
    return (data_dir() / "cache" / key / "index.json").is_file()


def cached_split(
    key: str, size: int, plan: Callable[[], AbstractContextManager[Plan]], progress: Progress
) -> tuple[Split, tuple[Skipped, ...]]:
    """Return the split with this key from the cache; if it is not there, make it by ``plan``.

    Raises:
        DataError: no image of some class can be decoded, or the disk is full.
    """
    root = data_dir() / "cache"
    folder = root / key
    if (found := _read(folder)) is not None:
        with suppress(OSError):
            os.utime(folder)  # the clean-up deletes folders by age
        return found
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f"{key}.lock"):
            if (found := _read(folder)) is None:
                with plan() as made:
                    _build(folder, size, made, progress)
                found = _read(folder)
    except OSError as error:
        raise DataError(f"The decoded images cannot be written to {root}: {error.strerror or error}.") from error
    if found is None:
        raise DataError(f"The decoded images in {folder} cannot be read back: check the disk.")
    return found


def _read(folder: Path) -> tuple[Split, tuple[Skipped, ...]] | None:
    try:
        index = json.loads((folder / "index.json").read_text("utf-8"))
        images = np.load(folder / "images.npy", mmap_mode="r")
        labels = np.load(folder / "labels.npy")
        masks = np.load(folder / "masks.npy", mmap_mode="r") if index["masks"] else None
        digests = None if index["masks"] else np.load(folder / "digests.npy")
    except (OSError, ValueError, KeyError, EOFError):  # absent, or truncated by a crash: it is built again
        return None
    if len(images) != len(labels):
        return None
    skipped = tuple(Skipped(*entry) for entry in index["skipped"])
    one_colour = tuple(index["one_colour"])
    return Split(images, labels, masks, tuple(index["files"]), digests, one_colour, len(skipped)), skipped


def _build(folder: Path, size: int, plan: Plan, progress: Progress) -> None:
    """Write all rows into a temporary folder, then rename it. The caller holds the lock."""
    temporary = folder.with_name(f"{folder.name}.part")
    for leftover in (temporary, folder):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary.mkdir()
    try:
        if plan.fill:
            rows = _filled(temporary, size, len(plan.labels), plan.fill, progress)
        else:
            rows = _decoded(temporary, size, plan, progress)
            np.save(temporary / "digests.npy", np.array(rows.digests, dtype=np.uint64))
        kept, skipped = rows.kept, rows.skipped
        _check_classes(plan, kept, skipped)
        np.save(temporary / "labels.npy", plan.labels[kept].astype(np.int64))
        index = {
            "masks": plan.fill is not None,
            "files": [plan.files[row] for row in kept],
            "skipped": [(entry.file, entry.reason) for entry in skipped],
            "one_colour": rows.one_colour,
        }
        (temporary / "index.json").write_text(json.dumps(index), "utf-8")
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@dataclass
class _Written:
    """What was written of a split.

    Attributes:
        kept: the rows of the plan that were decoded.
        skipped: the files that were not.
        one_colour: names of the images of one colour.
        digests: a hash of the pixels of each kept row.
    """

    kept: list[int] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    one_colour: list[str] = field(default_factory=list)
    digests: list[int] = field(default_factory=list)


def _filled(folder: Path, size: int, count: int, fill: Fill, progress: Progress) -> _Written:
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (count, 3, size, size))
    masks = np.lib.format.open_memmap(folder / "masks.npy", "w+", np.uint8, (count, size, size))
    for name in ("images.npy", "masks.npy"):
        _reserve(folder / name)
    fill(images, masks, progress)
    images.flush()
    masks.flush()
    return _Written(list(range(count)))


def _reserve(path: Path) -> None:
    """Allocate the disk space of a file; writing to a memory map on a full disk would kill the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    raise


def _decoded(folder: Path, size: int, plan: Plan, progress: Progress) -> _Written:
    total, done = len(plan.labels), _Written()
    with closing(_Rows(folder / "images.npy", (3, size, size), total)) as images:
        for start in range(0, total, CHUNK):
            rows = np.arange(start, min(start + CHUNK, total))
            for row, image in zip(rows.tolist(), plan.rows(rows), strict=True):
                if isinstance(image, str):
                    done.skipped.append(Skipped(plan.files[row], image))
                    continue
                images.append(image.transpose(2, 0, 1))
                done.kept.append(row)
                digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=8).digest()
                done.digests.append(int.from_bytes(digest, "little"))
                if _is_one_colour(image):
                    done.one_colour.append(plan.files[row])
            progress(start + len(rows), total)
    return done


def _is_one_colour(image: np.ndarray) -> bool:
    """Return whether all pixels of an image (h w c) have nearly the same colour."""
    pixels = image.reshape(-1, image.shape[-1])
    return bool((pixels.max(axis=0).astype(int) - pixels.min(axis=0) <= _ONE_COLOUR).all())


def _check_classes(plan: Plan, kept: list[int], skipped: list[Skipped]) -> None:
    """Raise a DataError if the skipped files were all images of a class, or of the split."""
    lost = np.setdiff1d(plan.labels, plan.labels[kept])
    if not len(lost) or (kept and not plan.every_class):
        return
    rows = np.flatnonzero(plan.labels == lost[0])
    first = next(entry for entry in skipped if entry.file == plan.files[rows[0]])
    raise unreadable_class(plan.class_names[lost[0]], len(rows), first)


def unreadable_class(class_name: str, count: int, first: Skipped) -> DataError:
    """Return the error for a class with ``count`` files, none of which can be read."""
    files = f"None of the {count:,} files" if count > 1 else "The only file"
    return DataError(
        f"{files} of the class {class_name!r} {'can' if count > 1 else 'cannot'} be read as an image: {first.file}, "
        f"{first.reason[:1].lower()}{first.reason[1:]}"
    )


class _Rows:
    """Writes a .npy file of uint8 rows whose number is known only at the end; NumPy's header has room for it."""

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
