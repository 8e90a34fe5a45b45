"""The measures of faithfulness, and the result: values for each image, intervals and comparisons.

Shapes in einops letters: ``images`` the measured images, ``f`` fills, ``k`` kinds of curves, ``s`` the points of a
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
"""A patch lies on the object if the object fills at least this share of it."""


@dataclass(frozen=True)
class Measure:
    """A measure of the faithfulness of a map.

    Attributes:
        title: the name on screen.
        phrase: the name within a sentence.
        sign: 1 if higher is better, -1 if lower is better.
        of_masks: whether it needs object masks.
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
"""The measures by name: the area under each curve, and three that compare a map with the object's mask."""


@dataclass(frozen=True)
class ResultRow:
    """The maps of one method or control for all images, with their measures.

    Attributes:
        name: the name of a method, of a method with the suffix :data:`UNTRAINED`, or of a control map.
        title: the name on screen.
        method: the method of the row, also for untrained weights; empty for the other controls.
        chance: whether the row is a control.
        maps: ``(images rows columns)``.
        orders: ``(images p)``, patch numbers, most relevant first.
        curves: ``(images f k s)``, the probability of the explained class along each curve.
        values: ``(images)`` for each measure; NaN for an image without an object mask.
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
        """Return one curve of every image, ``(images s)``."""
        fills: list[str] = list(FILLS)
        return self.curves[:, fills.index(fill), CURVE_KINDS.index(kind)]


UNTRAINED = "-untrained"
"""Suffix of the names of rows with untrained weights."""


@dataclass(frozen=True)
class Advantage(Interval):
    """The advantage of a method over a control: the mean of the paired differences, with its interval.

    Positive values mean that the method is better, also for measures where lower is better.

    Attributes:
        against: name of the control.
    """

    against: str = ""

    @property
    def better(self) -> bool:
        """Whether the interval lies above zero."""
        return self.low > 0

    @property
    def worse(self) -> bool:
        """Whether the interval lies below zero."""
        return self.high < 0


@dataclass(frozen=True)
class Faithfulness:
    """The faithfulness of some methods for one network on some images.

    Attributes:
        rows: the methods in their order, then each on untrained weights, then the control maps.
        images: ``(images)``, indices of the images in their split.
        labels: ``(images)``, the predicted and explained class of each image.
        grid: rows and columns of patches.
        counts: ``(s)``, number of covered (or shown) patches at each point of a curve.
        object_shares: ``(images p)``, the share of each patch that the object fills; None without masks.
        refused: the reason, a sentence, for each method that is not available.
        seed: seed of the choice of images, of ties, of the untrained weights and of the bootstrap.
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
        return tuple(row for row in self.rows if not row.chance)

    @property
    def measures(self) -> dict[str, Measure]:
        """The measures that could be computed; without object masks only the curves."""
        return {name: it for name, it in MEASURES.items() if not it.of_masks or self.counted.any()}

    @cached_property
    def counted(self) -> np.ndarray:
        """``(images)`` bool: whether an object lies on at least one patch, which the mask measures need."""
        return np.asarray(on_object(self.object_shares, len(self.images)).any(axis=1))

    def row(self, name: str) -> ResultRow:
        return next(row for row in self.rows if row.name == name)

    def chance_rows(self, method: str) -> list[ResultRow]:
        """Return the controls of a method: the control maps, and the method itself on untrained weights."""
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
        """The paired comparison of each method with its best control, by method and measure."""

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
        """Return the mean curve of a row over the images, with an interval for each of its ``s`` points."""
        return intervals(row.curve(kind, fill), seed=self.seed)

    def to_dict(self) -> dict:
        """Return the JSON object that the command line prints."""
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
    """Return whether each patch lies on the object, ``(images p)`` bool, from its share; without masks none does."""
    return np.zeros((images, 1), dtype=bool) if shares is None else np.asarray(shares >= OBJECT_SHARE)


def area(curve: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the area under curves ``(... s)`` over the share of patches, by the trapezoidal rule: ``(...)``."""
    return np.trapezoid(curve, counts / counts[-1], axis=-1)


def share_inside(maps: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the share of the positive relevance that lies on the object: ``(images)``.

    The relevance of a patch is weighted by the share of the patch that the object fills. A map without positive
    relevance is treated as uniform.

    Args:
        maps: ``(images p)``.
        shares: ``(images p)``, the object's share of each patch.
    """
    positive = np.maximum(maps, 0).astype(np.float64)
    positive[~positive.any(axis=1)] = 1
    return (positive * shares).sum(axis=1) / positive.sum(axis=1)


def pointing_game(orders: np.ndarray, on: np.ndarray) -> np.ndarray:
    """Return whether the most relevant patch lies on the object, 0 or 1: ``(images)``, from two ``(images p)``."""
    return np.take_along_axis(on, orders[:, :1], axis=1)[:, 0].astype(np.float64)


def iou(orders: np.ndarray, on: np.ndarray) -> np.ndarray:
    """Return the IoU of the k most relevant patches and the k patches on the object: ``(images)``; 0 if k = 0."""
    k = on.sum(axis=1)
    named = np.arange(orders.shape[1]) < k[:, None]  # the first k places of an order
    common = (np.take_along_axis(on, orders, axis=1) & named).sum(axis=1)
    return common / np.maximum(2 * k - common, 1)


def measure_values(
    maps: np.ndarray, orders: np.ndarray, curves: np.ndarray, counts: np.ndarray, shares: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Return all measures of every image, ``(images)`` each; mask measures are NaN for an image without an object.

    Args:
        maps: ``(images rows columns)``.
        orders: ``(images p)``, patch numbers, most relevant first.
        curves: ``(images f k s)``, probabilities along the curves.
        counts: ``(s)``, number of patches at each point.
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
