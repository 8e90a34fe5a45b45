"""The measurements of the lessons that come with the project, made by ``benchmarks/lessons.py``."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pydantic import Field

from vit.config.base import Settings
from vit.data.scenes import SPLIT_COUNTS
from vit.lessons.differences import Difference, Order, SeedNoise, difference, mean_interval, seed_noise
from vit.lessons.experiments import EXPERIMENTS, find_variant, full_version

FILE = Path(__file__).parent.with_suffix(".json")
COMMAND = "python -m benchmarks.lessons"
"""The program that makes the measurements."""

IMAGES = SPLIT_COUNTS["val"]
"""Number of validation images that an accuracy is measured on."""


class Training(Settings):
    """Measurements of one training of a variant.

    Attributes:
        seed: seed of the training.
        accuracy: validation accuracy of the best epoch, as on the Runs page.
        train_accuracy: accuracy on the augmented training images in that epoch.
        seconds: CPU time on one thread, with validation.
        apart: total variation distance between the summary token's attention in two heads of the last layer, mean over
            pairs of heads and images: 0 if they are equal, 1 if they have nothing in common. None with fewer than two
            heads.
        on_object: share of the summary token's attention to patches in the last layer that is on the object.
        by_area: the same for evenly spread attention, which is the object's share of the image.
    """

    seed: int
    accuracy: float
    train_accuracy: float
    seconds: float
    apart: float | None = None
    on_object: float | None = None
    by_area: float | None = None


class MapScores(Settings):
    """Faithfulness of one kind of map, of the run that was shipped when it was measured.

    The areas are those under the curves, with the mean colour as cover.

    Attributes:
        name: name of the method or control map.
        title: name on the page.
        deletion: area under the deletion curve; smaller is better.
        insertion: area under the insertion curve; larger is better.
        inside: share of the map that is on the object.
        deletion_better: whether it is better than the best control map by the 95 % interval of the paired differences;
            None for a control map.
        insertion_better: the same for insertion.
    """

    name: str
    title: str
    deletion: float
    insertion: float
    inside: float
    deletion_better: bool | None = None
    insertion_better: bool | None = None

    @property
    def chance(self) -> bool:
        """Whether this is a control map."""
        return self.deletion_better is None


class FaithfulnessTable(Settings):
    """Faithfulness of several kinds of maps of the run that was shipped when it was measured.

    Attributes:
        images: number of validation images.
        rows: one entry per kind of map.
    """

    images: int
    rows: tuple[MapScores, ...]

    def row(self, name: str) -> MapScores:
        """Return the scores of a method or control map."""
        return next(row for row in self.rows if row.name == name)


class Stored(Settings):
    """All measurements of the lessons.

    Attributes:
        environment: description of the versions and the processor.
        trainings: measured trainings by experiment and variant.
        faithfulness: faithfulness of the maps of the run that was shipped then; None until it is measured.
    """

    environment: str = ""
    trainings: Mapping[str, Mapping[str, tuple[Training, ...]]] = Field(default_factory=dict)
    faithfulness: FaithfulnessTable | None = None

    def of(self, experiment: str, variant: str) -> "Figures":
        """Return the measurements of one variant."""
        return Figures(self.trainings.get(experiment, {}).get(variant, ()))


@dataclass(frozen=True)
class Figures:
    """Measurements of one variant with several seeds."""

    trainings: tuple[Training, ...]

    @property
    def seeds(self) -> int:
        return len(self.trainings)

    def values(self, field: str) -> list[float]:
        """Return a measurement of each training that has it."""
        found = [getattr(training, field) for training in self.trainings]
        return [value for value in found if value is not None]

    def mean(self, field: str = "accuracy") -> float:
        return statistics.fmean(self.values(field))

    def range(self, field: str = "accuracy") -> tuple[float, float]:
        """Return the smallest and largest value of a measurement."""
        values = self.values(field)
        return min(values), max(values)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy."""
        return mean_interval(self.values("accuracy"), IMAGES)


def contrast(one: Figures, other: Figures) -> Order:
    """Compare the accuracy of two variants by the interval of :func:`compare`."""
    return compare(one, other).order


def compare(one: Figures, other: Figures, noise: SeedNoise | None = None) -> Difference:
    """Return the accuracy of one variant minus that of another, with its interval; see :func:`difference`."""
    return difference(one.values("accuracy"), other.values("accuracy"), IMAGES, noise)


def stored_noise(experiment: str) -> SeedNoise | None:
    """Return how much the seed changes the accuracy in an experiment; None if that is unknown.

    A short version that is measured with one seed has the noise of the full one, which is rather too small: in a short
    training, some seeds have not begun to learn.
    """
    for name in (experiment, full_version(experiment)):
        groups = [measured(name, variant.name).values("accuracy") for variant in EXPERIMENTS[name]]
        if found := seed_noise([group for group in groups if group]):
            return found
    return None


def measured(experiment: str, variant: str) -> Figures:
    """Return the stored measurements of one variant.

    A run that the short version of an experiment shares with the full one is measured only there.
    """
    found = stored().of(experiment, variant)
    if not found.seeds and is_shared(experiment, variant):
        return stored().of(full_version(experiment), variant)
    return found


def is_shared(experiment: str, variant: str) -> bool:
    """Return whether the full experiment has the same run as its short version."""
    full, mine = full_version(experiment), find_variant(experiment, variant)
    return full != experiment and any(mine.config == one.config for one in EXPERIMENTS[full])


@lru_cache(maxsize=1)
def stored() -> Stored:
    """Return the measurements that come with the project."""
    return Stored.from_json(FILE.read_bytes())
