"""Portraits of all heads over many images: attention entropy, distance, targets, and the images with the most effect.

Unless stated otherwise, queries are the patches, attention is that of a patch to all tokens, and means are over queries
and images.

Shapes in einops letters: ``b`` batch, ``h`` head, ``n`` token (query), ``m`` token (key), ``d`` head_dim, ``e``
embed_dim.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from einops import einsum, rearrange
from torch import Tensor

from vit.data.batches import normalise
from vit.data.records import Split
from vit.data.sampling import subset
from vit.errors import DataError, ExplainError
from vit.explain.recording import MIXED_POSITIONS, OVER_QUERIES, Record, Recordable, capture, token_rows
from vit.model import LayerScale
from vit.networks import Block, Network, Transformer, blocks_of

if TYPE_CHECKING:  # it would bring the trainer
    from vit.runs.weights import CheckpointInfo

BATCH_MAX = 128
BATCH_BYTES = 16e6
"""Maximum size of one layer's attention for a batch; a few copies of it exist at the same time."""

FOCUS_TIMES = 3.0
FOCUS_QUERIES = 0.9
"""A token is a focus of an image if at least ``FOCUS_QUERIES`` of the patches give it at least ``FOCUS_TIMES`` the
attention that uniform attention would give it."""

SINK_SHARE = 0.3
SINK_VALUE = 0.5
PLACE_SHARE = 0.5
LOCAL_DISTANCE = 0.5
EVEN_ENTROPY = 0.95
BY_PLACE = 0.75
BY_CONTENT = 0.5
"""The thresholds of :data:`NAMES`."""

NAMES = {
    "sink": f"at least {SINK_SHARE:.0%} of the attention goes to tokens that get at least {FOCUS_TIMES:.0f} times the "
    f"uniform attention from {FOCUS_QUERIES:.0%} of an image's patches, and the values read there are at most "
    f"{SINK_VALUE:.0%} as long as those of an average token. The token may be the class token or a register; a patch "
    "does not count if it is mostly the same one in every image",
    "positional": f"at least {PLACE_SHARE:.0%} of the attention goes to one fixed patch, or to the patch at one fixed "
    f"offset from the query, in every image; or at least {BY_PLACE:.0%} of the difference from uniform attention is "
    "the same in every image, and neither local nor global applies",
    "local": f"the mean attention distance is at most {LOCAL_DISTANCE:.0%} of that of uniform attention",
    "global": f"the entropy is at least {EVEN_ENTROPY:.0%} of the maximum: the attention is nearly uniform",
    "content": f"none of the above, and at most {BY_CONTENT:.0%} of the difference from uniform attention is the same "
    "in every image: the attention depends on the content",
    "mixed": "none of the above",
}
"""The names of heads and their definitions. The first definition that applies gives the name."""

ORDER = ("local", "positional", "content", "mixed", "global", "sink")
"""The order in which the heads are listed by name."""

Progress = Callable[[int, int], None]


class Offset(NamedTuple):
    """The offset from a query to its key: rows down and columns to the right."""

    rows: int
    columns: int


@dataclass(frozen=True)
class Portraits:
    """The result of :func:`portraits`; ``h`` heads in each of ``depth`` layers.

    Attributes:
        images: ``(i)``, indices of the measured images in the split, ascending.
        labels: ``(i)``, their classes.
        class_names: names of the classes.
        grid, prefix_tokens, pool, summary_rows: as in :class:`vit.explain.Record`.
        patch: side of a patch in pixels.
        picture: ``(h w c)`` uint8, the mean of the images.
        attention: ``(depth h n m)`` float32, mean over the images.
        entropy: ``(depth h)``, entropy of a query's attention in nats.
        distance: ``(depth h)``, mean attention distance in pixels (Dosovitskiy et al. 2021, fig. 7 right): between the
            centres of the query and of the patches, weighted by the attention to patches, normalised to sum to 1.
        departure: ``(depth h)``, total variation distance between a query's attention and uniform attention: the share
            of attention that would have to move.
        focus: ``(depth h m)``, the attention to each token in the images in which it is a focus (a token that nearly
            all patches attend to, :data:`FOCUS_QUERIES`), as a share of all attention in all images.
        focus_rate: ``(depth h)``, share of the images that have a focus.
        focus_value: ``(depth h)``, the norm ‖f(x)‖ of a focus's transformed value (Kobayashi et al. 2020) relative to
            the mean over all tokens; NaN if there is no focus. If it is well below 1, the focus is an attention sink
            (Xiao et al. 2024): the head adds almost nothing. If it is about 1 or above, the head reads information
            from it: from an object, or from a token that stores information about the whole image (Darcet et al.
            2024).
        strength: ``(i depth h)``, the norm of what the head adds to the summary token, with the output projection and
            the layer scale; the mean of the norms if the summary token is a mean. The bias of the output projection
            belongs to no head and is left out.
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    grid: tuple[int, int]
    prefix_tokens: int
    pool: str
    summary_rows: slice
    patch: float
    picture: np.ndarray
    attention: np.ndarray
    entropy: np.ndarray
    distance: np.ndarray
    departure: np.ndarray
    focus: np.ndarray
    focus_rate: np.ndarray
    focus_value: np.ndarray
    strength: np.ndarray

    def rows(self, token: int) -> np.ndarray:
        """Return one token's mean attention, ``(depth h m)``: see :func:`vit.explain.token_rows`."""
        return token_rows(self, self.attention, token)

    # Values of uniform attention, and comparisons with them

    @cached_property
    def even_share(self) -> float:
        """The share of one token in uniform attention."""
        return 1 / self.attention.shape[-1]

    @cached_property
    def even_distance(self) -> float:
        """The distance of uniform attention in pixels."""
        return float(patch_distances(self.grid, self.patch).mean())

    @cached_property
    def entropy_share(self) -> np.ndarray:
        """Entropy as a share of its maximum, the logarithm of the number of tokens: ``(depth h)``."""
        return self.entropy / np.log(self.attention.shape[-1])

    @cached_property
    def distance_share(self) -> np.ndarray:
        """Distance relative to that of uniform attention: ``(depth h)``."""
        return self.distance / (self.even_distance or 1)

    @cached_property
    def effective_tokens(self) -> np.ndarray:
        """The effective number of tokens, exp(entropy): ``(depth h)``."""
        return np.exp(self.entropy)

    # Shares of the attention

    @cached_property
    def _of_patches(self) -> np.ndarray:
        """The mean attention from patches to patches, ``(depth h n m)``."""
        return self.attention[..., self.prefix_tokens :, self.prefix_tokens :]

    @cached_property
    def prefix_share(self) -> np.ndarray:
        """The share of attention to the prefix tokens, the class token and registers: ``(depth h)``."""
        return self.attention[..., self.prefix_tokens :, : self.prefix_tokens].sum(axis=-1).mean(axis=-1)

    @cached_property
    def own_share(self) -> np.ndarray:
        """The share of attention to the query's own patch: ``(depth h)``."""
        return np.einsum("...nn->...n", self._of_patches).mean(axis=-1)

    @cached_property
    def _neighbours(self) -> np.ndarray:
        """Whether two patches are neighbours, at a side or a corner: ``(n m)``, 1 or 0."""
        row, column = np.indices(self.grid).reshape(2, -1)
        steps = np.maximum(np.abs(row[:, None] - row), np.abs(column[:, None] - column))
        return (steps == 1).astype(np.float32)

    @cached_property
    def neighbour_share(self) -> np.ndarray:
        """The share of attention to the query's neighbours (8, fewer at the border): ``(depth h)``."""
        return (self._of_patches * self._neighbours).sum(axis=-1).mean(axis=-1)

    @cached_property
    def even_neighbour_share(self) -> float:
        """The :attr:`neighbour_share` of uniform attention."""
        return float(self._neighbours.sum(axis=-1).mean()) * self.even_share

    @cached_property
    def key(self) -> np.ndarray:
        """The patch with the most attention from all queries, from 0, row by row: ``(depth h)``."""
        return self._of_patches.mean(axis=-2).argmax(axis=-1)

    @cached_property
    def key_share(self) -> np.ndarray:
        """The share of attention to the patch :attr:`key`: ``(depth h)``."""
        return self._of_patches.mean(axis=-2).max(axis=-1)

    @cached_property
    def _offsets(self) -> tuple[np.ndarray, np.ndarray]:
        """The offsets ``(s 2)`` that exist for at least half of the patches, and their attention ``(depth h s)``."""
        height, width = self.grid
        row, column = np.indices(self.grid).reshape(2, -1)
        down, right = row - row[:, None] + height - 1, column - column[:, None] + width - 1  # n m, from 0
        place, count = (down * (2 * width - 1) + right).ravel(), (2 * height - 1) * (2 * width - 1)
        queries = np.bincount(place, minlength=count)
        of_patches = self._of_patches
        sums = np.stack(
            [np.bincount(place, weights=one.ravel(), minlength=count) for one in of_patches.reshape(-1, place.size)]
        )
        possible = np.flatnonzero(2 * queries >= height * width)
        steps = np.stack(np.divmod(possible, 2 * width - 1), axis=-1) - (height - 1, width - 1)
        return steps, (sums[:, possible] / queries[possible]).reshape(*of_patches.shape[:2], -1)

    @cached_property
    def offset_share(self) -> np.ndarray:
        """The share of attention at the offset with the most attention: ``(depth h)``.

        "One patch to the left" is an offset, and (0, 0), the query's own patch, is one. The mean is over the queries
        for which the offset lies inside the image; only offsets that do so for at least half of the patches count.
        """
        return self._offsets[1].max(axis=-1)

    def offset(self, layer: int, head: int) -> Offset:
        """Return the offset of :attr:`offset_share` for a layer and head, from 0."""
        offsets, shares = self._offsets
        return Offset(*(int(number) for number in offsets[shares[layer, head].argmax()]))

    @cached_property
    def by_place(self) -> np.ndarray:
        """The share of the difference from uniform attention that is the same in every image: ``(depth h)``.

        It is the distance of the mean attention from uniform attention, divided by the mean distance of the single
        images' attention. It is 1 if the attention is the same in every image, and near 0 if the images have nothing in
        common. For a head with uniform attention it is 1.
        """
        mean = self.attention[..., self.prefix_tokens :, :]
        apart = 0.5 * np.abs(mean - self.even_share).sum(axis=-1).mean(axis=-1)
        return np.where(self.departure > 1e-6, np.minimum(1, apart / np.maximum(self.departure, 1e-6)), 1.0)

    @cached_property
    def focus_share(self) -> np.ndarray:
        """The share of attention to tokens that nearly all patches attend to: ``(depth h)``."""
        return self.focus.sum(axis=-1)

    @cached_property
    def sink_share(self) -> np.ndarray:
        """The :attr:`focus_share` of attention sinks, otherwise 0: ``(depth h)``.

        If more than half of the attention to focus patches goes to one fixed patch, patches are left out: then the
        head attends to a position.
        """
        of_patches = self.focus[..., self.prefix_tokens :]
        total = of_patches.sum(axis=-1)
        moving = np.where(of_patches.max(axis=-1) > total / 2, 0, total)
        share = self.focus[..., : self.prefix_tokens].sum(axis=-1) + moving
        return np.where(np.nan_to_num(self.focus_value, nan=np.inf) <= SINK_VALUE, share, 0)

    # Names and images

    @cached_property
    def names(self) -> np.ndarray:
        """The name of each head, one of :data:`NAMES`: ``(depth h)``."""
        fits = {
            "sink": self.sink_share >= SINK_SHARE,
            "positional": np.maximum(self.key_share, self.offset_share) >= PLACE_SHARE,
            "local": self.distance_share <= LOCAL_DISTANCE,
            "global": self.entropy_share >= EVEN_ENTROPY,
        }
        by_place = np.where(self.by_place <= BY_CONTENT, "content", "mixed")
        by_place = np.where(self.by_place >= BY_PLACE, "positional", by_place)
        return np.select(list(fits.values()), list(fits), default=by_place)

    def order(self) -> list[tuple[int, int]]:
        """Return layer and head of every head, from 0, sorted by name and then by attention distance."""
        heads = np.ndindex(self.names.shape)
        return sorted(heads, key=lambda at: (ORDER.index(self.names[at]), self.distance[at], at))

    def driving(self, layer: int, head: int, count: int = 12) -> np.ndarray:
        """Return the images for which a head adds most to the summary token, strongest first.

        Args:
            layer: number of the layer, from 0.
            head: number of the head, from 0.
            count: number of images.

        Returns:
            Indices of the images in the split.
        """
        return self.images[self._strongest(layer, head, count)]

    def driving_classes(self, layer: int, head: int, count: int = 12) -> list[tuple[str, int, float]]:
        """Return the classes of :meth:`driving`: name, images, and images expected by chance; most images first."""
        strongest = self._strongest(layer, head, count)
        found = np.bincount(self.labels[strongest], minlength=len(self.class_names))
        chance = np.bincount(self.labels, minlength=len(self.class_names)) * len(strongest) / len(self.labels)
        order = np.argsort(-found, kind="stable")
        return [(self.class_names[k], int(found[k]), float(chance[k])) for k in order if found[k]]

    def _strongest(self, layer: int, head: int, count: int) -> np.ndarray:
        return np.argsort(-self.strength[:, layer, head], kind="stable")[:count]


def require_attention_rows(model: Network) -> Transformer:
    """Return the model as a transformer in which row n of the attention is what token n attends to.

    Raises:
        ExplainError: a TypeError; the model has no attention, or the rows have another meaning.
    """
    if not isinstance(model, Recordable):
        raise ExplainError("This network is convolutional and has no heads: choose the run of a transformer.")
    mixed = MIXED_POSITIONS if model.mixes_positions else ""
    over = OVER_QUERIES if model.normalised_over == "query" else ""
    if mixed or over:
        raise ExplainError(f"{mixed} {over}".strip() + " So its heads cannot be described by what they attend to.")
    return model


def patch_distances(grid: tuple[int, int], patch: float) -> np.ndarray:
    """Return the distances between the centres of patches, ``(n m)`` in pixels; ``patch`` is the side of a patch."""
    places = patch * np.indices(grid).reshape(2, -1).T
    return np.linalg.norm(places[:, None] - places, axis=-1)


@torch.inference_mode()
def portraits(
    model: Network,
    info: "CheckpointInfo",
    split: Split,
    *,
    count: int | None = None,
    class_names: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Portraits:
    """Measure all heads of a model in one pass over images of a split.

    Memory holds the attention of only one layer for one batch, so it does not grow with depth or images.

    Args:
        model: a transformer.
        info: normalisation and class names of the model.
        split: labelled images.
        count: number of images, a stratified sample that is always the same; None means all.
        class_names: names of the split's labels if they are not the model's classes.
        progress: called with (done, total) after each layer of a batch.

    Raises:
        ExplainError: a TypeError; the model has no attention, or its rows are not what a token attends to.
        DataError: the split is empty, or ``count`` is below its number of classes.
    """
    model = require_attention_rows(model)
    if not len(split):
        raise DataError("There are no validation images to measure the heads on: add some to the data set.")
    images = subset(np.asarray(split.labels), count, seed=0)
    if model.training:
        model = copy.deepcopy(model).eval()  # a copy, since other threads may be using the model
    device = next(model.parameters()).device

    def load(chosen: np.ndarray) -> Tensor:
        return normalise(torch.from_numpy(split.images[chosen]).to(device), info.mean, info.std)

    record = capture(model, load(images[:1]))
    depth, (heads, tokens) = len(record.layers), record.layers[0].attention.shape[1:3]
    patch = split.images.shape[-1] / record.grid[1]
    layers = [_LayerSums(block, record, heads, patch) for block in blocks_of(model)]
    size = int(np.clip(BATCH_BYTES / (4 * heads * tokens**2), 1, BATCH_MAX))
    picture = np.zeros(split.images.shape[1:])
    for start in range(0, len(images), size):
        chosen = images[start : start + size]
        picture += split.images[chosen].sum(axis=0)
        x = model.embed(load(chosen))
        for index, layer in enumerate(layers):
            x = layer.measure(x)
            if progress is not None:
                progress(start * depth + len(chosen) * (index + 1), len(images) * depth)
    means = [layer.means(len(images)) for layer in layers]
    return Portraits(
        images=images,
        labels=np.asarray(split.labels)[images],
        class_names=info.class_names if class_names is None else tuple(class_names),
        grid=record.grid,
        prefix_tokens=record.prefix_tokens,
        pool=record.pool,
        summary_rows=record.summary_rows,
        patch=patch,
        picture=np.moveaxis(picture / len(images), 0, -1).round().astype(np.uint8),
        strength=np.stack([np.concatenate(layer.strengths) for layer in layers], axis=1),
        **{name: np.stack([one[name] for one in means]) for name in means[0]},
    )


def head_gram(block: Block, heads: int) -> Tensor | None:
    """Return Wᵀ W for the output projection W of each head, which gives the norms ‖W v‖² = vᵀ (Wᵀ W) v.

    Returns:
        ``(h d d)``, with the block's layer scale; None if the network has no output projection.
    """
    if block.attn.proj is None:
        return None
    weight = block.attn.proj.weight.double()  # e (h d)
    if isinstance(scale := getattr(block, "ls1", None), LayerScale):
        weight = weight * scale.gamma.double()[:, None]
    weight = rearrange(weight, "e (h d) -> h e d", h=heads)
    return einsum(weight, weight, "h e d, h e c -> h d c").float()


def _lengths(values: Tensor, gram: Tensor | None) -> Tensor:
    """Return the norms of head outputs ``(b h n d)`` after the output projection: ``(b h n)``."""
    if gram is None:
        return values.norm(dim=-1)
    mapped = einsum(values, gram, "b h n d, h d c -> b h n c")
    return (mapped * values).sum(dim=-1).clamp(min=0).sqrt()


class _LayerSums:
    """Sums over images of the measured values of one layer's heads."""

    def __init__(self, block: Block, record: Record, heads: int, patch: float) -> None:
        self.block, self.prefix, self.summary = block, record.prefix_tokens, record.summary_rows
        device = record.embedded.device
        self.distances = torch.from_numpy(patch_distances(record.grid, patch)).to(device, torch.float32)
        self.gram = head_gram(block, heads)
        self.strengths: list[np.ndarray] = []
        self.sums: dict[str, np.ndarray] = {}

    def measure(self, x: Tensor) -> Tensor:
        """Measure the heads of the block and return the tokens after it, ``(b n e)``."""
        record: dict = {}
        x = self.block(x, record)
        attention = record["attention"][:, :, self.prefix :]  # the patches' rows: b h n m
        to_patches = attention[..., self.prefix :]
        even = 1 / attention.shape[-1]
        far = einsum(to_patches, self.distances, "b h n m, n m -> b h n")
        received = attention.mean(dim=2)  # b h m
        is_focus = (attention >= FOCUS_TIMES * even).float().mean(dim=2) >= FOCUS_QUERIES
        lengths = _lengths(record["v"], self.gram)  # b h m
        drawn = received * is_focus
        self._add(
            attention=record["attention"],
            entropy=torch.special.entr(attention).sum(dim=-1).mean(dim=-1),
            distance=(far / to_patches.sum(dim=-1).clamp(min=torch.finfo(torch.float32).tiny)).mean(dim=-1),
            departure=0.5 * (attention - even).abs().sum(dim=-1).mean(dim=-1),
            focus=drawn,
            focus_rate=is_focus.any(dim=-1).float(),
            focus_length=(drawn * lengths).sum(dim=-1),
            length=lengths.mean(dim=-1),
        )
        strength = _lengths(record["heads"][:, :, self.summary], self.gram).mean(dim=-1)  # b h
        self.strengths.append(strength.cpu().numpy())
        return x

    def _add(self, **measured: Tensor) -> None:
        """Add values ``(b h ...)``, summed over the batch."""
        for name, values in measured.items():
            total = values.sum(dim=0).double().cpu().numpy()
            self.sums[name] = self.sums.get(name, 0) + total

    def means(self, images: int) -> dict[str, np.ndarray]:
        """Return the fields of :class:`Portraits` that are means over the images, ``(h ...)``."""
        means = {name: total / images for name, total in self.sums.items()}
        length, focus_length = means.pop("length"), means.pop("focus_length")
        drawn = means["focus"].sum(axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            means["focus_value"] = focus_length / drawn / length
        means["attention"] = means["attention"].astype(np.float32)
        return means
