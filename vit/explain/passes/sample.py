"""Choose labelled images of a split, and process them in batches, one batch on each core."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from vit.config import TransformerConfig
from vit.data.batches import normalise
from vit.data.records import Split
from vit.data.sampling import spread
from vit.errors import DataError
from vit.explain.passes.parallel import Meter, in_parallel
from vit.networks import Network

if TYPE_CHECKING:  # it would bring the trainer
    from vit.runs.weights import CheckpointInfo

BATCH_MAX = 64
BATCH_NUMBERS = 2**18
"""Maximum of numbers in the tokens of a batch; larger batches no longer fit into the processor's cache."""

RANKED, MEASURED = slice(0, None, 2), slice(1, None, 2)
"""Two disjoint halves of the images: heads are ranked on one, and the ranking is evaluated on the other."""

Progress = Callable[[int, int], None]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Sample:
    """Images of a split, in batches.

    Attributes:
        split: the source of the images; each batch is read when it is needed.
        rows: ``(images)``, indices of the images in the split, ascending.
        size: images in a batch.
        mean, std: normalisation of the images.
        device: the device of the batches.
    """

    split: Split
    rows: np.ndarray
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    device: torch.device

    @property
    def images(self) -> int:
        return len(self.rows)

    def __len__(self) -> int:
        return -(-len(self.rows) // self.size)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return images ``(b c h w)`` float32, normalised, and labels ``(b)`` int64."""
        rows = self.rows[step * self.size : (step + 1) * self.size]
        images = torch.from_numpy(self.split.images[rows]).to(self.device)
        labels = torch.from_numpy(np.asarray(self.split.labels[rows], dtype=np.int64)).to(self.device)
        return normalise(images, self.mean, self.std), labels


def sample(
    model: Network, info: "CheckpointInfo", split: Split, count: int | None = None, part: slice = slice(None)
) -> Sample:
    """Choose a stratified sample of a split for a model, always the same one.

    Args:
        model: the network, which determines the batch size and the device.
        info: the normalisation of the model's images.
        split: the labelled images.
        count: number of images; None means all.
        part: which of these images to keep; :data:`RANKED` and :data:`MEASURED` are disjoint halves.

    Raises:
        DataError: there are none.
    """
    rows, config = spread(np.asarray(split.labels), count, 0)[part], model.config
    if not len(rows):
        raise DataError("There are too few validation images to measure anything on: add some to the data set.")
    size = BATCH_MAX
    if isinstance(config, TransformerConfig):
        size = min(size, max(1, BATCH_NUMBERS // (config.num_tokens * config.embed_dim)))
    return Sample(split, rows, size, info.mean, info.std, next(model.parameters()).device)


def each_batch(
    work: Callable[[Tensor, Tensor], Result], sample: Sample, progress: Progress | None = None
) -> list[Result]:
    """Return ``work(images, labels)`` for every batch, in their order; ``progress(done, total)`` counts batches."""
    return each_batch_counted(lambda images, labels, _: work(images, labels), sample, 0, progress)


def each_batch_counted(
    work: Callable[[Tensor, Tensor, Callable[[], None]], Result],
    sample: Sample,
    steps: int,
    progress: Progress | None = None,
) -> list[Result]:
    """Like :func:`each_batch`, for work that takes long: it reports ``steps`` steps in each batch.

    ``work`` calls its third argument after each step, and ``progress(done, total)`` counts these steps. An exception
    that ``progress`` raises ends the work at the next step.
    """
    meter = Meter(len(sample) * max(1, steps))

    def run(step: int) -> Result:
        result = work(*sample.batch(step), lambda: meter.add(1))
        if not steps:
            meter.add(1)
        return result

    return in_parallel(run, range(len(sample)), meter, progress)
