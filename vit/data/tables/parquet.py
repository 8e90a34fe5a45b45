"""Parquet files, and folders that Hugging Face ``datasets`` saved, with a column of images and one of classes.

They are read with pyarrow and without the package ``datasets``, whose images may name any file or address: here an
image is the bytes in its row, or the path of a file below the folder of the table.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vit.config import Columns
from vit.data.files.folders import Content, Index
from vit.data.tables import paths
from vit.data.tables.columns import Column, Kind, choose, split_column, split_in, split_of
from vit.data.tables.labelled import ROWS_MAX, Row, make_index
from vit.errors import DataError

RATIO_MAX = 100
RATIO_FREE_BYTES = 2**28
"""A file may expand to this size, or to this many times its own size: columns of repeated labels shrink a lot."""
STATE, INFO, SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"
"""Files that ``save_to_disk`` of Hugging Face datasets writes."""

_BATCH = 32
"""Rows of images that are decompressed at a time."""
_KEPT = 8
"""Batches that stay in memory, because threads ask for rows slightly out of order."""
_FEATURES_MAX = 2**22
_DAMAGE = (pa.ArrowException, OSError, ValueError, TypeError, KeyError, AttributeError, IndexError)


class Part:
    """One file of a table.

    Attributes:
        name: its path within the collection.
        split: the split that the file belongs to; empty for none.
        schema: names and types of the columns.
        count: number of rows.
    """

    def __init__(self, path: Path, name: str, split: str) -> None:
        self.path, self.name, self.split = path, name, split
        self.stamp = path.stat().st_mtime_ns
        self.schema: pa.Schema
        self.count: int

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a whole column, for labels and splits."""
        raise NotImplementedError

    def cells(self, column: str) -> "_Cells":
        """Return a reader of the images of a column."""
        raise NotImplementedError


class ParquetPart(Part):
    """A parquet file."""

    def __init__(self, path: Path, name: str, split: str) -> None:
        super().__init__(path, name, split)
        with pq.ParquetFile(path) as file:
            self.schema, self.count = file.schema_arrow, file.metadata.num_rows
            groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
            self.groups = [group.num_rows for group in groups]
            size = sum(group.total_byte_size for group in groups)
        if size > max(RATIO_FREE_BYTES, RATIO_MAX * path.stat().st_size):
            raise DataError(f"{name} expands to over {RATIO_MAX} times its size: it is made to fill the memory.")

    def column(self, name: str) -> pa.ChunkedArray:
        with pq.ParquetFile(self.path) as file:
            return file.read(columns=[name], use_threads=False).column(name)

    def cells(self, column: str) -> "_Cells":
        return _ParquetCells(self, column)


class ArrowPart(Part):
    """A file of ``save_to_disk``: an Arrow stream, which is mapped into memory and not read as a whole."""

    def __init__(self, path: Path, name: str, split: str) -> None:
        super().__init__(path, name, split)
        with pa.memory_map(str(path)) as source:
            self.table = pa.ipc.open_stream(source).read_all()
        self.table.validate(full=True)  # a damaged file could otherwise crash the process
        self.schema, self.count = self.table.schema, self.table.num_rows

    def column(self, name: str) -> pa.ChunkedArray:
        return self.table.column(name)

    def cells(self, column: str) -> "_Cells":
        return _Cells(self.table.column(column))


class _Cells:
    """The values of one column by row."""

    def __init__(self, values: pa.ChunkedArray | None = None) -> None:
        self.values = values

    def __getitem__(self, row: int) -> Any:
        assert self.values is not None
        return self.values[row].as_py()

    def close(self) -> None:
        """Close the file."""


class _ParquetCells(_Cells):
    """Reads a column in batches; rows that are asked for in ascending order are decompressed once."""

    def __init__(self, part: ParquetPart, column: str) -> None:
        super().__init__()
        self.file, self.groups, self.column = pq.ParquetFile(part.path), part.groups, column
        self.batches: dict[int, pa.Array] = {}
        self.next, self.end = 0, 0
        self.reader: Iterator[pa.RecordBatch] = iter(())

    def __getitem__(self, row: int) -> Any:
        if (found := self._kept(row)) is not None:
            return found.as_py()
        if not self.next <= row < self.end:
            self._open(row)
        while self.next <= row:
            batch = next(self.reader).column(0)
            self.batches[self.next] = batch
            self.next += len(batch)
            while len(self.batches) > _KEPT:
                del self.batches[next(iter(self.batches))]
        found = self._kept(row)
        assert found is not None
        return found.as_py()

    def _kept(self, row: int) -> pa.Scalar | None:
        for start, batch in self.batches.items():
            if start <= row < start + len(batch):
                return batch[row - start]
        return None

    def _open(self, row: int) -> None:
        """Start to read the group of rows that contains a row."""
        start = 0
        for group, count in enumerate(self.groups):
            if row < start + count:
                self.next, self.end, self.batches = start, start + count, {}
                options = {"row_groups": [group], "columns": [self.column], "use_threads": False}
                self.reader = self.file.iter_batches(_BATCH, **options)
                return
            start += count
        raise IndexError(row)

    def close(self) -> None:
        self.file.close()


def is_saved(folder: Path) -> bool:
    """Return whether ``save_to_disk`` of Hugging Face datasets wrote a folder."""
    return (folder / SPLITS).is_file() or ((folder / STATE).is_file() and (folder / INFO).is_file())


def read_files(path: Path, files: Sequence[Path], wanted: Columns, *, to_train: bool = True) -> Index:
    """Return the index of one or several parquet files, whose names may tell their split: ``train-00000.parquet``.

    Raises:
        DataError: a file is damaged, the files differ, or they are no images with classes.
    """
    root = path if path.is_dir() else path.parent
    names = [file.relative_to(root).as_posix() for file in files]
    parts: list[Part] = []
    for file, name in zip(files, names, strict=True):
        with _readable(name):
            parts.append(ParquetPart(file, name, split_in(name) if path.is_dir() else ""))
    return _index(path, parts, wanted, to_train)


def read_saved(path: Path, wanted: Columns, *, to_train: bool = True) -> Index:
    """Return the index of a folder that ``save_to_disk`` wrote, of one data set or of several splits.

    Raises:
        DataError: a file is damaged or missing, or it is no data set of images with classes.
    """
    folders = {"": path}
    if (path / SPLITS).is_file():
        with _readable(path.name):
            named = [str(name) for name in json.loads(_text(path / SPLITS))["splits"]]
        folders = {name: path / name for name in named if re.fullmatch(r"[\w.-]+", name) and name.strip(".")}
    parts: list[Part] = []
    for split, folder in folders.items():
        with _readable(f"{path.name}/{split}".rstrip("/")):
            listed = [str(entry["filename"]) for entry in json.loads(_text(folder / STATE))["_data_files"]]
            for name in listed:
                if not re.fullmatch(r"[\w.-]+\.arrow", name):
                    raise DataError(f"{folder.name}/{STATE} names {name[:60]!r}, which is no file of the folder.")
                shown = f"{split}/{name}".lstrip("/")
                parts.append(ArrowPart(folder / name, shown, split_of(split) if split else ""))
    return _index(path, [part for part in parts if part.split or "" in folders], wanted, to_train)


def _index(path: Path, parts: list[Part], wanted: Columns, to_train: bool) -> Index:
    if not parts:
        raise DataError(f"{path.name} has no files for training, validation or testing: name the splits so.")
    if sum(part.count for part in parts) > ROWS_MAX:
        raise DataError(f"{path.name} has more than {ROWS_MAX:,} rows: split it.")
    first = parts[0]
    features = _features(first.schema)
    kinds = {field.name: _kind(field.type, features.get(field.name, {})) for field in first.schema}
    for part in parts:
        if part.schema.names != first.schema.names:
            raise DataError(f"{part.name} has other columns than {first.name}: give files of one data set.")
    columns = [Column(name, kind) for name, kind in kinds.items()]
    with _readable(path.name):
        if "image" not in kinds.values() or (wanted.image and kinds.get(wanted.image) == "text"):
            return _of_paths(path, parts, kinds, features, wanted, to_train)
        offered = choose(path.name, columns, wanted)
        names = _class_names(features.get(offered.chosen.label, {}))
        splits = split_column(columns)
        rows = (row for part in parts for row in _rows(part, offered.chosen, names, splits))
        return make_index(
            path,
            path.name,
            rows,
            opener=partial(_opened, parts=parts, column=offered.chosen.image),
            class_names=names,
            offered=offered._replace(images=tuple(it for it in offered.images if kinds[it] == "image")),
            to_train=to_train,
        )


def _of_paths(
    path: Path, parts: list[Part], kinds: dict[str, Kind], features: dict[str, Any], wanted: Columns, to_train: bool
) -> Index:
    """Return the index of a parquet file whose images are paths relative to its folder."""
    if len(parts) > 1:
        raise DataError(f"{path.name} has several files without images: give one table of paths.")
    usable: dict[str, Kind] = {name: kind for name, kind in kinds.items() if kind in ("text", "whole", "classes")}
    columns: dict[str, Sequence[str | None]] = {}
    for name in usable:
        names = _class_names(features.get(name, {}))
        columns[name] = [_label(value, names) for value in parts[0].column(name).to_pylist()]
    table = parts[0].path
    label = choose(path.name, [Column(*it) for it in usable.items()], wanted, lambda _: False).chosen.label
    return paths.of_columns(table, columns, usable, wanted, to_train, _class_names(features.get(label, {})))


def _rows(part: Part, chosen: Columns, names: tuple[str, ...], split: str) -> Iterator[Row]:
    labels = part.column(chosen.label).to_pylist()
    splits = part.column(split).to_pylist() if split and not part.split else [part.split] * part.count
    for row, (label, own) in enumerate(zip(labels, splits, strict=True)):
        yield Row(f"{part.name}#{row}", _label(label, names), part.split or split_of(str(own or "")), (0, part.stamp))


def _label(value: Any, names: tuple[str, ...]) -> str | None:
    """Return a label as text; None if there is none. Hugging Face marks images without a class with -1."""
    if value is None or (names and value == -1):
        return None
    if names and isinstance(value, int):
        if not 0 <= value < len(names):
            raise DataError(f"The label {value} has no name among the {len(names)} classes: repair the file.")
        return names[value]
    return str(value)


@contextmanager
def _opened(path: Path, *, parts: list[Part], column: str) -> Iterator[Content]:
    """Yield a function from the name of a row to the bytes of its image."""
    by_name = {part.name: part for part in parts}
    cells: dict[str, _Cells] = {}
    lock = Lock()

    def content(name: str) -> bytes:
        part, _, row = name.rpartition("#")
        with lock, _readable(part):
            if part not in cells:
                cells[part] = by_name[part].cells(column)
            value = cells[part][int(row)]
        value = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(value, bytes):
            raise DataError("The row holds no image, or only the path of one.")
        return value

    try:
        yield content
    finally:
        for one in cells.values():
            one.close()


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Translate the errors of pyarrow and of files with missing parts."""
    try:
        yield
    except DataError:  # DataError is a ValueError
        raise
    except FileNotFoundError as error:
        raise DataError(f"{name} was deleted, or a file of it is missing: put it back.") from error
    except _DAMAGE as error:
        raise DataError(f"{name} is damaged, or not a parquet or Arrow file: write it again.") from error


def _features(schema: pa.Schema) -> dict[str, Any]:
    """Return what Hugging Face datasets wrote about the columns; empty if another program wrote the file."""
    text = (schema.metadata or {}).get(b"huggingface", b"")
    try:
        found = json.loads(text[:_FEATURES_MAX])["info"]["features"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}
    return {str(name): feature for name, feature in found.items() if isinstance(feature, dict)}


def _class_names(feature: dict[str, Any]) -> tuple[str, ...]:
    names = feature.get("names")
    if feature.get("_type") != "ClassLabel" or not isinstance(names, list):
        return ()
    return tuple(map(str, names))


def _kind(kind: pa.DataType, feature: dict[str, Any]) -> Kind:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        return "image"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return "image"
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return "classes" if _class_names(feature) else "whole"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    return "other"


def _text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_FEATURES_MAX).decode("utf-8")
