"""Attention dependence: how much a run's accuracy depends on its attention. Imports no torch.

:func:`vit.explain.heads.dependence.attention_dependence` measures it. The result is a small JSON file in the run's
folder, which may come from a stranger: every value is checked when it is read.
"""

import math
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, NamedTuple, Self

from pydantic import ConfigDict, Field, model_validator

from vit.config import TransformerConfig
from vit.config.base import Settings
from vit.errors import RunError, SettingsError
from vit.runs.folder import DEPENDENCE
from vit.runs.run import Run
from vit.runs.store import exclusive_access
from vit.support.files import write_atomic

LOW = 0.25
"""The dependence is low if less than this share of the accuracy above chance is lost: see :attr:`Dependence.low`."""

BYTES_MAX = 2**20
"""Largest file that is read; one of a network with 1,000 heads has a tenth of this size."""

NOTHING_TO_LOSE = "none: the accuracy is near chance"
MEANING = (
    "The share of the accuracy above chance that is lost without any head or with uniform attention in every head, "
    f"whichever loses less. Below {LOW:.0%} it is low: the answer hardly depends on what the maps show."
)

Share = Annotated[float, Field(ge=0, le=1)]
Difference = Annotated[float, Field(ge=-1, le=1)]


class HeadDependence(Settings):
    """What one head contributes.

    Attributes:
        lost: the accuracy lost when this head alone outputs zeros; negative if accuracy is gained.
        error: its standard error, paired by image.
        low, high: its 95% interval.
        inside: the share of the summary's attention to patches that lies inside the object; None without masks, and
            for networks in which a row of a map is not what a token attends to.
    """

    model_config = ConfigDict(extra="ignore")
    lost: Difference
    error: Share
    low: Difference
    high: Difference
    inside: Share | None = None


class Dependence(Settings):
    """How much a network's accuracy depends on its attention, measured on validation images.

    Attributes:
        images: number of images.
        chance: the accuracy of always answering the most frequent class of these images.
        accuracy: the accuracy of the unchanged network.
        without_heads: the accuracy with zeros in place of the output of every head.
        even_patterns: the accuracy with uniform attention in every head.
        mean_patterns: the accuracy with every head's attention replaced by its mean over images.
        layers: the heads of each layer.
        object_area: the mean area of the object as a share of the image, which is the :attr:`HeadDependence.inside` of
            a uniform map; None where the heads have none.
        variety: for each layer, the mean Pearson correlation of the summary's maps of two heads, over the patches of
            an image; near 1 if all heads look at the same patches. None if the layer has one head, or uniform maps.
        grey: the largest class probability for a uniformly grey picture (0.5), which shows no class.
        seconds: how long the measurement took.
    """

    model_config = ConfigDict(extra="ignore")
    images: Annotated[int, Field(ge=1)]
    chance: Share
    accuracy: Share
    without_heads: Share
    even_patterns: Share
    mean_patterns: Share
    layers: tuple[tuple[HeadDependence, ...], ...]
    object_area: Share | None = None
    variety: tuple[Difference | None, ...]
    grey: Share
    seconds: Annotated[float, Field(ge=0)] = 0.0

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len({len(layer) for layer in self.layers}) != 1 or not self.layers[0]:
            raise SettingsError("layers must hold one or more layers with the same number of heads, at least one.")
        if len(self.variety) != len(self.layers):
            raise SettingsError("variety must hold one value for each of the layers.")
        return self

    @property
    def lost_share(self) -> float | None:
        """The share of the accuracy above chance that is lost without the attention patterns, 0 to 1.

        Two changes remove everything that a map can show: no head has an output, or every head looks everywhere
        equally. The change that loses less counts, because the network keeps that accuracy without the patterns.
        Without output of the heads alone, a network with a class token always falls to chance, since nothing of the
        image reaches the token, even if it would be as accurate with uniform attention.

        None if the accuracy is less than two standard errors above chance, so that there is nothing to lose.
        """
        above = self.accuracy - self.chance
        if above <= 2 * math.sqrt(self.accuracy * (1 - self.accuracy) / self.images):
            return None
        kept = max(self.without_heads, self.even_patterns)
        return min(1.0, max(0.0, (self.accuracy - kept) / above))

    @property
    def low(self) -> bool:
        """Whether the answer hardly depends on the attention: :attr:`lost_share` is below :data:`LOW`.

        With less than a quarter at stake, most answers would be the same whatever the maps show, so the maps explain
        few of them.
        """
        return self.lost_share is not None and self.lost_share < LOW

    @property
    def warning(self) -> str:
        """One sentence for the reader of a map if the dependence is low; empty otherwise."""
        if not self.low:
            return ""
        if self.without_heads >= self.even_patterns:
            return (
                "This network's answer hardly depends on its attention "
                f"({self.accuracy:.1%} → {self.without_heads:.1%} without any head)."
            )
        return (
            "This network's answer hardly depends on where its heads look "
            f"({self.accuracy:.1%} → {self.even_patterns:.1%} with uniform attention in every head)."
        )

    @property
    def text(self) -> str:
        """The :attr:`lost_share` as text."""
        return NOTHING_TO_LOSE if self.lost_share is None else f"{self.lost_share:.0%}"

    @property
    def heads(self) -> int:
        """Number of heads in all layers."""
        return sum(map(len, self.layers))

    @property
    def needed_heads(self) -> int:
        """Number of heads that cost accuracy one at a time: the interval of the loss lies above 0."""
        return sum(head.low > 0 for layer in self.layers for head in layer)

    @property
    def best_inside(self) -> float | None:
        """The largest share of attention inside the object among the heads; None without masks."""
        return max((head.inside for layer in self.layers for head in layer if head.inside is not None), default=None)

    @property
    def mean_variety(self) -> float | None:
        """The mean of :attr:`variety` over the layers that have one."""
        found = [value for value in self.variety if value is not None]
        return fmean(found) if found else None

    def to_dict(self) -> dict[str, Any]:
        """Return all figures, and those that follow from them, for JSON."""
        names = ("lost_share", "low", "warning", "needed_heads", "heads", "best_inside", "mean_variety")
        return self.model_dump(mode="json") | {name: getattr(self, name) for name in names}

    def figures(self) -> list["Figure"]:
        """Return the figures of the whole network as a table; what was not measured is left out."""
        found = [
            Figure("Attention dependence", self.text, MEANING),
            Figure(
                "Accuracy",
                f"{self.accuracy:.1%}",
                f"Of the unchanged network on {self.images:,} validation images. Always answering the most frequent "
                f"class gives {self.chance:.1%}.",
            ),
            Figure("Accuracy without heads", f"{self.without_heads:.1%}", "The output of every head is zero."),
            Figure(
                "Accuracy with uniform attention", f"{self.even_patterns:.1%}", "Every head looks everywhere equally."
            ),
            Figure(
                "Accuracy with mean maps",
                f"{self.mean_patterns:.1%}",
                "Every head uses its mean map over these images, so that its map no longer depends on the image.",
            ),
            Figure(
                "Heads that cost accuracy",
                f"{self.needed_heads} of {self.heads}",
                "Heads that lose accuracy when only this head outputs zeros: the 95% interval of the loss lies above "
                "0.",
            ),
        ]
        if self.best_inside is not None:
            found.append(
                Figure(
                    "Attention on the object, best head",
                    f"{self.best_inside:.0%}",
                    "The share of the summary token's attention to patches that lies on the object. A uniform map has "
                    f"{self.object_area:.0%}, the mean area of the object.",
                )
            )
        if self.mean_variety is not None:
            found.append(
                Figure(
                    "Correlation of the maps",
                    f"{self.mean_variety:.2f}",
                    "The mean correlation between the summary token's maps of two heads of a layer. Near 1, all heads "
                    "look at the same patches.",
                )
            )
        grey = "The largest class probability for a picture that is grey everywhere. It should be low."
        return [*found, Figure("Answer to a grey picture", f"{self.grey:.0%}", grey)]


class Figure(NamedTuple):
    """A figure as text: its name, its value, and what it means."""

    name: str
    value: str
    meaning: str


def read_dependence(run: Run) -> Dependence | None:
    """Return the stored attention dependence of a run's kept weights.

    Returns:
        The measurement; None if the run has none, or if its file is damaged or belongs to another network.
    """
    path = run.path / DEPENDENCE
    try:
        stat = path.stat()
        if stat.st_size > BYTES_MAX:
            return None
        found = _parse(path, stat.st_ino, stat.st_mtime_ns, stat.st_size)
    except (OSError, SettingsError):
        return None
    return found if fits(found, run.config.model) else None


def fits(found: Dependence, model: object) -> bool:
    """Return whether a measurement has the layers and heads of a network with these settings."""
    if not isinstance(model, TransformerConfig):
        return False
    return (len(found.layers), len(found.layers[0])) == (model.depth, model.num_heads)


@lru_cache(maxsize=512)
def _parse(path: Path, _inode: int, _mtime_ns: int, _size: int) -> Dependence:
    return Dependence.from_json(path.read_bytes())


def write_dependence(folder: Path, found: Dependence) -> None:
    """Store a measurement of the kept weights in the run's folder; only the holder of the run's lock may write."""
    write_atomic(folder / DEPENDENCE, found.model_dump_json().encode())


def keep_dependence(run: Run, found: Dependence, stamp: int) -> None:
    """Store a measurement that was made after the training.

    Without effect if the run is active, its folder cannot be written, or its weights were replaced meanwhile.

    Args:
        run: the measured run.
        found: the measurement.
        stamp: :attr:`Run.stamp` of the measured weights.
    """
    with suppress(RunError, OSError), exclusive_access(run):
        if run.stamp == stamp:
            write_dependence(run.path, found)
