"""The answers of a run's kept weights to its validation images, stored in the run's folder."""

from collections.abc import Callable

import numpy as np

from vit.data import Split
from vit.evaluation import Evaluation, evaluate
from vit.networks import Network
from vit.results.kinds import BYTES_MAX, Array, Arrays, Kind
from vit.results.stored import StoredResult, stored_result
from vit.runs.run import Run
from vit.runs.weights import CheckpointInfo

SUM_ERROR = 1e-3
"""How much the probabilities of an image may differ from a sum of 1."""

Progress = Callable[[int, int], None]


def _pack(found: Evaluation) -> Arrays:
    names = np.array(found.class_names)
    return {
        "names": names,
        "labels": found.labels.astype(np.int64),
        "probabilities": found.probabilities,
        "loss": np.array(found.loss, dtype=np.float64),
    }


def _unpack(arrays: Arrays) -> Evaluation:
    labels, probabilities, loss = arrays["labels"], arrays["probabilities"], float(arrays["loss"])
    if not (probabilities >= 0).all() or (np.abs(probabilities.sum(axis=1) - 1) > SUM_ERROR).any() or loss < 0:
        raise ValueError("The probabilities or the loss are impossible.")
    if not ((labels >= 0) & (labels < probabilities.shape[1])).all():
        raise ValueError("The labels are not those of classes.")
    return Evaluation(tuple(arrays["names"].tolist()), labels, probabilities, loss)


ANSWERS: Kind[Evaluation] = Kind(
    "answers",
    {
        "names": Array("str", "classes"),
        "labels": Array("int64", "images"),
        "probabilities": Array("float32", "images classes"),
        "loss": Array("float64"),
    },
    _pack,
    _unpack,
)


def stored_answers(run: Run, split: Split) -> StoredResult[Evaluation]:
    """Return where a run's answers to its validation images are stored.

    Args:
        run: the run.
        split: the images, with the labels of the run's classes.
    """
    return stored_result(run, ANSWERS, split)


def fits(run: Run, split: Split) -> bool:
    """Return whether the answers are small enough to be stored."""
    return len(split) * (4 * run.config.model.num_classes + 8) <= BYTES_MAX


def answers(
    run: Run, model: Network, info: CheckpointInfo, split: Split, *, progress: Progress | None = None
) -> Evaluation:
    """Return a run's answers to its validation images: the stored ones, or new ones.

    Args:
        run: the run.
        model: its network, with the kept weights.
        info: its checkpoint information.
        split: its validation images.
        progress: called with (done, total) in images while new answers are computed.
    """
    return stored_answers(run, split).read() or evaluate(model, info, split, progress=progress)
