"""Record the attention of a few validation images while a network trains.

It is recorded in the process that trains, between two steps, with the weights that are validated and kept. Nothing of
the training changes: the pass is in eval mode and draws no random numbers. A record is left out if all of them together
would take more than a fixed share of the training time and a fraction of a second; the last one is always made.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from vit.config import ModelConfig, TransformerConfig
from vit.data import Split
from vit.data.batches import Batches
from vit.runs.example import quantise
from vit.runs.live_maps import LiveMaps

EVERY = 5.0
"""Seconds of training between two records."""
SHARE = 0.012
"""Most of the training time that records may take, writing them included."""
ADVANCE = 0.25
"""Seconds that the first records may take beyond their share, since a library may have to load for them."""
LATEST = 10.0
"""If records are so slow that the next one would come later than this, in seconds, they have fewer images."""
IMAGES = 4
"""Number of images whose attention is recorded."""
WEIGHTS_MAX = 8_000_000
"""Most attention weights of one pass. With more, fewer images are recorded, and no image of a very large network."""
STORED_MAX = 2_000_000
"""Most attention weights that are stored. With more, only the summary token's are."""


def watched_rows(split: Split, model: ModelConfig) -> tuple[int, ...]:
    """Return the validation images to watch: the first one of each class, and further ones if there are few classes.

    Returns:
        Up to :data:`IMAGES` rows of the split; none for a network without attention, or if its attention is too large.
    """
    if not isinstance(model, TransformerConfig):
        return ()
    most = min(IMAGES, WEIGHTS_MAX // (model.depth * model.num_heads * model.num_tokens**2))
    first = np.unique(np.asarray(split.labels), return_index=True)[1].tolist()
    rest = [row for row in range(min(len(split), 2 * IMAGES)) if row not in first]
    return tuple((first + rest)[:most])


class Watch:
    """Decides when the attention is recorded, and records it.

    Args:
        rows: the validation images, as :func:`watched_rows` chooses them; of slow networks only the first ones.
        every: seconds between two records; an event of the training may ask for one earlier.
        share: the most of the training time that records may take.

    Attributes:
        spent: seconds that records have taken, writing them included.
    """

    def __init__(self, rows: Sequence[int], *, every: float = EVERY, share: float = SHARE) -> None:
        self._all = torch.tensor(rows, dtype=torch.long)
        self.rows, self.every, self.share = self._all, every, share
        self.spent = 0.0
        self._began = time.monotonic()
        self._last = -float("inf")
        self._cost = 0.0
        self._recorded = -1

    def begin(self) -> None:
        """Start the clock: the training begins."""
        self._began = time.monotonic()

    def due(self, step: int, *, asked: bool = False, last: bool = False) -> bool:
        """Return whether to record now.

        Args:
            step: steps taken so far.
            asked: whether the weights are those of a snapshot, which does not wait for its time.
            last: whether the training ends here; the last weights are always recorded, and for all images.
        """
        now = time.monotonic()
        if not len(self.rows) or step == self._recorded:
            return False
        if last:
            self.rows = self._all
            return True
        if not (asked or now - self._last >= self.every):
            return False
        return self.spent + self._cost <= self.share * (now - self._began) + ADVANCE

    @torch.no_grad()
    def record(self, network: Any, images: Batches, *, step: int, epoch: int) -> LiveMaps:
        """Return the attention of the watched images with the network's present weights.

        Args:
            network: a transformer of :mod:`vit.networks`; its mode is restored.
            images: the batches of the validation images.
            step: steps taken so far.
            epoch: the epoch of the last step.
        """
        inputs, labels = images.plain(self.rows)
        was_training, recorded = network.training, dict[str, Any]()
        network.eval()
        try:
            logits = network(inputs, record=recorded)
        finally:
            network.train(was_training)
        attention = torch.stack([layer["attention"] for layer in recorded["layers"]], dim=1).float()
        prefix, pool = network.num_prefix_tokens, network.pool
        read = {"cls": slice(1), "mean": slice(prefix, None), "all": slice(None)}[pool]
        summary = attention[..., read, :].mean(dim=-2, keepdim=True)
        if attention.numel() <= STORED_MAX:
            attention = torch.cat((summary, attention[..., prefix:, :]), dim=-2)
        else:
            attention = summary
        levels, tops = quantise(attention.cpu().numpy())
        config: ModelConfig = network.config
        answers = logits.float().softmax(dim=-1) if config.num_classes > 1 else logits.new_zeros(len(logits), 0)
        pixels = images.pixels(self.rows).mul_(255).round_().to(torch.uint8)
        return LiveMaps(
            rows=self.rows.numpy(),
            pixels=pixels.permute(0, 2, 3, 1).cpu().numpy(),
            labels=labels.cpu().numpy(),
            levels=levels,
            tops=tops,
            probabilities=answers.cpu().numpy(),
            step=step,
            epoch=epoch,
            seconds=time.monotonic() - self._began,
            spent=self.spent,
        )

    def took(self, seconds: float, step: int) -> None:
        """Account for a record of this step; later ones are expected to take as long.

        Half of the first one is taken for the loading of libraries. Images that are left out come back when records
        have become faster, for example because the machine has less else to do.
        """
        self.spent += seconds
        self._cost = 0.5 * (seconds + self._cost)
        self._last, self._recorded = time.monotonic(), step
        count, each, most = len(self.rows), self._cost / max(1, len(self.rows)), self.share * LATEST
        while count > 1 and count * each > most:
            count //= 2
        if count == len(self.rows) < len(self._all) and 2.5 * count * each <= most:  # with room, so that it stays so
            count = min(2 * count, len(self._all))
        self.rows, self._cost = self._all[:count], count * each
