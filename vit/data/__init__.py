"""Data sets as arrays: drawn scenes, folders and zips of images, and well-known sets.

Images are decoded once, resized to one size and memory-mapped; :mod:`vit.data.batches` turns them into tensors. This
module does not import torch.
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from vit.config import AUTO_IMAGE_SIZE_MAX, FOUND_COLUMNS, Columns, DataConfig, Ground, Window
from vit.data import told
from vit.data.cache import Progress, cache_key, cached_split, is_cached
from vit.data.catalog import catalog
from vit.data.files.folders import Index
from vit.data.files.images import Square
from vit.data.files.recordings import store_recording
from vit.data.files.uploads import list_uploads, store_upload, upload_title
from vit.data.image_data import ImageData, check_readable
from vit.data.records import DataInfo, Skipped, Split
from vit.data.sources import SCENES, DataSource, download, find, is_name, is_ready
from vit.data.tables import hub
from vit.errors import DataError

__all__ = [
    "DataInfo",
    "ImageData",
    "Skipped",
    "Split",
    "check_readable",
    "class_names",
    "describe",
    "download",
    "is_name",
    "is_prepared",
    "is_ready",
    "load",
    "load_split",
    "own_splits",
    "percentile_window",
    "sample",
    "sources",
    "store_recording",
    "store_upload",
    "title",
]

SPLITS = ("train", "val")
NOT_HERE = "not on this machine"
"""Title of the images of a published model."""


def describe(source: str, *, seed: int = 0, columns: Columns = FOUND_COLUMNS) -> DataInfo:
    """Describe a source from its file names and a few headers, without decoding its images.

    Args:
        source: ``scenes``, a name of the catalog or of the Hugging Face hub (``hf:OWNER/NAME``), or a path to a folder,
            zip or table.
        seed: seed of the 80/20 split if the source has no validation images.
        columns: the columns of a table that hold the images and the classes.

    Raises:
        DataError: there is no such source, or it is not a set of images in classes.
    """
    if hub.is_hub(source) and not is_ready(source):
        return hub.describe_remote(source, columns)
    found = find(source, columns=columns)
    size = found.image_size()
    listed = catalog.CATALOG.get(source)
    return DataInfo(
        source=_canonical(source),
        title=title(source),
        class_names=found.class_names,
        train_count=found.count("train", seed),
        val_count=found.count("val", seed),
        image_size=size,
        auto_image_size=max(32, round(min(size, AUTO_IMAGE_SIZE_MAX) / 8) * 8),
        ready=is_ready(source),
        download_bytes=listed.download_bytes if listed else None,
        licence=listed.licence if listed else hub.licence_of(source),
        skipped=found.skipped,
        window=found.window(),
        remarks=found.remarks,
        offered=found.offered if isinstance(found, Index) else None,
    )


def load(config: DataConfig, *, splits: tuple[str, ...] = SPLITS, progress: Progress | None = None) -> ImageData:
    """Return the images of a source; they are decoded on the first call and memory-mapped afterwards.

    Args:
        config: source and size; ``class_names``, if given, must be those of the source, in any order.
        splits: the splits to load, of ``train`` and ``val``.
        progress: called with (images done, images in total).

    Raises:
        DataError: the source is gone, its classes have changed, or it cannot be read.
    """
    found = _find(config)
    loaded, skipped = _loaded(config, found, splits, progress)
    remarks = [*found.remarks, *told.of_window(config.window, found.window()), *told.of_splits(loaded, config.ground)]
    return ImageData(
        source=_canonical(config.source),
        class_names=found.class_names,
        image_size=config.image_size,
        train=loaded.get("train"),
        val=loaded.get("val"),
        skipped=(*found.skipped, *skipped),
        remarks=tuple(remarks),
    )


def load_split(config: DataConfig, split: str, *, progress: Progress | None = None) -> Split:
    """Return one split to evaluate on: ``train``, ``val``, ``test``, or ``all`` of a data set that has no splits.

    Raises:
        DataError: as in :func:`load`, or the data set has no such split.
    """
    return _loaded(config, _find(config, to_train=split == "train"), (split,), progress)[0][split]


def class_names(source: str, columns: Columns = FOUND_COLUMNS) -> tuple[str, ...]:
    """Return the classes of a data set, which needs no training images.

    Raises:
        DataError: there is no such source, or it is not a set of images in classes.
    """
    return find(source, columns=columns, to_train=False).class_names


def percentile_window(source: str, low: float, high: float, columns: Columns = FOUND_COLUMNS) -> Window:
    """Return the values of greyscale with more than 8 bits at two percentiles, from 0 to 100, of the training images.

    Raises:
        DataError: the source has no such images, or the percentiles are not in order.
    """
    found = find(source, columns=columns)
    if not isinstance(found, Index):
        raise DataError(f"The images of {title(source)} have 8 bits, for which there is no window: leave it out.")
    return found.percentile_window(low, high)


def own_splits(source: str, columns: Columns = FOUND_COLUMNS) -> tuple[str, ...]:
    """Return the splits that a data set itself has; empty if it has only classes.

    Raises:
        DataError: there is no such source, or it is not a set of images in classes.
    """
    return find(source, columns=columns, to_train=False).own_splits


def _find(config: DataConfig, *, to_train: bool = True) -> DataSource:
    """Return the data set with its classes in the order of the settings."""
    found = find(config.source, columns=config.columns, to_train=to_train)
    if not config.class_names or config.class_names == found.class_names:
        return found
    if isinstance(found, Index) and sorted(config.class_names) == sorted(found.class_names):
        return found.reordered(config.class_names)
    raise DataError(
        f"The classes of {title(config.source)} have changed from {_listed(config.class_names)} to "
        f"{_listed(found.class_names)}: restore the original images, or start a new run."
    )


def _loaded(
    config: DataConfig, found: DataSource, splits: tuple[str, ...], progress: Progress | None
) -> tuple[dict[str, Split], list[Skipped]]:
    """Return the splits, and the files that were left out of them."""
    limits = {"train": config.train_images, "val": config.val_images}
    counts = {split: found.count(split, config.seed, limits.get(split)) for split in splits}
    total, done = sum(counts.values()), 0
    square = _square(config, found)
    loaded: dict[str, Split] = {}
    skipped: list[Skipped] = []
    for split in splits:
        key = _key(config, found, split, square)
        plan = partial(found.plan, split, limits.get(split), config.seed, square)
        loaded[split], left_out = cached_split(key, config.image_size, plan, partial(_report, progress, done, total))
        skipped.extend(left_out)
        done += counts[split]
    if progress:
        progress(total, total)
    return loaded, skipped


def is_prepared(config: DataConfig) -> bool:
    """Return whether both splits are already decoded (or drawn), so that :func:`load` returns at once.

    Raises:
        DataError: the source is gone.
    """
    found = _find(config)
    square = _square(config, found)
    return all(is_cached(_key(config, found, split, square)) for split in SPLITS)


def sample(
    source: str,
    count: int,
    *,
    image_size: int = 64,
    seed: int = 0,
    ground: Ground = "white",
    window: Window | None = None,
    columns: Columns = FOUND_COLUMNS,
) -> list[tuple[np.ndarray, str]]:
    """Return a few training images, uint8 (h w c), with their class names; the classes alternate.

    Raises:
        DataError: the source cannot be read.
    """
    if hub.is_hub(source) and not is_ready(source):
        return hub.sample_remote(source, count, Square(image_size, ground=ground, window=window), columns)
    found = find(source, columns=columns)
    square = Square(image_size, ground=ground, window=window or found.window())
    with found.plan("train", count if source == SCENES else None, seed, square) as plan:
        if plan.fill is not None:
            images = np.empty((len(plan.labels), 3, image_size, image_size), np.uint8)
            plan.fill(images, np.empty((len(images), image_size, image_size), np.uint8), lambda done, total: None)
            return [(image.transpose(1, 2, 0), found.class_names[row % 5]) for row, image in enumerate(images)]
        rows = _alternating(plan.labels, count, seed)
        pairs = zip(plan.rows(rows), plan.labels[rows], strict=True)
        return [(image, found.class_names[label]) for image, label in pairs if not isinstance(image, str)]


def sources(owner: str = "") -> list[DataInfo]:
    """Return the sources that need no path: scenes, the catalog, and the readable uploads of an owner."""
    return [*_described((SCENES, *catalog.CATALOG)), *_described(list_uploads(owner))]


def _described(names: Iterable[str]) -> list[DataInfo]:
    found = []
    for name in names:
        try:
            found.append(describe(name))
        except DataError:  # an upload whose folder was changed and cannot be read
            continue
    return found


def _square(config: DataConfig, found: DataSource) -> Square:
    square = Square.of(config)
    return square._replace(window=found.window()) if square.window is None else square


def _key(config: DataConfig, found: DataSource, split: str, square: Square) -> str:
    limit = {"train": config.train_images, "val": config.val_images}.get(split)
    return cache_key(split, *square, found.key(split, limit, config.seed))


def _report(progress: Progress | None, before: int, total: int, done: int, _: int) -> None:
    if progress:
        progress(min(before + done, total), total)


def _alternating(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return ``count`` rows: one image of each class in a shuffled order, then a second of each, and so on."""
    order = np.random.default_rng(seed).permutation(len(labels))
    place = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rows = order[labels[order] == label]
        place[rows] = np.arange(len(rows))
    return order[np.argsort(place[order], kind="stable")][:count]


def _canonical(source: str) -> str:
    return source if is_name(source) else str(Path(source).expanduser().absolute())


def title(source: str) -> str:
    """Return the title of a source: a folder without its path, an upload without the hash of its content."""
    if not source:
        return NOT_HERE
    if source in catalog.CATALOG:
        return catalog.CATALOG[source].title
    if hub.is_hub(source):
        return source.removeprefix(hub.PREFIX)
    return "Scenes" if source == SCENES else upload_title(_canonical(source)) or Path(source).name or source


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
