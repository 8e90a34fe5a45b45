"""``coco5``: the five classes of the course report, cropped from the photographs of COCO.

The instance annotations of COCO's train2017 (Lin et al. 2014, Microsoft COCO: Common Objects in Context) decide which
images are used: those with objects of exactly one of the five classes. The crop of an image shows its largest object
by the area of the box. Crowds are ignored, and the longer side of the box must have at least 64 pixels, so that no
crop is enlarged. The crop is the square around the box, shifted into the image where it would extend beyond it, and at
most as large as the image's shorter side.

The images of a class are sorted by id and shuffled with a fixed seed. The first 1,500 are the training images, the next
500 the validation images (val2017 alone has too few), and the others replace images that cannot be downloaded.

Only these images are downloaded. A local copy of COCO in ``coco/`` of the folder of data sets is used instead:
``coco/annotations/instances_train2017.json`` and the images in ``coco/train2017/``.
"""

import json
import math
import queue
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import ijson
import numpy as np
from ijson.common import ObjectBuilder
from PIL import Image

from vit.data.cache import Plan, Progress
from vit.data.catalog.download import Archive, Unreachable, fetch_archive, fetch_bytes
from vit.data.catalog.entry import CatalogEntry
from vit.data.files import folders
from vit.data.files.images import FILE_BYTES_MAX, Square, fit_square, open_image
from vit.data.records import Skipped
from vit.errors import DataError
from vit.paths import data_dir

CATEGORIES = {"airplane": 5, "bus": 6, "cat": 17, "dog": 18, "pizza": 59}
"""The classes and their ids in COCO."""

SIDE = 64
SEED = 0
THREADS = 8
SKIPPED_MAX = 200
"""More failed images than this mean that the server or the connection is broken, not that single files are lost."""

ANNOTATIONS = "annotations/instances_train2017.json"
IMAGES = "train2017"
ARCHIVE_BYTES = 252_907_541
IMAGE_BYTES = 163_474
"""COCO's mean: train2017.zip holds 118,287 images in 19,336,861,798 bytes."""

ITEM_BYTES_MAX = 2**24
"""A longer image or annotation counts as a damaged file, so that it is not read into memory."""

_SKIPPED = "skipped.json"
_TICK = 20_000
"""Images and annotations read between two progress calls."""

_READ_BYTES = 2**16
_BOX_DEPTH = 4
"""Nesting of a box's numbers in the annotations: file, list, annotation, box. Outlines lie deeper."""
_OPENING, _CLOSING = {"start_map", "start_array"}, {"end_map", "end_array"}
_STRUCTURE = _OPENING | _CLOSING | {"map_key"}

_DAMAGE = (
    ijson.JSONError,  # not JSON, or truncated
    *(ValueError, TypeError, LookupError, ArithmeticError),  # JSON of another shape
    *(zipfile.BadZipFile, zlib.error, EOFError, RuntimeError),  # a broken zip (RuntimeError: an encrypted one)
)

Box = tuple[float, float, float, float]
"""Left, top, right and bottom edge in pixels."""


class Candidate(NamedTuple):
    """An image with objects of one class, and the box of its largest object in pixels."""

    image_id: int
    size: tuple[int, int]
    box: Box

    @property
    def file_name(self) -> str:
        """The image's file name in COCO."""
        return _file_name(self.image_id)

    def square(self) -> tuple[int, int, int, int]:
        """Return the crop within the image: (left, top, right, bottom)."""
        left, top, right, bottom = self.box
        side = round(min(max(right - left, bottom - top), *self.size))
        x, y = (
            round(min(max((low + high - side) / 2, 0), extent - side))
            for low, high, extent in ((left, right, self.size[0]), (top, bottom, self.size[1]))
        )
        return x, y, x + side, y + side


class Slot(NamedTuple):
    """A place in the data set, and the image that fills it."""

    split: str
    class_name: str
    candidate: Candidate

    def path(self, root: Path) -> Path:
        return root / self.split / self.class_name / f"{Path(self.candidate.file_name).stem}.png"


@dataclass(frozen=True, kw_only=True)
class Coco5(CatalogEntry):
    """The data set's entry in the catalog.

    Attributes:
        archive: the zip file with COCO's annotations.
        images: address of the folder with the images.
    """

    archive: Archive
    images: str
    resumes = True

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Images that could not be downloaded and were replaced by others."""
        try:
            return tuple(Skipped(*entry) for entry in json.loads((self.ready_root() / _SKIPPED).read_text("utf-8")))
        except (DataError, OSError, ValueError, TypeError):  # not downloaded yet, or copied here by hand
            return ()

    def root(self) -> Path | None:
        """Return the folder of the data set, or None if it is not downloaded."""
        folder = data_dir() / self.name
        return folder if (folder / "train").is_dir() else None

    def key(self, split: str, count: int | None, seed: int) -> tuple:
        """Return everything that determines the content of a split."""
        return self._index().key(split, count, seed)

    def plan(self, split: str, count: int | None, seed: int, square: Square) -> AbstractContextManager[Plan]:
        """Return the plan by which :mod:`vit.data.cache` prepares a split."""
        return self._index().plan(split, count, seed, square)

    def _index(self) -> folders.Index:
        root = self.ready_root()
        index = folders.scan(root)
        if index.class_names != self.class_names:
            raise DataError(
                f"{root} has other classes than {', '.join(self.class_names)}: remove it, download it again."
            )
        return index

    def build(self, root: Path, progress: Progress) -> None:
        """Download the annotations and the images that they select; write the crops to ``root/train/cat/ID.png``.

        Files of an earlier, interrupted call are kept.

        Args:
            root: folder of the data set.
            progress: called with the bytes done and the bytes in total; every image counts as :data:`IMAGE_BYTES`.

        Raises:
            DataError: there is no connection, the annotations are not COCO's or hold too few images of a class, or too
                many images cannot be downloaded.
        """
        annotations = data_dir() / "coco" / ANNOTATIONS
        if not annotations.exists():
            annotations = root / self.archive.path
            for done, _ in fetch_archive(self.title, self.archive, root):
                progress(min(done, ARCHIVE_BYTES), self.download_bytes)

        def tick() -> None:
            progress(ARCHIVE_BYTES, self.download_bytes)

        slots, spares = self._share_out(read_annotations(annotations, tick))
        skipped: list[Skipped] = []
        written: set[Path] = set()
        while slots:
            failed = []
            for slot, problem in self._fill(slots, root, len(skipped), progress):
                if problem is None:
                    written.add(slot.path(root))
                else:
                    failed.append(slot)
                    skipped.append(problem)
            slots = [slot._replace(candidate=self._spare(slot.class_name, spares, skipped)) for slot in failed]
        for path in root.glob("*/*/*"):
            if path not in written:  # a replacement from an earlier call, no longer needed
                path.unlink()
        entries = sorted((entry.file, entry.reason) for entry in skipped)
        (root / _SKIPPED).write_text(json.dumps(entries), "utf-8")
        (root / self.archive.path).unlink(missing_ok=True)
        progress(self.download_bytes, self.download_bytes)

    def _share_out(self, candidates: dict[str, list[Candidate]]) -> tuple[list[Slot], dict[str, Iterator[Candidate]]]:
        """Return the slots of both splits, and the remaining images of each class."""
        slots, spares = [], {}
        for label, name in enumerate(self.class_names):
            found = sorted(candidates[name])
            order = iter([found[row] for row in np.random.default_rng([SEED, label]).permutation(len(found))])
            wanted = [split for split, count in self.counts.items() for _ in range(count // len(self.class_names))]
            if len(found) < len(wanted):
                raise DataError(
                    f"The annotations have {len(found):,} suitable images of the class {name!r}, and {len(wanted):,} "
                    "are needed: use COCO's own instances_train2017.json."
                )
            slots += [Slot(split, name, next(order)) for split in wanted]
            spares[name] = order
        return slots, spares

    def _spare(self, class_name: str, spares: dict[str, Iterator[Candidate]], skipped: list[Skipped]) -> Candidate:
        if (spare := next(spares[class_name], None)) is None:
            last = skipped[-1]
            raise DataError(
                f"Too many images of the class {class_name!r} cannot be downloaded, the last one is {last.file} "
                f"({last.reason}): try again later."
            )
        return spare

    def _fill(
        self, slots: list[Slot], root: Path, failures: int, progress: Progress
    ) -> Iterator[tuple[Slot, Skipped | None]]:
        """Download the image of each slot; yield each slot, in order, with its problem, or None."""
        total = sum(self.counts.values())
        share = (self.download_bytes - ARCHIVE_BYTES) / total
        finished: queue.SimpleQueue[Future] = queue.SimpleQueue()
        stop = threading.Event()
        with ExitStack() as stack:
            pool = ThreadPoolExecutor(THREADS)
            stack.callback(pool.shutdown, cancel_futures=True)
            stack.callback(stop.set)  # runs before the shutdown, which waits for downloads in progress
            futures = [pool.submit(self._write, slot, slot.path(root), stop) for slot in slots]
            for future in futures:
                future.add_done_callback(finished.put)
            pending, done = len(futures), total - len(slots)
            while pending:
                progress(ARCHIVE_BYTES + round(share * done), self.download_bytes)
                try:
                    problem = finished.get(timeout=1).result()
                except queue.Empty:
                    continue
                pending -= 1
                if problem is None:
                    done += 1
                elif (failures := failures + 1) > SKIPPED_MAX:
                    raise DataError(
                        f"More than {SKIPPED_MAX} images of {self.title} cannot be downloaded, the last one is "
                        f"{problem.file} ({problem.reason}): try again later."
                    )
        yield from ((slot, future.result()) for slot, future in zip(slots, futures, strict=True))

    def _write(self, slot: Slot, path: Path, stop: threading.Event) -> Skipped | None:
        """Download, crop and write one image; return the problem, or None.

        Raises:
            Unreachable: there is no connection.
        """
        if path.exists():
            return None
        name = slot.candidate.file_name
        own = data_dir() / "coco" / IMAGES / name
        try:
            content = own if own.exists() else fetch_bytes(f"{self.images}/{name}", FILE_BYTES_MAX, stop)
            image = open_image(content, name="The file")
            if image.size != slot.candidate.size:
                raise DataError("The file has other dimensions than its annotation says.")
        except Unreachable:
            raise
        except DataError as error:
            return Skipped(name, str(error))
        pixels = fit_square(image.crop(slot.candidate.square()), SIDE)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".part")
        Image.fromarray(pixels).save(temporary, "PNG")
        temporary.replace(path)
        return None


def read_annotations(path: Path, tick: Callable[[], None]) -> dict[str, list[Candidate]]:
    """Return the usable images of each class.

    Args:
        path: COCO's instance annotations, or the zip file that holds them.
        tick: called every :data:`_TICK` images and annotations.

    Raises:
        DataError: the file is damaged, is not COCO's, or names an image that is not COCO's.
    """
    try:
        with ExitStack() as stack:
            file: IO[bytes]
            if path.suffix == ".zip":
                file = stack.enter_context(stack.enter_context(zipfile.ZipFile(path)).open(ANNOTATIONS))
            else:
                file = stack.enter_context(path.open("rb"))
            return _candidates(file, tick)
    except DataError:  # DataError is a ValueError, which _DAMAGE includes
        raise
    except _DAMAGE as error:
        raise DataError(
            f"{path} is damaged or does not contain COCO's instance annotations: remove it and download it again."
        ) from error


def _candidates(file: IO[bytes], tick: Callable[[], None]) -> dict[str, list[Candidate]]:
    names = {number: name for name, number in CATEGORIES.items()}
    images: dict[int, tuple[int, int]] = {}
    classes: dict[int, set[str]] = {}
    objects: dict[int, list[Box]] = {}
    known = set()
    for row, (key, item) in enumerate(_items(file)):
        if row % _TICK == 0:
            tick()
        if key == "images":
            image_id, name = int(item["id"]), str(item["file_name"])
            if name != _file_name(image_id):  # the name becomes part of an address and of a path
                raise DataError(
                    f"The annotations name an image {name[:80]!r}, which is not a file name of COCO's train2017: use "
                    "COCO's own instances_train2017.json."
                )
            images[image_id] = (int(item["width"]), int(item["height"]))
        elif key == "annotations" and item["category_id"] in names:
            image_id = int(item["image_id"])
            classes.setdefault(image_id, set()).add(names[item["category_id"]])
            if not item["iscrowd"]:
                x, y, width, height = map(float, item["bbox"])
                if not math.isfinite(x + y + width + height) or width < 0 or height < 0:
                    raise ValueError("no box")
                objects.setdefault(image_id, []).append((x, y, x + width, y + height))
        elif key == "categories":
            known.add((item["name"], item["id"]))
    if not known >= set(CATEGORIES.items()):
        raise ValueError("other categories")
    found: dict[str, list[Candidate]] = {name: [] for name in CATEGORIES}
    for image_id, boxes in objects.items():
        if len(classes[image_id]) == 1:
            (name,) = classes[image_id]
            size = images[image_id]
            box = max((_clipped(box, size) for box in boxes), key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
            if max(box[2] - box[0], box[3] - box[1]) >= SIDE and min(size) >= SIDE:
                found[name].append(Candidate(image_id, size, box))
    return found


def _items(file: IO[bytes]) -> Iterator[tuple[str, Any]]:
    """Yield the elements of the lists and objects in a JSON object in file order, each with the key of its list.

    Only one element is in memory at a time. Outlines are left out: they are most of the file, and none is needed.
    ijson's ``items`` does not fit here: it reads one list per pass, and its memory grows with the square of the
    nesting depth.

    Raises:
        ijson.JSONError: the file is not JSON, or is truncated.
        ValueError: an element is longer than :data:`ITEM_BYTES_MAX`.
    """
    events = ijson.sendable_list()
    parser = ijson.basic_parse_coro(events, use_float=True)
    depth, key, builder, item_bytes = 0, "", ObjectBuilder(), 0
    for block in iter(partial(file.read, _READ_BYTES), b""):
        item_bytes += len(block)
        parser.send(block)
        for event, value in events:
            if depth > _BOX_DEPTH and event not in _STRUCTURE:
                continue
            depth += event in _OPENING
            level = depth
            depth -= event in _CLOSING
            if level == 1 and event == "map_key":
                key = value
            elif 2 < level <= _BOX_DEPTH or (level == 2 and event not in _STRUCTURE):
                builder.event(event, value)
                if depth == 2:
                    yield key, builder.value
                    builder, item_bytes = ObjectBuilder(), 0
        events.clear()
        if item_bytes > ITEM_BYTES_MAX:
            raise ValueError("an element is too long")
    parser.close()


def _clipped(box: Box, size: tuple[int, int]) -> Box:
    """Return the part of a box that lies within the image."""
    left, top, right, bottom = (min(max(edge, 0.0), float(extent)) for edge, extent in zip(box, size * 2, strict=True))
    return left, top, right, bottom


def _file_name(image_id: int) -> str:
    return f"{image_id:012d}.jpg"


SERVER = "https://s3.amazonaws.com/images.cocodataset.org"
"""COCO's own storage; the certificate of images.cocodataset.org is for another name.

There are no published checksums of the images, so only https protects them from changes on the way.
"""
_COUNTS = {"train": 1_500 * len(CATEGORIES), "val": 500 * len(CATEGORIES)}

COCO5 = Coco5(
    name="coco5",
    title="COCO (five classes)",
    class_names=tuple(CATEGORIES),
    counts=_COUNTS,
    size=SIDE,
    download_bytes=ARCHIVE_BYTES + IMAGE_BYTES * sum(_COUNTS.values()),
    licence="Annotations CC BY 4.0; images: the terms of use of Flickr",
    archive=Archive(
        f"{SERVER}/annotations/annotations_trainval2017.zip",
        "annotations_trainval2017.zip",
        "f4bbac642086de4f52a3fdda2de5fa2c",
    ),
    images=f"{SERVER}/{IMAGES}",
)
