"""What the faithfulness of a method is measured by, and the result: values of every image, intervals, comparisons.

Shapes in einops letters: ``images`` those of the measurement, ``f`` fills, ``k`` kinds of curves, ``s`` the points of a
curve, ``p`` patches.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from vit.explain.faithfulness.bootstrap import Interval, intervals
from vit.explain.interventions.cover import FILLS

CURVE_KINDS = ("deletion", "insertion")

OBJECT_SHARE = 0.5
"""A patch lies on the object when at least so much of it does."""


@dataclass(frozen=True)
class Measure:
    """One way to judge a map.

    Attributes:
        title: what a person calls it.
        phrase: the same within a sentence.
        sign: 1 where more is better, -1 where less is.
        of_masks: whether the object's place must be known.
    """

    title: str
    phrase: str
    sign: int
    of_masks: bool = False


MEASURES: dict[str, Measure] = {
    f"{kind}_{fill}": Measure(f"{kind.capitalize()} ({title})", f"{kind} ({title})", sign)
    for kind, sign in zip(CURVE_KINDS, (-1, 1), strict=True)
    for fill, title in FILLS.items()
} | {
    "inside": Measure("Share inside the object", "the share inside the object", 1, of_masks=True),
    "pointing": Measure("Pointing game", "the pointing game", 1, of_masks=True),
    "iou": Measure("IoU of the top patches", "the IoU of the top patches", 1, of_masks=True),
}
"""The measures by name: the area under each curve, and three that hold a map against the object's mask."""


@dataclass(frozen=True)
class ResultRow:
    """One map of every image, judged.

    Attributes:
        name: of a method; with :data:`UNTRAINED` behind it, of the method on untrained weights; or of a chance row.
        title: what a person calls it.
        method: whose row it is, or whose untrained weights; empty for a chance row that belongs to no method.
        chance: whether it is a row of chance.
        maps: ``(images rows columns)``.
        orders: ``(images p)``, the patches' numbers, most relevant first.
        curves: ``(images f k s)``, the probability of the explained class along each curve.
        values: each measure's value for each image, ``(images)``; NaN where an image has no mask to hold it against.
    """

    name: str
    title: str
    method: str
    chance: bool
    maps: np.ndarray
    orders: np.ndarray
    curves: np.ndarray
    values: Mapping[str, np.ndarray]

    def curve(self, kind: str, fill: str) -> np.ndarray:
        """One curve of every image, ``(images s)``."""
        fills: list[str] = list(FILLS)
        return self.curves[:, fills.index(fill), CURVE_KINDS.index(kind)]


UNTRAINED = "-untrained"
"""Ends the name of a method's row on weights that were never trained."""


@dataclass(frozen=True)
class Advantage(Interval):
    """By how much a method is better than a row of chance: the mean of the paired differences, and its interval.

    Positive is better, also where less of the measure is better.

    Attributes:
        against: name of that row.
    """

    against: str = ""

    @property
    def better(self) -> bool:
        """The interval lies above zero."""
        return self.low > 0

    @property
    def worse(self) -> bool:
        """The interval lies below zero."""
        return self.high < 0


@dataclass(frozen=True)
class Faithfulness:
    """How faithful some methods are to one network on some images.

    Attributes:
        rows: the methods in their order, then each on untrained weights, then the rows of chance.
        images: ``(images)``, numbers of the images in their split.
        labels: ``(images)``, the class that the network gives each, which is the one explained.
        grid: rows and columns of patches.
        counts: ``(s)``, how many patches are covered (or shown) at each point of a curve.
        object_shares: ``(images p)``, how much of each patch the object fills; None without masks.
        refused: why a method could not be judged, a sentence for its name.
        seed: of the images' choice, of ties, of the untrained weights and of the resamples.
    """

    rows: tuple[ResultRow, ...]
    images: np.ndarray
    labels: np.ndarray
    grid: tuple[int, int]
    counts: np.ndarray
    object_shares: np.ndarray | None
    refused: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0

    @property
    def methods(self) -> tuple[ResultRow, ...]:
        """The rows that are no rows of chance."""
        return tuple(row for row in self.rows if not row.chance)

    @property
    def measures(self) -> dict[str, Measure]:
        """Those that could be taken: without an object to hold maps against, the curves alone."""
        return {name: it for name, it in MEASURES.items() if not it.of_masks or self.counted.any()}

    @cached_property
    def counted(self) -> np.ndarray:
        """``(images)``: in which an object fills half of a patch, so that it can be pointed at."""
        return np.asarray(on_object(self.object_shares, len(self.images)).any(axis=1))

    def row(self, name: str) -> ResultRow:
        """The row of this name."""
        return next(row for row in self.rows if row.name == name)

    def chance_rows(self, method: str) -> list[ResultRow]:
        """What a method is held against: the rows without a method, and itself on untrained weights."""
        return [row for row in self.rows if row.chance and row.method in ("", method)]

    @cached_property
    def scores(self) -> dict[str, dict[str, Interval]]:
        """The mean of each measure with its bootstrap interval, by row and measure."""
        found: dict[str, dict[str, Interval]] = {row.name: {} for row in self.rows}
        for measure in self.measures:
            columns = np.stack([self._values(row, measure) for row in self.rows], axis=1)
            for row, interval in zip(self.rows, intervals(columns, seed=self.seed), strict=True):
                found[row.name][measure] = interval
        return found

    @cached_property
    def advantages(self) -> dict[str, dict[str, Advantage]]:
        """The paired comparison of each method with its best row of chance, by method and measure."""

        def best(method: ResultRow, measure: str) -> ResultRow:
            sign = MEASURES[measure].sign
            return max(self.chance_rows(method.name), key=lambda row: sign * self.scores[row.name][measure].mean)

        return self._compared(best)

    @cached_property
    def over_untrained(self) -> dict[str, dict[str, Advantage]]:
        """The paired comparison of each method with itself on untrained weights, by method and measure."""
        return self._compared(lambda method, measure: self.row(method.name + UNTRAINED))

    def _compared(self, rival: Callable[[ResultRow, str], ResultRow]) -> dict[str, dict[str, Advantage]]:
        found: dict[str, dict[str, Advantage]] = {row.name: {} for row in self.methods}
        for measure, it in self.measures.items():
            rivals = [rival(row, measure) for row in self.methods]
            differences = [
                it.sign * (self._values(row, measure) - self._values(other, measure))
                for row, other in zip(self.methods, rivals, strict=True)
            ]
            compared = intervals(np.stack(differences, axis=1), seed=self.seed)
            for row, other, interval in zip(self.methods, rivals, compared, strict=True):
                found[row.name][measure] = Advantage(interval.mean, interval.low, interval.high, other.name)
        return found

    def _values(self, row: ResultRow, measure: str) -> np.ndarray:
        values = row.values[measure]
        return values[self.counted] if MEASURES[measure].of_masks else values

    def mean_curve(self, row: ResultRow, kind: str, fill: str) -> list[Interval]:
        """A row's curve, mean over the images, with the interval of each of its ``s`` points."""
        return intervals(row.curve(kind, fill), seed=self.seed)

    def to_dict(self) -> dict:
        """The JSON object that the command line prints."""
        return {
            "images": len(self.images),
            "image_numbers": self.images.tolist(),
            "grid": list(self.grid),
            "seed": self.seed,
            "images_with_object": int(self.counted.sum()) if self.object_shares is not None else None,
            "measures": {
                name: {"title": it.title, "better": "higher" if it.sign > 0 else "lower"}
                for name, it in self.measures.items()
            },
            "rows": [self._row_dict(row) for row in self.rows],
            "refused": dict(self.refused),
        }

    def _row_dict(self, row: ResultRow) -> dict:
        scores: dict[str, dict] = {
            name: {"mean": it.mean, "low": it.low, "high": it.high} for name, it in self.scores[row.name].items()
        }
        for name, it in self.advantages.get(row.name, {}).items():
            scores[name] |= {
                "advantage": {"mean": it.mean, "low": it.low, "high": it.high, "against": it.against},
                "better_than_chance": it.better,
            }
        curves = {
            f"{kind}_{fill}": row.curve(kind, fill).mean(axis=0, dtype=np.float64).tolist()
            for kind in CURVE_KINDS
            for fill in FILLS
        }
        return {
            "name": row.name,
            "title": row.title,
            "method": row.method,
            "chance": row.chance,
            "scores": scores,
            "curves": curves,
        }


def on_object(shares: np.ndarray | None, images: int) -> np.ndarray:
    """Which patches lie on the object, ``(images p)``, from how much of each it fills; without masks none."""
    return np.zeros((images, 1), dtype=bool) if shares is None else np.asarray(shares >= OBJECT_SHARE)


def area(curve: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The area under curves ``(... s)`` over the share of patches, by trapezoids: ``(...)``."""
    return np.trapezoid(curve, counts / counts[-1], axis=-1)


def share_inside(maps: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """How much of the positive relevance lies on the object: ``(images)``.

    A patch's relevance counts by the share of it that the object fills. A map without positive relevance points
    nowhere; it counts as a uniform one.

    Args:
        maps: ``(images p)``.
        shares: ``(images p)``, the object's share of each patch.
    """
    positive = np.maximum(maps, 0).astype(np.float64)
    positive[~positive.any(axis=1)] = 1
    return (positive * shares).sum(axis=1) / positive.sum(axis=1)


def pointing_game(orders: np.ndarray, on: np.ndarray) -> np.ndarray:
    """Whether the most relevant patch lies on the object: ``(images)`` of 0 and 1, from two ``(images p)``."""
    return np.take_along_axis(on, orders[:, :1], axis=1)[:, 0].astype(np.float64)


def iou(orders: np.ndarray, on: np.ndarray) -> np.ndarray:
    """Intersection over union of the k most relevant patches and the k on the object: ``(images)``; without any, 0."""
    k = on.sum(axis=1)
    named = np.arange(orders.shape[1]) < k[:, None]  # the first k places of an order
    common = (np.take_along_axis(on, orders, axis=1) & named).sum(axis=1)
    return common / np.maximum(2 * k - common, 1)


def measure_values(
    maps: np.ndarray, orders: np.ndarray, curves: np.ndarray, counts: np.ndarray, shares: np.ndarray | None
) -> dict[str, np.ndarray]:
    """All measures of every image, ``(images)`` each, NaN where an image shows no object to hold a map against.

    Args:
        maps: ``(images rows columns)``.
        orders: ``(images p)``.
        curves: ``(images f k s)``.
        counts: ``(s)``.
        shares: ``(images p)``, the object's share of each patch, or None.
    """
    found = {
        f"{kind}_{fill}": area(curves[:, f, k], counts)
        for k, kind in enumerate(CURVE_KINDS)
        for f, fill in enumerate(FILLS)
    }
    if shares is not None:
        on = on_object(shares, len(maps))
        taken = {
            "inside": share_inside(maps.reshape(len(maps), -1), shares),
            "pointing": pointing_game(orders, on),
            "iou": iou(orders, on),
        }
        found |= {name: np.where(on.any(axis=1), value, np.nan) for name, value in taken.items()}
    return found
