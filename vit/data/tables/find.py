"""Recognise a table or shards by the names of files, and open it."""

import os
from functools import lru_cache
from pathlib import Path

from vit.config import Columns
from vit.data.files.file_names import has_image_suffix, is_hidden
from vit.data.files.folders import Index
from vit.errors import DataError

CSV, PARQUET, TAR = (".csv", ".tsv"), (".parquet",), (".tar",)
SUFFIXES = (*CSV, *PARQUET, *TAR)
"""Endings of files that are data sets by themselves."""
_PACKED = (".tar.gz", ".tgz", ".csv.gz", ".tar.zst", ".tar.bz2", ".tar.xz")
_DEPTH = 2
"""Folders below that of the data set in which parquet files and shards are looked for, such as ``data/``."""
_FILES_MAX = 20_000


def open_table(path: Path, columns: Columns, *, to_train: bool = True) -> Index | None:
    """Return the index of a table, of parquet files, of a saved folder or of shards; None for another kind of path.

    Args:
        path: a file or folder.
        columns: the chosen columns.
        to_train: whether training images are needed.

    Raises:
        DataError: it cannot be read, or has no images with classes.
    """
    lower = path.name.lower()
    if path.is_file():
        if lower.endswith(_PACKED):
            raise DataError(f"{path.name} is compressed: unpack it first, to a .tar or .csv file.")
        return _opened(path, (path,), _stamps([path]), columns, to_train) if lower.endswith(SUFFIXES) else None
    from vit.data.tables import parquet  # pyarrow takes a while to import

    if parquet.is_saved(path):
        try:
            return parquet.read_saved(path, columns, to_train=to_train)
        except OSError as error:
            raise DataError(f"{path.name} cannot be read: {error.strerror or error}.") from error
    files = _packed_files(path)
    return _opened(path, tuple(files), _stamps(files), columns, to_train) if files else None


@lru_cache(maxsize=4)
def _opened(
    path: Path, files: tuple[Path, ...], stamps: tuple[tuple[int, int], ...], columns: Columns, to_train: bool
) -> Index:
    """Open files; kept for as long as they do not change, because the labels of many images are read."""
    try:
        if files[0].name.lower().endswith(CSV):
            from vit.data.tables import paths

            return paths.read_csv(files[0], columns, to_train=to_train)
        if files[0].name.lower().endswith(PARQUET):
            from vit.data.tables import parquet

            return parquet.read_files(path, files, columns, to_train=to_train)
        from vit.data.tables import shards

        return shards.read_shards(path, files, columns, to_train=to_train)
    except OSError as error:
        raise DataError(f"{path.name} cannot be read: {error.strerror or error}.") from error


def _stamps(files: list[Path]) -> tuple[tuple[int, int], ...]:
    return tuple((status.st_size, status.st_mtime_ns) for status in map(os.stat, files))


def _packed_files(folder: Path) -> list[Path]:
    """Return the parquet files or shards of a folder, in order; empty if it holds neither, or other files decide."""
    found: list[Path] = []
    pending = [(folder, 0)]
    while pending and len(found) <= _FILES_MAX:
        place, depth = pending.pop()
        try:
            entries = [entry for entry in os.scandir(place) if not is_hidden(entry.name)]
        except OSError:
            return []
        if any(has_image_suffix(entry.name) for entry in entries):  # a folder of images with something beside it
            return []
        found += [Path(entry.path) for entry in entries if entry.name.lower().endswith((*PARQUET, *TAR))]
        if depth < _DEPTH and len(entries) <= _FILES_MAX:
            # Class folders hold many files and no table; one look into each is cheap.
            pending += [(Path(entry.path), depth + 1) for entry in entries if entry.is_dir(follow_symlinks=False)]
    kinds = {file.suffix.lower() for file in found}
    if len(kinds) > 1:
        raise DataError(f"{folder.name} contains parquet files and shards: name the folder of one of them.")
    return sorted(found)
