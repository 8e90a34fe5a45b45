"""What the lessons are about: the runs that each of them compares, and what was measured with them.

A lesson's runs are ordinary settings (:data:`EXPERIMENTS`), which the program ``benchmarks/lessons.py`` trains from
several seeds, and which a visitor's own runs are recognised by. What it measured lies beside this file as JSON and is
read by :func:`stored`. Imports no torch.
"""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from vit.config import CNNConfig, DataConfig, ModelConfig, RunConfig, TrainingConfig, ViTConfig
from vit.config.base import Settings
from vit.cost.estimate import count_parameters
from vit.data.scenes import CLASSES
from vit.runs.run import Run

FILE = Path(__file__).with_name("lessons.json")
COMMAND = "python -m benchmarks.lessons"
"""What measures it."""

APART = 0.045
"""Means of accuracies that are nearer than this are not told apart: two standard errors of the difference between two
shares of 1,000 images, at most."""

FREE = ("seed", "device", "snapshots", "threads", "processes", "resume_steps", "max_seconds")
"""Settings of the training in which a person's run may differ and still be of a lesson: chance, pace and files."""


@dataclass(frozen=True)
class Variant:
    """One network of an experiment, and how it is trained.

    Attributes:
        name: in the stored figures; unique within its experiment.
        title: what a person calls it beside the others.
        config: the settings of its run from the first seed.
    """

    name: str
    title: str
    config: RunConfig

    @property
    def parameters(self) -> int:
        """Trained numbers."""
        return count_parameters(self.config.model)

    def seeded(self, seed: int) -> RunConfig:
        """The same from another seed."""
        training = self.config.training.model_copy(update={"seed": seed})
        return self.config.model_copy(update={"training": training})


def _run(model: ModelConfig, *, train_images: int | None = None, **recipe: float) -> RunConfig:
    images = DataConfig(class_names=CLASSES, image_size=model.image_size, train_images=train_images)
    return RunConfig(model=model, data=images, training=TrainingConfig(**recipe))


def _plain(**model: int) -> ViTConfig:
    """The textbook's network: linear patches and a class token."""
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
"""Training images of the lesson on little data, and the epochs that they are seen in."""

NETWORKS: dict[str, tuple[str, ModelConfig]] = {
    "cnn": ("CNN", CNNConfig(image_size=32)),
    "conv": ("ViT, convolutions first", ViTConfig(image_size=32)),
    "patch": ("ViT, linear patches", ViTConfig(image_size=32, stem="patch")),
}
"""The networks of the lesson on little data: what they are called, and their settings."""


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
"""The runs of each lesson, by the experiment's name."""


# What was measured


class Training(Settings):
    """One training of a variant, as measured.

    Attributes:
        accuracy: on the validation images, of the epoch in which it was best: what the Runs page shows of a run.
        train_accuracy: of that epoch, the mean over the augmented training images.
        seconds: of processor time, on one thread, validation included.
        apart: how much two heads of the last layer differ in what the summary token attends to, mean over pairs and
            images: total variation distance, 0 the same and 1 nothing in common; None where there is one head or none.
        on_object: share of the summary token's attention to patches, in the last layer, that lies on the object.
        by_area: the same of attention that is spread evenly: the object's share of the image.
    """

    seed: int
    accuracy: float
    train_accuracy: float
    seconds: float
    apart: float | None = None
    on_object: float | None = None
    by_area: float | None = None


class MapScores(Settings):
    """One map of the shipped run, judged: areas under the curves of covering with the mean colour.

    Attributes:
        deletion, insertion: less is better, more is better.
        inside: share of the map on the object.
        deletion_better, insertion_better: better than the best row of chance, by the 95 % interval of the paired
            differences; None for a row of chance.
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
        """Whether it is a map that knows nothing."""
        return self.deletion_better is None


class FaithfulnessTable(Settings):
    """Maps of the shipped run on so many validation images."""

    images: int
    rows: tuple[MapScores, ...]

    def row(self, name: str) -> MapScores:
        """The row of a method, or of chance."""
        return next(row for row in self.rows if row.name == name)


class Stored(Settings):
    """All that the program has measured.

    Attributes:
        environment: versions and processor, in words.
        trainings: by experiment, then by variant.
        faithfulness: of the shipped run; None until it is measured.
    """

    environment: str = ""
    trainings: Mapping[str, Mapping[str, tuple[Training, ...]]] = Field(default_factory=dict)
    faithfulness: FaithfulnessTable | None = None

    def of(self, experiment: str, variant: str) -> "Figures":
        """The trainings of one variant."""
        return Figures(self.trainings.get(experiment, {}).get(variant, ()))


@dataclass(frozen=True)
class Figures:
    """The trainings of one variant from several seeds."""

    trainings: tuple[Training, ...]

    @property
    def seeds(self) -> int:
        """How many there are."""
        return len(self.trainings)

    def values(self, field: str) -> list[float]:
        """One number of each training that has it."""
        found = [getattr(training, field) for training in self.trainings]
        return [value for value in found if value is not None]

    def mean(self, field: str = "accuracy") -> float:
        """The mean over the seeds."""
        return statistics.fmean(self.values(field))

    def range(self, field: str = "accuracy") -> tuple[float, float]:
        """The least and the most of the seeds."""
        values = self.values(field)
        return min(values), max(values)


Order = Literal["better", "worse", "alike"]


def contrast(one: Figures, other: Figures) -> Order:
    """Whether one variant is more accurate than another: each seed of it than each of the other, and by enough."""
    if abs(one.mean() - other.mean()) < APART:
        return "alike"
    if one.range()[0] > other.range()[1]:
        return "better"
    return "worse" if one.range()[1] < other.range()[0] else "alike"


@lru_cache(maxsize=1)
def stored() -> Stored:
    """The measured figures that came with the project."""
    return Stored.from_json(FILE.read_bytes())


# A visitor's own runs


def is_of(config: RunConfig, variant: Variant) -> bool:
    """Whether a run's settings are a variant's, whatever its seed, device and pace."""
    theirs, drawn = variant.config, config.start is None and not config.published
    training = config.training.model_copy(update={field: getattr(theirs.training, field) for field in FREE})
    return drawn and (config.model, config.data, training) == (theirs.model, theirs.data, theirs.training)


def own_runs(experiment: str, found: Iterable[Run]) -> dict[str, list[Run]]:
    """Those of a person's runs that are of an experiment, by the variant's name; variants without any are left out."""
    listed = list(found)
    every = {one.name: [run for run in listed if is_of(run.config, one)] for one in EXPERIMENTS[experiment]}
    return {name: mine for name, mine in every.items() if mine}
