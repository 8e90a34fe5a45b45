"""WebDataset: tar files whose members ``0001.jpg`` and ``0001.cls`` are one sample.

Only images, and labels in text or JSON, are read. Members of other types, such as the pickles ``.pkl``, ``.pyd`` and
``.pth``, are never opened.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, NamedTuple

from vit.config import Columns
from vit.data.files.file_names import IMAGE_SUFFIXES
from vit.data.files.folders import Content, Index
from vit.data.files.images import FILE_BYTES_MAX
from vit.data.tables import tar
from vit.data.tables.columns import Column, choose, split_in
from vit.data.tables.labelled import ROWS_MAX, Row, make_index
from vit.errors import DataError

SHARDS_MAX = 10_000
CLASS_FILES = ("classes.txt", "classnames.txt", "labels.txt", "class_names.txt")
"""Files beside the shards with the name of one class in each line."""

_LABEL_BYTES_MAX, _JSON_BYTES_MAX, _CLASSES_BYTES_MAX = 2**12, 2**18, 2**22
_TEXTS = ("cls", "txt", "text", "label", "class")
"""Types of members that may hold a label as text."""
_PROGRAMS = ("pkl", "pickle", "pyd", "pth", "pt", "ten", "npy", "npz", "mp")
_KEY = re.compile(r"(.*?[^/.][^/]*?)\.([^/]+)", re.DOTALL)
"""As WebDataset: the key of a sample ends at the first dot of the file's name."""


class _Sample(NamedTuple):
    """The members of a sample by their type."""

    key: str
    shard: int
    members: dict[str, tar.Member]


def read_shards(path: Path, files: Sequence[Path], wanted: Columns, *, to_train: bool = True) -> Index:
    """Return the index of one or several shards, whose names may tell their split: ``train-000000.tar``.

    Args:
        path: the shard, or the folder of the shards.
        files: the shards.
        wanted: types of members that hold the image and the class, such as ``jpg`` and ``cls``, or ``json.label`` for
            an entry of a JSON member.
        to_train: whether training images are needed.

    Raises:
        DataError: a shard is damaged or compressed, or has no images with classes.
    """
    if len(files) > SHARDS_MAX:
        raise DataError(f"{path.name} has {len(files):,} shards, but at most {SHARDS_MAX:,} are allowed.")
    root = path if path.is_dir() else path.parent
    names = [file.relative_to(root).as_posix() for file in files]
    samples = [sample for number, file in enumerate(files) for sample in _samples(file, number)]
    if len(samples) > ROWS_MAX:
        raise DataError(f"{path.name} has more than {ROWS_MAX:,} samples: split it.")
    if not samples:
        raise DataError(f"{path.name} is empty, or its members are not named as in WebDataset: 0001.jpg, 0001.cls.")
    types = Counter(kind for sample in samples for kind in sample.members)
    offered = choose(path.name, _columns(files, samples, types), wanted)
    # Shards may hold several formats, such as jpg and png: each sample's own image is then used.
    image = wanted.image or (offered.chosen.image if types[offered.chosen.image] == len(samples) else "")
    offered = offered._replace(chosen=Columns(image, offered.chosen.label))
    class_names = _class_names(root)
    places: dict[str, _Place] = {}
    rows = _rows(files, names, samples, places, image, offered.chosen.label, class_names)
    if path.is_file():
        rows = (row._replace(split="") for row in rows)
    unused = sorted(kind for kind in types if kind.split(".")[-1] in _PROGRAMS)
    return make_index(
        path,
        path.name,
        rows,
        opener=partial(_opened, places=places),
        class_names=class_names,
        offered=offered,
        remarks=[f"Members of the type {', '.join(unused)} are not read: they can hold programs."] if unused else [],
        to_train=to_train,
    )


class _Place(NamedTuple):
    """Where the image of a sample is."""

    shard: Path
    offset: int
    size: int


@contextmanager
def _opened(path: Path, *, places: dict[str, _Place]) -> Iterator[Content]:
    """Yield a function from the name of a sample to the bytes of its image."""
    lock = Lock()
    with ExitStack() as stack:
        files: dict[Path, BinaryIO] = {}

        def content(name: str) -> bytes:
            shard, offset, size = places[name]
            if size > FILE_BYTES_MAX:
                raise DataError(f"The image is larger than {FILE_BYTES_MAX // 2**20} MB: use a smaller file.")
            try:
                with lock:
                    if shard not in files:
                        files[shard] = stack.enter_context(shard.open("rb"))
                    return _read(files[shard], offset, size)
            except OSError as error:
                raise DataError(f"{shard.name} cannot be read: {error.strerror or error}.") from error

        yield content


def _read(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)


def _samples(file: Path, number: int) -> Iterator[_Sample]:
    """Yield the samples of a shard: members with the same key that follow each other."""
    key = ""
    found: dict[str, tar.Member] = {}
    for member in tar.members(file):
        if not (parts := _KEY.fullmatch(member.name)):
            continue
        if parts[1] != key:
            if found:
                yield _Sample(key, number, found)
            key, found = parts[1], {}
        found[parts[2].lower()] = member
    if found:
        yield _Sample(key, number, found)


def _columns(files: Sequence[Path], samples: list[_Sample], types: Counter[str]) -> list[Column]:
    """Return the types of members as columns, and the entries of the first JSON member as ``json.NAME``."""
    columns = [Column(kind, "image") for kind, _ in types.most_common() if f".{kind.split('.')[-1]}" in IMAGE_SUFFIXES]
    columns += [Column(kind, "whole" if kind == "cls" else "text") for kind in types if kind in _TEXTS]
    first = next((sample for sample in samples if "json" in sample.members), None)
    if first is not None:
        with files[first.shard].open("rb") as file:
            entries = _json(file, first.members["json"])
        for name, value in entries.items():
            if isinstance(value, str | int):
                columns.append(Column(f"json.{name}", "text" if isinstance(value, str) else "whole"))
    return columns


def _rows(
    files: Sequence[Path],
    names: list[str],
    samples: list[_Sample],
    places: dict[str, _Place],
    image: str,
    label: str,
    class_names: tuple[str, ...],
) -> Iterator[Row]:
    """Yield the samples with an image, shard by shard; write where their images are into ``places``."""
    handle, current = None, -1
    stamps = [file.stat().st_mtime_ns for file in files]
    splits = [split_in(name) for name in names]
    try:
        for sample in samples:
            kind = image or next((kind for kind in sample.members if f".{kind.split('.')[-1]}" in IMAGE_SUFFIXES), "")
            if kind not in sample.members:
                continue
            if sample.shard != current:
                if handle:
                    handle.close()
                current, handle = sample.shard, files[sample.shard].open("rb")
            member = sample.members[kind]
            name = f"{names[current]}/{sample.key}.{kind}"
            places.setdefault(name, _Place(files[current], member.offset, member.size))
            assert handle is not None
            found = _label(handle, sample, label, class_names)
            yield Row(name, found, splits[current], (member.offset, stamps[current]))
    finally:
        if handle:
            handle.close()


def _label(file: BinaryIO, sample: _Sample, label: str, class_names: tuple[str, ...]) -> str | None:
    """Return the class of a sample; None if it has none.

    Raises:
        DataError: the label is too long, or a number without a name.
    """
    kind, _, entry = label.partition(".")
    member = sample.members.get(kind if kind == "json" and entry else label)
    if member is None:
        return None
    if entry and kind == "json":
        value = _json(file, member).get(entry)
        found = str(value) if isinstance(value, str | int) else ""
    else:
        if member.size > _LABEL_BYTES_MAX:
            raise DataError(f"The label of the sample {sample.key!r} has {member.size:,} bytes: it is no class.")
        found = _read(file, member.offset, member.size).decode("utf-8", "replace").strip()
    if class_names and found.isdecimal():
        if int(found) >= len(class_names):
            raise DataError(f"The label {found} has no name among the {len(class_names)} classes: add it to the list.")
        return class_names[int(found)]
    return found or None


def _json(file: BinaryIO, member: tar.Member) -> dict[str, Any]:
    """Return the entries of a JSON member.

    Raises:
        DataError: it is too long, or no JSON object.
    """
    if member.size > _JSON_BYTES_MAX:
        raise DataError(f"The member {member.name!r} has {member.size:,} bytes, more than a label needs.")
    try:
        found = json.loads(_read(file, member.offset, member.size))
    except (ValueError, RecursionError) as error:
        raise DataError(f"The member {member.name!r} is not JSON: write the shard again.") from error
    return found if isinstance(found, dict) else {}


def _class_names(folder: Path) -> tuple[str, ...]:
    """Return the names of numbered classes in a file beside the shards; empty if there is none."""
    for name in CLASS_FILES:
        path = folder / name
        if path.is_file():
            with path.open("rb") as file:
                text = file.read(_CLASSES_BYTES_MAX).decode("utf-8", "replace")
            return tuple(line.strip() for line in text.splitlines() if line.strip())
    return ()
