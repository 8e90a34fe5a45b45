"""The classes of a model: whether it has any, their names, and which of them a data set has.

A published model may have a thousand classes, classes without names, or no classification head.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from vit.config import ModelConfig, RunConfig
from vit.errors import DataError, ExplainError

NO_CLASSES = (
    "This model gives features without classes, because it has no classification head, so it has no class "
    "probabilities: look at its attention and its tokens, or fine-tune it, which gives it classes."
)
"""True of published models of features and of runs that were trained without labels."""

ONE_OUTPUT = (
    "This model has a single output, a number, so it has no classes and no class probabilities: look at its attention "
    "and its tokens, or at the relevance maps that vit.explain computes of the number."
)

LISTED = 8
"""Maximum of class names in an error message."""


def has_one_output(config: ModelConfig) -> bool:
    """Return whether the network computes a single number (regression), so that a softmax would always give 100 %."""
    return config.num_classes == 1


def require_classes(config: ModelConfig) -> None:
    """Raise an ExplainError (a TypeError) unless the network predicts one of several classes."""
    require_output(config)
    if has_one_output(config):
        raise ExplainError(ONE_OUTPUT)


def require_output(config: ModelConfig) -> None:
    """Raise an ExplainError (a TypeError) unless the network has a head: for classes, or for a single number."""
    if not config.num_classes:
        raise ExplainError(NO_CLASSES)


def class_names_of(config: RunConfig) -> tuple[str, ...]:
    """Return the names of a run's classes in the order of the logits; ``class 0``, ... if they have no names.

    A network without a head has no classes, even if its images have some; nor has one with a single output.
    """
    if not config.model.num_classes or has_one_output(config.model):
        return ()
    return config.data.class_names or tuple(f"class {index}" for index in range(config.model.num_classes))


def index_of(name: str, ours: tuple[str, ...]) -> int | None:
    """Return the index of the model's class that a name means, as in :func:`match_classes`; None if there is none."""
    return ours.index(name) if name in ours else _known(ours).get(_plain(name))


def match_classes(theirs: Sequence[str], ours: Sequence[str], source: str) -> np.ndarray:
    """Return the model's class of each class of a data set: ``(classes)`` int64 indices.

    A name matches a class if it is the whole name, or one of several names separated by commas, as in ImageNet's
    "tabby, tabby cat". Capitals and underscores are ignored. If several classes match, the first one with this whole
    name is taken, otherwise the first one that lists it.

    Args:
        theirs: class names of the data set.
        ours: class names of the model.
        source: the name of the data set, for the error message.

    Raises:
        DataError: the model does not have one of the classes.
    """
    found = [index_of(name, tuple(ours)) for name in theirs]
    if unknown := [name for name, index in zip(theirs, found, strict=True) if index is None]:
        raise DataError(
            f"The data set {source!r} has classes that the model was not trained on ({join_names(unknown)}): its "
            f"classes are {join_names(theirs)}, and the model's are {join_names(ours)}."
        )
    return np.array(found, dtype=np.int64)


@lru_cache(maxsize=16)
def _known(ours: tuple[str, ...]) -> dict[str, int]:
    """Return the class index by every possible name; whole names take precedence."""
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
    """Return the first :data:`LISTED` names, separated by commas, and the number of further ones."""
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
