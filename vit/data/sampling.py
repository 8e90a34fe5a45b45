"""Choose images of a data set: seeded and stratified by class."""

import numpy as np

from vit.errors import DataError

VAL_SHARE = 0.2


def split_off(labels: np.ndarray, class_names: tuple[str, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows for training and for validation; validation gets one in five of each class, at least one.

    Args:
        labels: (n,) class of each row.
        class_names: names of the classes.
        seed: seed of the choice.

    Raises:
        DataError: a class has only one image, which cannot be in both splits.
    """
    train, val = [], []
    for label, name in enumerate(class_names):
        rows = np.flatnonzero(labels == label)
        if len(rows) < 2:
            raise DataError(
                f"The class {name!r} has only one image: add images, since training and validation need one each."
            )
        rows = np.random.default_rng([seed, label]).permutation(rows)
        count = max(1, round(VAL_SHARE * len(rows)))
        val.append(rows[:count])
        train.append(rows[count:])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(val))


def subset(labels: np.ndarray, count: int | None, seed: int) -> np.ndarray:
    """Return the sorted rows of a stratified choice of ``count`` images; all rows if ``count`` is None or too large.

    Raises:
        DataError: ``count`` is smaller than the number of classes.
    """
    if count is None or count >= len(labels):
        return np.arange(len(labels))
    sizes = np.bincount(labels)
    if count < np.count_nonzero(sizes):
        raise DataError(
            f"{count} images are too few for {np.count_nonzero(sizes)} classes: choose one per class or more."
        )
    # Largest remainder: quotas add up to the count, differ from proportional by less than one, and are at least one.
    exact = sizes * (count / len(labels))
    quota = np.maximum(np.floor(exact).astype(int), sizes > 0)
    while quota.sum() != count:
        error = exact - quota
        if quota.sum() < count:
            quota[np.argmax(np.where(quota < sizes, error, -np.inf))] += 1
        else:
            quota[np.argmin(np.where(quota > 1, error, np.inf))] -= 1
    chosen = [
        np.random.default_rng([seed, label, 1]).permutation(np.flatnonzero(labels == label))[:take]
        for label, take in enumerate(quota)
    ]
    return np.sort(np.concatenate(chosen))


def spread(labels: np.ndarray, count: int | None, seed: int) -> np.ndarray:
    """Return :func:`subset`, or with fewer images than classes the sorted rows of one image each of some classes.

    It is for measurements, which need no image of every class.
    """
    present = np.unique(labels)
    if count is None or count >= len(present):
        return subset(labels, count, seed)
    random = np.random.default_rng([seed, count])
    first = {int(labels[row]): row for row in random.permutation(len(labels))}
    return np.sort([first[int(label)] for label in random.permutation(present)[:count]])
