"""The result of measuring all heads over many images, and the names of heads.

Unless stated otherwise, queries are the patches, attention is that of a patch to all tokens, and means are over queries
and images.

Shapes in einops letters: ``b`` batch, ``h`` head, ``n`` token (query), ``m`` token (key).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from vit.explain.recording import token_rows

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


def patch_distances(grid: tuple[int, int], patch: float) -> np.ndarray:
    """Return the distances between the centres of patches, ``(n m)`` in pixels; ``patch`` is the side of a patch."""
    places = patch * np.indices(grid).reshape(2, -1).T
    return np.linalg.norm(places[:, None] - places, axis=-1)
