"""Which images of a data set are taken: seeded, stratified by class, the same ones each time."""

import numpy as np

from vit.errors import DataError

VAL_SHARE = 0.2


def split_off(labels: np.ndarray, class_names: tuple[str, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows for training and rows for validation, one in five of each class and at least one.

    Args:
        labels: (n,) class of each row.

    Raises:
        DataError: a class has a single image, so that it cannot be in both.
    """
    train, val = [], []
    for label, name in enumerate(class_names):
        rows = np.flatnonzero(labels == label)
        if len(rows) < 2:
            raise DataError(
                f"The class {name!r} has a single image: it needs at least two, one to train on and one to validate."
            )
        rows = np.random.default_rng([seed, label]).permutation(rows)
        count = max(1, round(VAL_SHARE * len(rows)))
        val.append(rows[:count])
        train.append(rows[count:])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(val))


def subset(labels: np.ndarray, count: int | None, seed: int) -> np.ndarray:
    """Sorted rows of a stratified choice of ``count`` images; all rows where ``count`` is None or larger than all.

    Raises:
        DataError: fewer images than classes.
    """
    if count is None or count >= len(labels):
        return np.arange(len(labels))
    sizes = np.bincount(labels)
    if count < np.count_nonzero(sizes):
        raise DataError(f"{count} images cannot show {np.count_nonzero(sizes)} classes: choose at least one of each.")
    # Largest remainder: quotas add up to the count, each within one of proportional, and none is left without.
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
