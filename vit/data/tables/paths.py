"""Tables of paths: a CSV or parquet file whose rows name an image beside it, its class, and perhaps its split."""

import csv
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from charset_normalizer import from_bytes

from vit.config import Columns
from vit.data.files.file_names import has_image_suffix
from vit.data.files.folders import Content, Index
from vit.data.records import Offered, Skipped
from vit.data.tables.columns import Column, Kind, choose, split_column, split_of
from vit.data.tables.labelled import ROWS_MAX, Row, make_index
from vit.errors import DataError

BYTES_MAX = 2**30
"""Largest CSV file."""
_SNIFFED = 2**16
_LOOKED_AT = 50
_DELIMITERS = (",", ";", "\t", "|")
_COLUMNS_MAX = 1000


def read_csv(path: Path, wanted: Columns, *, to_train: bool = True) -> Index:
    """Return the index of a CSV file of paths and classes.

    The delimiter and the encoding are found. Without a line of names, the columns are called ``column 1``, ``column 2``
    and so on.

    Raises:
        DataError: the file is no table of paths of images with classes, or a path leads out of its folder.
    """
    if path.stat().st_size > BYTES_MAX:
        raise DataError(f"{path.name} is larger than {BYTES_MAX // 2**20:,} MB: split it.")
    rows = _cells(path)
    first = next(rows, [])
    if len(first) > _COLUMNS_MAX or len(first) < 2:
        raise DataError(f"{path.name} has {len(first):,} columns: it needs one of paths and one of classes.")
    if any(has_image_suffix(cell) for cell in first):
        names, body = [f"column {number}" for number in range(1, len(first) + 1)], [first]
    else:
        names, body = [cell.strip() for cell in first], []
    body += rows
    if len(set(names)) < len(names):
        raise DataError(f"{path.name} has two columns of the same name: rename one of them.")
    columns: dict[str, Sequence[str | None]] = {
        name: [row[place] if place < len(row) else None for row in body] for place, name in enumerate(names)
    }
    return of_columns(path, columns, {name: _kind(values) for name, values in columns.items()}, wanted, to_train)


def of_columns(
    path: Path,
    columns: dict[str, Sequence[str | None]],
    kinds: dict[str, Kind],
    wanted: Columns,
    to_train: bool,
    class_names: tuple[str, ...] = (),
) -> Index:
    """Return the index of a table of paths, given its columns as text.

    Args:
        path: the file; paths in it are relative to its folder.
        columns: the values of each column; None for a missing one.
        kinds: what each column may hold.
        wanted: the chosen columns.
        to_train: whether training images are needed.
        class_names: names of the classes, in order, if the file has them.

    Raises:
        DataError: the columns are unclear, or a path leads out of the folder.
    """

    def holds_paths(name: str) -> bool:
        values = [value for value in columns[name][:_LOOKED_AT] if value]
        return bool(values) and sum(map(has_image_suffix, values)) > len(values) / 2

    listed = [Column(name, kind) for name, kind in kinds.items()]
    offered = choose(path.name, listed, wanted, holds_paths)
    splits = columns[found] if (found := split_column(listed)) else [""] * len(columns[offered.chosen.image])
    skipped: list[Skipped] = []
    rows = _rows(path, columns, splits, offered, skipped)
    return make_index(
        path,
        path.name,
        rows,
        opener=opened,
        class_names=class_names,
        offered=offered,
        remarks=_remarks(splits, found),
        skipped=skipped,
        to_train=to_train,
    )


@contextmanager
def opened(path: Path) -> Iterator[Content]:
    """Yield a function from a relative path of the table to the path of the file."""
    yield path.parent.joinpath


def _rows(
    path: Path,
    columns: dict[str, Sequence[str | None]],
    splits: Sequence[str | None],
    offered: Offered,
    skipped: list[Skipped],
) -> Iterator[Row]:
    """Yield the rows whose file exists; add the others to ``skipped``."""
    inside = _Inside(path)
    pairs = zip(columns[offered.chosen.image], columns[offered.chosen.label], splits, strict=True)
    for number, (value, label, split) in enumerate(pairs, start=1):
        name = (value or "").strip()
        if not name:
            skipped.append(Skipped(f"row {number}", "The row names no image."))
            continue
        file, stamp = inside.find(name, number)
        if stamp is None:
            skipped.append(Skipped(file, "The file does not exist."))
            continue
        yield Row(file, None if label is None else label.strip(), split_of(split or ""), stamp)


class _Inside:
    """Finds files below the folder of a table; refuses paths that lead out of it."""

    def __init__(self, table: Path) -> None:
        self.name, self.folder = table.name, table.parent
        self.root = os.path.realpath(table.parent)
        self.real: dict[str, str] = {}

    def find(self, name: str, number: int) -> tuple[str, tuple[int, int] | None]:
        """Return the path relative to the folder, and its size and time; None if there is no such file.

        Raises:
            DataError: the path is absolute or leads out of the folder.
        """
        parts = [part for part in re.split(r"[/\\]", name) if part not in ("", ".")]
        if re.match(r"[/\\~]|[A-Za-z]:|[a-z]+://", name) or ".." in parts or "\0" in name or not parts:
            raise self._outside(name, number)
        file = "/".join(parts)
        full = os.path.join(self.folder, *parts)
        try:
            status = os.stat(full)
        except (OSError, ValueError):
            return file, None
        folder = os.path.dirname(full)
        if folder not in self.real:
            self.real[folder] = os.path.realpath(folder)
        real = os.path.realpath(full) if os.path.islink(full) else os.path.join(self.real[folder], parts[-1])
        if os.path.commonpath([self.root, real]) != self.root:
            raise self._outside(name, number)
        if not os.path.isfile(full):
            return file, None
        return file, (status.st_size, status.st_mtime_ns)

    def _outside(self, name: str, number: int) -> DataError:
        return DataError(
            f"Row {number:,} of {self.name} names {name[:80]!r}, which is not below the folder of the table: use paths "
            "relative to it, without '..'."
        )


def _remarks(splits: Sequence[str | None], column: str) -> list[str]:
    unknown = {value for value in splits if value and not split_of(value)}
    if not unknown:
        return []
    few = ", ".join(map(repr, sorted(unknown)[:3]))
    return [f"The column {column!r} names splits that are not train, val or test ({few}): these rows are for training."]


def _cells(path: Path) -> Iterator[list[str]]:
    """Yield the rows of a CSV file that are not empty."""
    with path.open("rb") as file:
        head = file.read(_SNIFFED)
        whole = len(head) < _SNIFFED
    encoding = _encoding(head, path)
    lines = head.decode(encoding, "replace").splitlines()
    first = lines[0] if lines else ""
    delimiter = max(_DELIMITERS, key=first.count)
    read = 0
    try:
        with path.open(encoding=encoding, newline="") as file:
            for row in csv.reader(file, delimiter=delimiter, strict=True):
                if any(cell.strip() for cell in row):
                    read += 1
                    if read > ROWS_MAX:
                        raise DataError(f"{path.name} has more than {ROWS_MAX:,} rows: split it.")
                    yield row
    except csv.Error as error:
        raise DataError(f"{path.name} is damaged after row {read:,} ({error}): save it again as CSV.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} is not text in UTF-8{'' if whole else ' throughout'}: save it again.") from error


def _encoding(head: bytes, path: Path) -> str:
    """Return the encoding of a text by its beginning, which may end within a character."""
    for encoding in ("utf-8-sig", "utf-16"):
        if encoding == "utf-16" and head[:2] not in (b"\xff\xfe", b"\xfe\xff"):
            continue
        try:
            head[: len(head) - 4 if len(head) == _SNIFFED else None].decode(encoding)
        except UnicodeDecodeError as error:
            if error.start < len(head) - 8:
                continue
        return encoding
    found = from_bytes(head).best()
    if found is None or b"\0" in head:
        raise DataError(f"{path.name} is not a text: save the table as CSV in UTF-8.")
    return found.encoding


def _kind(values: Sequence[str | None]) -> Kind:
    """Return whether values are whole numbers or other text."""
    filled = [value.strip() for value in values[:_LOOKED_AT] if value and value.strip()]
    return "whole" if filled and all(re.fullmatch(r"[-+]?\d+", value) for value in filled) else "text"
