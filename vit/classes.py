"""The classes that a model names: whether it has any, what they are called, and which a data set shares with it.

A published model may have a thousand classes, classes without names, or no head at all.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from vit.config import ModelConfig, RunConfig
from vit.errors import DataError, ExplainError

NO_CLASSES = (
    "This model was published as features, without classes, so it has no answer whose probability could be told: look "
    "at its attention and its tokens, or fine-tune it, which gives it classes of your own."
)

LISTED = 8
"""An error names so many classes of each side."""


def require_classes(config: ModelConfig) -> None:
    """Raise an ExplainError, a TypeError, unless the network has a head that names classes."""
    if not config.num_classes:
        raise ExplainError(NO_CLASSES)


def class_names_of(config: RunConfig) -> tuple[str, ...]:
    """What a run's classes are called, in the order of its logits; by their number from 0 where nobody named them."""
    return config.data.class_names or tuple(f"class {index}" for index in range(config.model.num_classes))


def index_of(name: str, ours: tuple[str, ...]) -> int | None:
    """Which of the model's classes a name means, as in :func:`match_classes`; None where it means none."""
    return ours.index(name) if name in ours else _known(ours).get(_plain(name))


def match_classes(theirs: Sequence[str], ours: Sequence[str], source: str) -> np.ndarray:
    """Which of the model's classes each class of a data set is: ``(classes)`` int64.

    A class is meant by its whole name, or by one of the names that it lists with commas between, as ImageNet's
    "tabby, tabby cat" does; capitals and underscores do not count. A name that two classes share means the first whose
    whole name it is, else the first that lists it.

    Args:
        source: what the data set is called in an error.

    Raises:
        DataError: the model does not know one of them.
    """
    found = [index_of(name, tuple(ours)) for name in theirs]
    if unknown := [name for name, index in zip(theirs, found, strict=True) if index is None]:
        raise DataError(
            f"The data set {source!r} has classes that the model was not trained on ({join_names(unknown)}): its classes "
            f"are {join_names(theirs)}, and the model's are {join_names(ours)}."
        )
    return np.array(found, dtype=np.int64)


@lru_cache(maxsize=16)
def _known(ours: tuple[str, ...]) -> dict[str, int]:
    """Every name that a class may be meant by; whole names come first."""
    known: dict[str, int] = {}
    for index, name in enumerate(ours):
        known.setdefault(_plain(name), index)
    for index, name in enumerate(ours):
        for one in name.split(","):
            known.setdefault(_plain(one), index)
    return known


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())


def join_names(names: Sequence[str]) -> str:
    """The first :data:`LISTED` of some names, and how many there are besides."""
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
