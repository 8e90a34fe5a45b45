"""Which columns of a table hold the images, the classes and the splits."""

import re
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from vit.config import Columns
from vit.data.files.layout import TEST, TRAIN, VAL
from vit.data.records import Offered
from vit.errors import DataError

Kind = Literal["image", "text", "classes", "whole", "other"]
"""Images as bytes; text, which may be a path or a class; numbered classes with names; whole numbers; other values."""

Names = tuple[str, ...]

_IMAGE_NAMES: Names = ("image", "img", "jpg", "png", "picture", "photo", "image_path", "path", "filepath", "file_path")
_IMAGE_NAMES += ("file_name", "filename", "file", "image_file", "image_name", "image_id")
_LABEL_NAMES: Names = (
    "label",
    "labels",
    "class",
    "cls",
    "target",
    "category",
    "class_name",
    "label_name",
    "fine_label",
    "y",
)
_LABEL_NAMES += ("json.label", "json.class", "json.cls")
_SPLIT_NAMES = ("split", "set", "subset", "partition", "phase")


class Column(NamedTuple):
    """A column of a table and what it may hold."""

    name: str
    kind: Kind


class UnclearColumns(DataError):
    """It is not clear which columns hold the images and the classes.

    Attributes:
        offered: the columns to choose from; of the chosen ones, those that are not clear are empty.
    """

    def __init__(self, sentence: str, offered: Offered) -> None:
        super().__init__(sentence)
        self.offered = offered


def choose(
    name: str, columns: Iterable[Column], wanted: Columns, holds_paths: Callable[[str], bool] = lambda _: False
) -> Offered:
    """Return the columns to use: the wanted ones, or those that their types and names suggest.

    Args:
        name: what the table is called in messages.
        columns: all columns.
        wanted: the chosen ones; a column without a name is to be found.
        holds_paths: returns whether the values of a text column look like paths of images.

    Raises:
        UnclearColumns: a wanted column does not exist, or it is not clear which one is meant.
    """
    kinds = {column.name: column.kind for column in columns}
    of_bytes = [column for column, kind in kinds.items() if kind == "image"]
    texts = [column for column, kind in kinds.items() if kind == "text"]
    images = of_bytes or [column for column in texts if holds_paths(column)] or _named(texts, _IMAGE_NAMES)
    image = wanted.image or next(iter([*_named(images, _IMAGE_NAMES), *images]), "")
    labels = [
        column
        for column, kind in kinds.items()
        if kind in ("classes", "whole", "text") and column != image and column.lower() not in _SPLIT_NAMES
    ]
    classes = [column for column in labels if kinds[column] == "classes"]
    named = _named(labels, _LABEL_NAMES)
    only = labels if len(labels) == 1 else []
    label = wanted.label or next(iter([*_named(classes, _LABEL_NAMES), *classes, *named, *only]), "")
    others = tuple(column for column in (*images, *texts) if column != label)
    offered = Offered(_unique(image, *others), _unique(label, *labels), Columns(image, label))
    for column in wanted:
        if column and column not in kinds:
            known = Columns(*("" if it not in kinds else it for it in wanted))
            unclear = offered._replace(images=_unique(*others), labels=_unique(*labels), chosen=known)
            raise UnclearColumns(f"{name} has no column {column[:60]!r}: choose one of {_listed(kinds)}.", unclear)
    if not image:
        among = _listed(offered.images or kinds)
        raise UnclearColumns(
            f"{name} does not say which column holds images or paths: choose one of {among} (--image-column).",
            offered,
        )
    if not label:
        among = _listed(offered.labels or kinds)
        raise UnclearColumns(
            f"{name} does not say which column holds the classes: choose one of {among} (--label-column).", offered
        )
    if label == image:
        raise UnclearColumns(f"The column {label!r} cannot be both the image and the class: choose two.", offered)
    return offered


def split_column(columns: Iterable[Column]) -> str:
    """Return the column that names the split of each row; empty if there is none."""
    return next(iter(_named([column.name for column in columns if column.kind == "text"], _SPLIT_NAMES)), "")


def split_of(name: str) -> str:
    """Return the split that a name of a split means: ``train``, ``val`` or ``test``; empty if it means none of them."""
    lower = name.strip().lower()
    return next(
        (split for split, names in (("train", TRAIN), ("val", VAL), ("test", TEST)) if lower in names),
        "",
    )


def split_in(name: str) -> str:
    """Return the split in the path of a file, such as ``data/train-00000-of-00002.parquet``; empty for none."""
    words = re.split(r"[^a-z]+", name.lower())
    return next((split for word in words if (split := split_of(word))), "")


def _named(columns: list[str], names: tuple[str, ...]) -> list[str]:
    """Return the columns with one of the names, in the order of the names."""
    return sorted((it for it in columns if it.lower() in names), key=lambda it: names.index(it.lower()))


def _unique(*names: str) -> Names:
    return tuple(dict.fromkeys(name for name in names if name))


def _listed(names: Iterable[str]) -> str:
    found = [repr(name[:60]) for name in names]
    return ", ".join(found[:12]) + (f" and {len(found) - 12} more" if len(found) > 12 else "")
