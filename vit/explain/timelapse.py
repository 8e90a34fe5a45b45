"""One image through the snapshots of a run: how maps, heads and prediction developed from epoch to epoch.

Only one model is in memory at a time; arrays are kept of each.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from torch import Tensor

from vit.explain.heads.portrait_result import patch_distances
from vit.explain.maps.target import Target
from vit.explain.recording import attention_arrays, capture, token_rows
from vit.explain.tokens.logit_lens import summary_lens
from vit.networks import Network

Load = Callable[[int], Network]
"""Load the network after an epoch, in eval mode."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Frame:
    """The network's view of one image after one epoch; ``k`` classes.

    Attributes:
        epoch: number of finished epochs; 0 is before training.
        attention: ``(depth h n m)`` float32, indexed [query, key].
        lens: ``(depth + 1, k)``, the class probabilities read from the summary token before the first block and after
            each block (:func:`vit.explain.summary_lens`); the last row is the network's prediction. A network without
            classes has ``k = 0``.
        entropy: ``(depth h)``, mean entropy of a patch's attention in nats (:func:`attention_entropy`).
        distance: ``(depth h)``, mean attention distance in pixels (:func:`attention_distance`).
        patch: side of a patch in pixels.
        prefix_tokens, grid, pool, summary_rows, caveat: as in :class:`vit.explain.Record`.
    """

    epoch: int
    attention: np.ndarray
    lens: np.ndarray
    entropy: np.ndarray
    distance: np.ndarray
    patch: float
    prefix_tokens: int
    grid: tuple[int, int]
    pool: Literal["cls", "mean", "all"]
    summary_rows: slice
    caveat: str

    @property
    def probabilities(self) -> np.ndarray:
        """The predicted class probabilities, ``(k)``."""
        return self.lens[-1]

    @property
    def nbytes(self) -> int:
        """Bytes of the large arrays."""
        return self.attention.nbytes + self.lens.nbytes

    def rows(self, token: int) -> np.ndarray:
        """Return one token's attention in each head, ``(depth h m)``: see :func:`vit.explain.token_rows`."""
        return token_rows(self, self.attention, token)


@dataclass(frozen=True)
class TimeLapse:
    """The frames of one image, in the order of their epochs."""

    frames: tuple[Frame, ...]

    @property
    def epochs(self) -> tuple[int, ...]:
        """The epoch of each frame."""
        return tuple(frame.epoch for frame in self.frames)

    @property
    def attention(self) -> np.ndarray:
        """``(frame depth h n m)``; each access makes a copy as large as all frames together."""
        return np.stack([frame.attention for frame in self.frames])

    @cached_property
    def lens(self) -> np.ndarray:
        """``(frame, depth + 1, k)``."""
        return np.stack([frame.lens for frame in self.frames])

    @property
    def probabilities(self) -> np.ndarray:
        """The predicted class probabilities, ``(frame k)``."""
        return self.lens[:, -1]

    @cached_property
    def entropy(self) -> np.ndarray:
        """``(frame depth h)`` in nats."""
        return np.stack([frame.entropy for frame in self.frames])

    @cached_property
    def distance(self) -> np.ndarray:
        """``(frame depth h)`` in pixels."""
        return np.stack([frame.distance for frame in self.frames])

    @property
    def even_entropy(self) -> float:
        """The :attr:`entropy` of uniform attention over all tokens."""
        return float(np.log(self.frames[0].attention.shape[-1]))

    @property
    def even_distance(self) -> float:
        """The :attr:`distance` of uniform attention over all patches."""
        return float(patch_distances(self.frames[0].grid, self.frames[0].patch).mean())

    def rows(self, tokens: Sequence[int]) -> np.ndarray:
        """Return the attention of these tokens: ``(frame token depth h m)``."""
        return np.stack([np.stack([frame.rows(token) for token in tokens]) for frame in self.frames])

    def maps(self, token: int) -> np.ndarray:
        """Return one token's attention to the patches: ``(frame depth h rows columns)``."""
        rows = self.rows([token])[:, 0, ..., self.frames[0].prefix_tokens :]
        return rows.reshape(*rows.shape[:-1], *self.frames[0].grid)


def time_lapse(load: Load, epochs: Sequence[int], images: Tensor, *, progress: Progress | None = None) -> TimeLapse:
    """Return one frame for each epoch, all of the same image.

    Args:
        load: called once for each epoch; the model is not kept.
        epochs: epochs that have a snapshot.
        images: ``(b c h w)``, normalised; only the first is used.
        progress: called with (done, total) in frames.

    Raises:
        ExplainError: a TypeError; the networks have no attention.
    """
    frames = []
    for done, epoch in enumerate(epochs):
        if progress is not None:
            progress(done, len(epochs))
        frames.append(make_frame(load(epoch), images, epoch))
    return TimeLapse(tuple(frames))


def make_frame(model: Network, images: Tensor, epoch: int) -> Frame:
    """Return the frame of the first of ``images (b c h w)``, normalised, for the model after ``epoch``.

    Raises:
        ExplainError: a TypeError; the model has no attention.
    """
    record = capture(model, images[:1])
    attention, patch = attention_arrays(record), images.shape[-1] / record.grid[1]
    without_classes = np.zeros((len(attention) + 1, 0), dtype=np.float32)
    return Frame(
        epoch=epoch,
        attention=attention,
        lens=summary_lens(model, record)[0] if model.config.num_classes else without_classes,
        entropy=attention_entropy(attention, record.prefix_tokens),
        distance=attention_distance(attention, record.grid, record.prefix_tokens, patch),
        patch=patch,
        prefix_tokens=record.prefix_tokens,
        grid=record.grid,
        pool=record.pool,
        summary_rows=record.summary_rows,
        caveat=record.caveat,
    )


def attention_entropy(attention: np.ndarray, prefix: int) -> np.ndarray:
    """Return the entropy of the patches' attention, mean over the patches: ``(... n m) -> (...)`` in nats.

    It is 0 if each patch attends to a single token, and log(m) if each attends uniformly to all m tokens. Rows that do
    not sum to 1 (those of the course network) are normalised first.
    """
    shares = _shares(attention[..., prefix:, :])
    return -(shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=-1).mean(axis=-1)


def attention_distance(attention: np.ndarray, grid: tuple[int, int], prefix: int, patch: float) -> np.ndarray:
    """Return the mean attention distance in pixels (Dosovitskiy et al. 2021, fig. 7 right).

    It is the distance between a patch and the patches that it attends to, weighted by the attention.

    Args:
        attention: ``(... n m)``. Attention to prefix tokens is left out, and the rest normalised to sum to 1.
        grid: rows and columns of patches.
        prefix: number of tokens before the patches.
        patch: side of a patch in pixels; distances are from centre to centre.

    Returns:
        ``(...)``, the mean over the patches.
    """
    shares = _shares(attention[..., prefix:, prefix:])
    return (shares * patch_distances(grid, patch)).sum(axis=-1).mean(axis=-1)


def _shares(rows: np.ndarray) -> np.ndarray:
    """Divide each row ``(... m)`` by its sum."""
    rows = rows.astype(np.float64)
    return rows / np.maximum(rows.sum(axis=-1, keepdims=True), np.finfo(np.float32).tiny)


def method_maps(
    load: Load,
    epochs: Sequence[int],
    images: Tensor,
    function: Callable[[Network, Tensor, Target], np.ndarray],
    target: Target | int | None,
    *,
    progress: Progress | None = None,
) -> np.ndarray:
    """Return a method's map of one image after each epoch: ``(frame rows columns)``.

    Args:
        load: called once for each epoch; the model is not kept.
        epochs: epochs that have a snapshot.
        images: ``(b c h w)``, normalised; only the first is used.
        function: the ``function`` of a :class:`vit.explain.Method`.
        target: what to explain, the same for all frames.
        progress: called with (done, total) in frames.

    Raises:
        ExplainError: a TypeError; the method is not available for these networks.
    """
    maps = []
    for done, epoch in enumerate(epochs):
        if progress is not None:
            progress(done, len(epochs))
        maps.append(function(load(epoch), images[:1], Target.of(target))[0])
    return np.stack(maps)


def as_shares(maps: np.ndarray) -> np.ndarray:
    """Divide each map ``(... rows columns)`` by the sum of its absolute values; maps of zeros are not changed.

    Gradients grow with the logits, so only the relative distribution can be compared between epochs.
    """
    total = np.abs(maps).sum(axis=(-2, -1), keepdims=True)
    return np.divide(maps, total, out=np.zeros_like(maps), where=total > 0)
