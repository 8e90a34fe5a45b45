"""One image through the snapshots of a run: how the maps, the heads and the answer came about, epoch by epoch.

Models are taken one at a time and let go again; what stays of each is arrays.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from torch import Tensor

from vit.explain.heads.portraits import patch_distances
from vit.explain.maps.target import Target
from vit.explain.recording import attention_arrays, capture, token_rows
from vit.explain.tokens.logit_lens import summary_lens
from vit.networks import Network

Load = Callable[[int], Network]
"""An epoch -> the network as it was after it, in eval mode."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Frame:
    """What a network made of one image after one epoch; ``k`` classes.

    Attributes:
        epoch: complete epochs; 0 is before training.
        attention: ``(depth h n m)`` float32, indexed [query, key].
        lens: ``(depth + 1, k)``, the class probabilities that the head reads from the summary token before the first
            block and after each (:func:`vit.explain.summary_lens`); the last row is the network's answer.
        entropy: ``(depth h)``, of a patch's attention in nats (:func:`attention_entropy`).
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
        """Of the classes, ``(k)``."""
        return self.lens[-1]

    @property
    def nbytes(self) -> int:
        """Of the arrays, nearly all of it the attention."""
        return self.attention.nbytes + self.lens.nbytes

    def rows(self, token: int) -> np.ndarray:
        """What one token attends to in each head, ``(depth h m)``: see :func:`vit.explain.token_rows`."""
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
        """``(frame depth h n m)``, made anew at each call: as large as all frames together."""
        return np.stack([frame.attention for frame in self.frames])

    @cached_property
    def lens(self) -> np.ndarray:
        """``(frame, depth + 1, k)``."""
        return np.stack([frame.lens for frame in self.frames])

    @property
    def probabilities(self) -> np.ndarray:
        """Of the classes, ``(frame k)``."""
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
        """:attr:`entropy` of a head that looks at all tokens evenly."""
        return float(np.log(self.frames[0].attention.shape[-1]))

    @property
    def even_distance(self) -> float:
        """:attr:`distance` of a head that looks at all patches evenly."""
        return float(patch_distances(self.frames[0].grid, self.frames[0].patch).mean())

    def rows(self, tokens: Sequence[int]) -> np.ndarray:
        """What these tokens attend to: ``(frame token depth h m)``."""
        return np.stack([np.stack([frame.rows(token) for token in tokens]) for frame in self.frames])

    def maps(self, token: int) -> np.ndarray:
        """What one token attends to among the patches: ``(frame depth h rows columns)``."""
        rows = self.rows([token])[:, 0, ..., self.frames[0].prefix_tokens :]
        return rows.reshape(*rows.shape[:-1], *self.frames[0].grid)


def time_lapse(load: Load, epochs: Sequence[int], images: Tensor, *, progress: Progress | None = None) -> TimeLapse:
    """The first of ``images (b c h w)``, normalised, after each of ``epochs``.

    Args:
        load: called once for each epoch; its model is not kept.
        progress: told how many frames are done, of how many.

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
    """One frame: the first of ``images (b c h w)``, normalised, through the model as it was after ``epoch``.

    Raises:
        ExplainError: a TypeError; the model has no attention.
    """
    record = capture(model, images[:1])
    attention, patch = attention_arrays(record), images.shape[-1] / record.grid[1]
    return Frame(
        epoch=epoch,
        attention=attention,
        lens=summary_lens(model, record)[0],
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
    """How evenly a patch spreads its attention, ``(... n m) -> (...)`` in nats, the mean over the patches.

    0 where each looks at one token alone, log(m) where all look everywhere evenly. A row that does not sum to 1 (the
    course network's) is taken for its shares.
    """
    shares = _shares(attention[..., prefix:, :])
    return -(shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=-1).mean(axis=-1)


def attention_distance(attention: np.ndarray, grid: tuple[int, int], prefix: int, patch: float) -> np.ndarray:
    """Mean distance between a patch and the patches it looks at, in pixels (Dosovitskiy et al. 2021, fig. 7 right).

    Args:
        attention: ``(... n m)``; what goes to the prefix is left out, and the rest taken for its shares.
        patch: side of a patch in pixels; distances are from centre to centre.

    Returns:
        ``(...)``, the mean over the patches.
    """
    shares = _shares(attention[..., prefix:, prefix:])
    return (shares * patch_distances(grid, patch)).sum(axis=-1).mean(axis=-1)


def _shares(rows: np.ndarray) -> np.ndarray:
    """``(... m)``, each row divided by its sum."""
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
    """The map that a method makes of the first of ``images (b c h w)`` after each epoch: ``(frame rows columns)``.

    Args:
        function: of a :class:`vit.explain.Method`.
        target: the same for all frames, so that they explain the same.
        progress: told how many frames are done, of how many.

    Raises:
        ExplainError: a TypeError; the networks cannot give this map.
    """
    maps = []
    for done, epoch in enumerate(epochs):
        if progress is not None:
            progress(done, len(epochs))
        maps.append(function(load(epoch), images[:1], Target.of(target))[0])
    return np.stack(maps)


def as_shares(maps: np.ndarray) -> np.ndarray:
    """Maps ``(... rows columns)``, each divided by the sum of its amounts; one that is 0 everywhere stays so.

    A gradient's size grows with the logits, so between epochs places can be compared and amounts cannot.
    """
    total = np.abs(maps).sum(axis=(-2, -1), keepdims=True)
    return np.divide(maps, total, out=np.zeros_like(maps), where=total > 0)
