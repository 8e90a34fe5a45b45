"""The experiments of the lessons: the runs that each compares, and the measurements made with them.

A lesson's runs are ordinary settings (:data:`EXPERIMENTS`). ``benchmarks/lessons.py`` trains them with several seeds,
and a visitor's own runs are recognised by them. The measurements are stored in ``lessons.json`` next to this file and
read by :func:`stored`. Imports no torch.
"""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from vit.config import CNNConfig, DataConfig, ModelConfig, RunConfig, TrainingConfig, ViTConfig
from vit.config.base import Settings
from vit.cost.estimate import count_parameters
from vit.data.scenes import CLASSES
from vit.runs.run import Run

FILE = Path(__file__).with_name("lessons.json")
COMMAND = "python -m benchmarks.lessons"
"""The program that makes the measurements."""

APART = 0.045
"""Mean accuracies that are closer than this do not count as different: it is at most two standard errors of the
difference between two shares of 1,000 images."""

FREE = ("seed", "device", "snapshots", "threads", "processes", "resume_steps", "max_seconds")
"""Training settings that a visitor's run of a lesson may change: they affect randomness, speed and files."""


@dataclass(frozen=True)
class Variant:
    """One network of an experiment and its training.

    Attributes:
        name: name in the stored measurements; unique within its experiment.
        title: name on the page.
        config: settings of its run with the first seed.
    """

    name: str
    title: str
    config: RunConfig

    @property
    def vit_config(self) -> ViTConfig:
        """The settings of the network.

        Raises:
            TypeError: the network is not a Vision Transformer.
        """
        if not isinstance(self.config.model, ViTConfig):
            raise TypeError(f"{self.title} is not a Vision Transformer.")
        return self.config.model

    @property
    def parameters(self) -> int:
        return count_parameters(self.config.model)

    def seeded(self, seed: int) -> RunConfig:
        training = self.config.training.model_copy(update={"seed": seed})
        return self.config.model_copy(update={"training": training})


def _run(model: ModelConfig, *, train_images: int | None = None, **recipe: float) -> RunConfig:
    images = DataConfig(class_names=CLASSES, image_size=model.image_size, train_images=train_images)
    return RunConfig(model=model, data=images, training=TrainingConfig(blank_images=0.0, **recipe))


def _plain(**model: int) -> ViTConfig:
    """Return the settings of the standard design: linear patches and a class token."""
    return ViTConfig(stem="patch", pool="cls", **model)


def _heads(heads: int) -> Variant:
    model = _plain(image_size=32, patch_size=4, embed_dim=64, depth=1, num_heads=heads)
    title = f"{heads} head{'' if heads == 1 else 's'} of {model.head_dim}"
    return Variant(f"h{heads}", title, _run(model, epochs=60))


def _depth(depth: int, heads: int, head_dim: int) -> Variant:
    model = _plain(image_size=32, embed_dim=heads * head_dim, depth=depth, num_heads=heads)
    title = f"Depth {depth}, {heads} heads of {head_dim}"
    return Variant(f"d{depth}-h{heads}", title, _run(model, epochs=20))


def _patches(patch: int) -> Variant:
    model = _plain(image_size=32, patch_size=patch, embed_dim=64, depth=2, num_heads=4)
    tokens = model.grid**2
    title = f"{patch} px: {tokens} patch{'' if tokens == 1 else 'es'}"
    return Variant(f"p{patch}", title, _run(model, epochs=60))


LITTLE = {100: 20, 500: 20, 2000: 5}
"""Numbers of training images in the lesson on little data, with their epochs."""

_SMALL: dict[str, Any] = {"image_size": 32, "embed_dim": 128, "depth": 2, "num_heads": 4, "pool": "mean"}
NETWORKS: dict[str, tuple[str, ModelConfig]] = {
    "cnn": ("CNN", CNNConfig(image_size=32)),
    "conv": ("ViT, convolutions first", ViTConfig(**_SMALL, stem_blocks=2)),
    "patch": ("ViT, linear patches", ViTConfig(**_SMALL, stem="patch", stem_blocks=2)),
}
"""Titles and settings of the networks in the lesson on little data."""


def _little(network: str, images: int) -> Variant:
    title, model = NETWORKS[network]
    config = _run(model, train_images=images, epochs=LITTLE[images], batch_size=16)
    return Variant(f"{network}-{images}", f"{title}, {images:,} images", config)


EXPERIMENTS: dict[str, tuple[Variant, ...]] = {
    "heads": tuple(_heads(heads) for heads in (1, 2, 4, 8)),
    "depth": tuple(_depth(*shape) for shape in ((1, 2, 64), (1, 8, 16), (4, 2, 32))),
    "patches": tuple(_patches(patch) for patch in (32, 16, 8, 4)),
    "little": tuple(_little(network, images) for images in LITTLE for network in NETWORKS),
}
"""The runs of each lesson, by the name of the experiment."""


# Measurements


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
    """Faithfulness of one kind of map of the shipped run: areas under the curves, with the mean colour as cover.

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
    """Faithfulness of several kinds of maps of the shipped run.

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
        faithfulness: faithfulness of the shipped run's maps; None until it is measured.
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


Order = Literal["better", "worse", "similar"]


def contrast(one: Figures, other: Figures) -> Order:
    """Compare the accuracy of two variants.

    A variant is better if each of its seeds beats each of the other's and the means differ by at least :data:`APART`.
    """
    if abs(one.mean() - other.mean()) < APART:
        return "similar"
    if one.range()[0] > other.range()[1]:
        return "better"
    return "worse" if one.range()[1] < other.range()[0] else "similar"


@lru_cache(maxsize=1)
def stored() -> Stored:
    """Return the measurements that come with the project."""
    return Stored.from_json(FILE.read_bytes())


# A visitor's own runs


def is_of(config: RunConfig, variant: Variant) -> bool:
    """Return whether a run has the settings of a variant, apart from :data:`FREE`."""
    theirs, from_scratch = variant.config, config.start is None and not config.published
    training = config.training.model_copy(update={field: getattr(theirs.training, field) for field in FREE})
    return from_scratch and (config.model, config.data, training) == (theirs.model, theirs.data, theirs.training)


def own_runs(experiment: str, found: Iterable[Run]) -> dict[str, list[Run]]:
    """Return the runs of an experiment by variant; variants without a run are left out."""
    listed = list(found)
    every = {one.name: [run for run in listed if is_of(run.config, one)] for one in EXPERIMENTS[experiment]}
    return {name: mine for name, mine in every.items() if mine}
