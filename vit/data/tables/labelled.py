"""Make the index of a data set from rows that name an image, its class and its split."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from vit.data.files.file_names import by_number
from vit.data.files.folders import File, Index, Opener
from vit.data.records import Offered, Skipped
from vit.errors import DataError, SettingsError
from vit.support.untrusted_text import check_classes

ROWS_MAX = 10_000_000
CLASSES_MAX = 100_000
_OWN_CLASS_SHARE = 0.5
"""If more than this share of many labels differ, they are no classes but texts or numbers of images."""
_FEW = 200


class Row(NamedTuple):
    """An image of a table: its name, its class (None if it has none), its split (empty for none) and its stamp."""

    file: str
    label: str | None
    split: str
    stamp: tuple[int, int]


def make_index(
    path: Path,
    name: str,
    rows: Iterable[Row],
    *,
    opener: Opener,
    class_names: tuple[str, ...] = (),
    offered: Offered | None = None,
    remarks: Iterable[str] = (),
    skipped: Iterable[Skipped] = (),
    to_train: bool = True,
) -> Index:
    """Return the index of these rows.

    Args:
        path: the file or folder.
        name: what it is called in messages.
        rows: the images; an image that occurs twice with the same class counts once.
        opener: opens the collection to read images.
        class_names: names of numbered classes, in order; without them the names are those of the rows.
        offered: the columns.
        remarks: sentences about how the collection was read.
        skipped: files that are left out.
        to_train: whether training images are needed.

    Raises:
        DataError: there are fewer than two classes, an image has two classes, or there are no training images.
    """
    found: dict[str, Row] = {}
    unlabelled = 0
    for row in rows:
        if row.label is None or not row.label.strip():
            unlabelled += 1
        elif (first := found.setdefault(row.file, row)).label != row.label:
            raise DataError(
                f"{name} gives {row.file!r} two classes, {first.label!r} and {row.label!r}: give each image one class."
            )
        if len(found) > ROWS_MAX:
            raise DataError(f"{name} has more than {ROWS_MAX:,} images: split it.")
    labels = dict.fromkeys(str(row.label) for row in found.values())
    if len(labels) > CLASSES_MAX or (len(found) > _FEW and len(labels) > _OWN_CLASS_SHARE * len(found)):
        column = f" of the column {offered.chosen.label!r}" if offered else ""
        raise DataError(
            f"The labels{column} of {name} have {len(labels):,} different values for {len(found):,} images: choose a "
            "column of classes."
        )
    used = [label for label in class_names if label in labels] or by_number([*labels])
    if len(used) < 2:
        only = f" ({used[0]!r})" if used else ""
        raise DataError(f"{name} has {len(used)} class{'' if used else 'es'}{only}: images of two or more are needed.")
    try:
        check_classes(tuple(used))
    except SettingsError as error:
        raise DataError(f"The classes of {name} cannot be used. {error}") from error
    place = {label: index for index, label in enumerate(used)}
    splits: dict[str, list[File]] = {"train": [], "val": [], "test": []}
    for row in found.values():
        splits[row.split or "train"].append(File(row.file, place[str(row.label)], row.stamp))
    if unlabelled:
        many = unlabelled != 1
        remarks = (*remarks, f"{unlabelled:,} image{'s have' if many else ' has'} no class and {_are(many)} left out.")
    if not splits["train"] and to_train:
        only = next(split for split, files in splits.items() if files)
        if sum(map(bool, splits.values())) > 1:
            raise DataError(f"{name} has no training images: name one of its splits train.")
        remarks = (*remarks, f"The only split of the images is {only}: one in five is used for validation.")
        splits = {"train": splits[only], "val": [], "test": []}
    if splits["test"] and not splits["val"]:
        splits["val"] = splits["test"]
        remarks = (*remarks, "There is no split for validation, so the test images are used.")
    return Index(
        path,
        name,
        tuple(used),
        tuple(splits["train"]),
        tuple(splits["val"]),
        tuple(splits["test"]),
        skipped=tuple(skipped),
        remarks=tuple(remarks),
        opener=opener,
        offered=offered,
    )


def _are(many: bool) -> str:
    return "are" if many else "is"
