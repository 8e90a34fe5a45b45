"""Compare the accuracy of the networks on the same photographs, with the same augmentation and seeds.

    python -m benchmarks.accuracy [--photos PHOTOS.zip] [--seeds 3] [--limit 180] [--out TABLE.md]

- *shipped*: the included run, on its own validation images.
- *networks*: the small CNN for 15 epochs, and **the default ViT for as many epochs as take the same time**: steps of
  both are first timed in turns. Both are trained with each seed.
- *others*: the plain ViT and the residual CNN for 15 epochs, with the first seed.
- *rungs*: the course network, with its departures from the standard design fixed one after another, with the course's
  Adam, learning rate and batch size. On a CPU each stops after ``--limit`` seconds; the column of epochs shows how far
  it came.

Training does not see the validation images; they are read once at the end. The difference between the default ViT and
the CNN has a bootstrap interval over images, paired by image and averaged over the seeds.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import nn

from vit import data
from vit.config import (
    AUGMENTATIONS,
    DEPARTURES,
    RECIPES,
    CNNConfig,
    DataConfig,
    ModelConfig,
    ReferenceConfig,
    RunConfig,
    TrainingConfig,
    ViTConfig,
    default_patch_size,
)
from vit.cost.estimate import count_parameters
from vit.data import ImageData
from vit.evaluation import evaluate
from vit.networks import Network, build_model
from vit.paths import project_root
from vit.runs import SHIPPED_RUN, get_run
from vit.runs.weights import CheckpointInfo, load_checkpoint
from vit.trainer import Epoch, Snapshot, Step, fit

BASELINE_EPOCHS, BASELINE_WEIGHT_DECAY = 15, 0.05
PROBE_ROUNDS, PROBE_STEPS = 12, 8
RESAMPLES = 10_000


@dataclass(frozen=True)
class Row:
    """The result of one training.

    Attributes:
        train_accuracy: accuracy of the last complete epoch; None if there was none.
        right: whether each validation image was classified correctly, ``(n)``.
        model: the trained network.
    """

    name: str
    parameters: int
    epochs: float
    seconds: float
    train_accuracy: float | None
    right: np.ndarray
    model: Network

    @property
    def accuracy(self) -> float:
        """Share of validation images that were classified correctly."""
        return float(self.right.mean())


@dataclass(frozen=True)
class Photographs:
    """The images and the data settings of all trainings."""

    images: ImageData
    config: DataConfig

    def settings(self, model: ModelConfig, training: TrainingConfig) -> RunConfig:
        """Return the settings of a run on these images."""
        model = model.model_copy(
            update={"image_size": self.config.image_size, "num_classes": len(self.images.class_names)}
        )
        return RunConfig(model=type(model)(**model.model_dump()), data=self.config, training=training)

    def unseen(self) -> ImageData:
        """Return the images without the validation images, so that training cannot use them."""
        val = self.images.val
        return replace(self.images, val=replace(val, images=val.images[:0], labels=np.asarray(val.labels)[:0]))


def train(
    photos: Photographs, name: str, config: RunConfig, *, limit: float | None = None, teacher: nn.Module | None = None
) -> Row:
    """Train, then evaluate once on the validation images."""
    begin = time.monotonic()
    stop = None if limit is None else lambda: time.monotonic() - begin > limit
    weights, done, right = {}, 0.0, None
    steps = -(-len(photos.images.train) // config.training.batch_size)
    for event in fit(config, photos.unseen(), stop=stop, teacher=teacher):
        match event:
            case Step():
                done = event.step / steps
                if event.step % 200 == 0:
                    print(f"{name}: epoch {done:.1f}, loss {event.loss:.3f}", end="\r", file=sys.stderr, flush=True)
            case Epoch():
                right, weights = event.train_accuracy, event.weights
            case Snapshot(final=True):
                weights = event.weights
    seconds = time.monotonic() - begin
    model = build_model(config.model)
    model.load_state_dict(weights)
    of = config.data
    info = CheckpointInfo(of.class_names, of.mean, of.std, of.image_size, of.source, {}, config)
    result = evaluate(model.eval(), info, photos.images.val)
    right_ones = result.predictions == result.labels
    return Row(name, count_parameters(config.model), done, seconds, right, right_ones, model)


def seconds_a_step(
    photos: Photographs, configs: dict[str, RunConfig], teacher: nn.Module | None = None
) -> dict[str, float]:
    """Return the median seconds of a training step of each, timed in turns so that other load affects all equally."""
    loops = {name: fit(config, photos.unseen(), teacher=teacher) for name, config in configs.items()}
    times: dict[str, list[float]] = {name: [] for name in configs}
    for turn in range(PROBE_ROUNDS + 1):
        for name, loop in loops.items():
            begin = time.monotonic()
            for _ in range(PROBE_STEPS):
                next(loop)
            if turn:  # the first turn warms up
                times[name].append((time.monotonic() - begin) / PROBE_STEPS)
    return {name: statistics.median(values) for name, values in times.items()}


def trained(
    photos: Photographs,
    name: str,
    model: ModelConfig,
    recipe: TrainingConfig,
    epochs: int,
    seed: int,
    teacher: nn.Module | None = None,
) -> Row:
    """Train a network with a seed, and return its row."""
    training = recipe.model_copy(update={"epochs": epochs, "seed": seed})
    row = train(photos, name, photos.settings(model, training), teacher=teacher)
    print(f"{name}, seed {seed}: {row.accuracy:.4f} in {row.seconds:.0f} s", file=sys.stderr, flush=True)
    return row


def networks(photos: Photographs, seeds: Sequence[int]) -> list[list[Row]]:
    """Train the small CNN, and the default ViT for the same time. Return a list per network with a row per seed."""
    recipe, cnn = TrainingConfig(keep="last", snapshots=0), CNNConfig()
    default = ViTConfig(patch_size=default_patch_size(photos.config.image_size))
    baseline = recipe.model_copy(update={"weight_decay": BASELINE_WEIGHT_DECAY})
    steps = seconds_a_step(photos, {"cnn": photos.settings(cnn, recipe), "vit": photos.settings(default, recipe)})
    epochs = int(BASELINE_EPOCHS * steps["cnn"] / steps["vit"])
    print(
        f"A step with {recipe.batch_size} images takes {steps['cnn'] * 1e3:.0f} ms for the CNN and "
        f"{steps['vit'] * 1e3:.0f} ms for the default ViT: {epochs} epochs of the ViT take the time of "
        f"{BASELINE_EPOCHS} epochs of the CNN.\n",
        flush=True,
    )
    rows: list[list[Row]] = [[], []]
    for seed in seeds:
        rows[0].append(trained(photos, "small CNN", cnn, baseline, BASELINE_EPOCHS, seed))
        rows[1].append(trained(photos, "**default ViT**", default, recipe, epochs, seed))
    return rows


def others(photos: Photographs, seed: int) -> list[list[Row]]:
    """Train the plain ViT and the residual CNN for as many epochs as the small CNN."""
    recipe = TrainingConfig(keep="last", snapshots=0, weight_decay=BASELINE_WEIGHT_DECAY)
    plain = ViTConfig(stem="patch", pool="cls", depth=2, num_heads=2)
    named = {"plain ViT, linear patches": plain, "residual CNN": CNNConfig(residual=True)}
    return [[trained(photos, name, model, recipe, BASELINE_EPOCHS, seed)] for name, model in named.items()]


def rungs(photos: Photographs, seed: int, limit: float) -> list[list[Row]]:
    """Train the course network, with one more departure fixed at each rung."""
    changes = dict.fromkeys(AUGMENTATIONS, True) | {"keep": "last", "snapshots": 0, "seed": seed}
    course = RECIPES["course"].model_copy(update=changes)
    found = []
    for rung in range(len(DEPARTURES) + 1):
        mended = DEPARTURES[:rung]
        # The same number of tokens as with the images of the course.
        model = ReferenceConfig(
            image_size=photos.config.image_size, patch_size=photos.config.image_size // 4, mended=mended
        )
        name = f"rung {rung}: + {mended[-1]}" if mended else "course network (rung 0)"
        row = train(photos, name, photos.settings(model, course), limit=limit)
        print(f"{name}: {row.accuracy:.4f} in {row.seconds:.0f} s", file=sys.stderr, flush=True)
        found.append([row])
    return found


def table(rows: list[list[Row]]) -> str:
    """Return a Markdown table: one line per network, with means over its seeds."""
    lines = [
        "| network | parameters | epochs | training accuracy | validation accuracy | seconds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for seeds in rows:
        accuracies = [row.accuracy for row in seeds]
        spread = f" ({min(accuracies):.3f} to {max(accuracies):.3f})" if len(seeds) > 1 else ""
        trained_on = [row.train_accuracy for row in seeds if row.train_accuracy is not None]
        lines.append(
            f"| {seeds[0].name} | {seeds[0].parameters:,} | {seeds[0].epochs:.3g} "
            f"| {f'{statistics.mean(trained_on):.3f}' if trained_on else '–'} "
            f"| {statistics.mean(accuracies):.3f}{spread} | {statistics.mean(row.seconds for row in seeds):.0f} |"
        )
    return "\n".join(lines)


def difference(ours: list[Row], theirs: list[Row]) -> str:
    """Return the mean difference of accuracy (ours - theirs) with a 95 % paired bootstrap interval over images."""
    each = np.mean([a.right.astype(float) - b.right for a, b in zip(ours, theirs, strict=True)], axis=0)  # (n)
    rng = np.random.default_rng(0)
    means = [each[rng.integers(len(each), size=len(each))].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return (
        f"{ours[0].name} minus {theirs[0].name}, over {len(ours)} seeds: {each.mean():+.4f} "
        f"(95 % paired bootstrap over images: {low:+.4f} to {high:+.4f})"
    )


def shipped() -> str:
    """Return a sentence with the validation accuracy of the included run."""
    run = get_run(project_root() / "checkpoints" / SHIPPED_RUN)
    model, info = load_checkpoint(run.path)
    result = evaluate(model, info, data.load(info.config.data, splits=("val",)).val)
    return f"Included run on {info.dataset}: {result.accuracy:.4f} of {len(result.labels):,} validation images."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--photos", help="folder or zip in ImageFolder layout; without it, only the included run is evaluated"
    )
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds of the two compared networks")
    parser.add_argument("--limit", type=float, default=180, help="seconds of training of each rung")
    parser.add_argument("--parts", default="shipped,networks,others,rungs", help="comma-separated parts")
    parser.add_argument("--out", type=Path, help="also write the Markdown to this file")
    options = parser.parse_args()
    parts = [shipped()] if "shipped" in options.parts else []
    if options.photos:
        info = data.describe(options.photos)
        config = DataConfig(source=info.source, image_size=info.auto_image_size, class_names=info.class_names)
        photos = Photographs(data.load(config), config)
        if "networks" in options.parts:
            rows = networks(photos, range(options.seeds))
            parts += [table(rows), difference(rows[1], rows[0])]
        if "others" in options.parts:
            parts.append(table(others(photos, 0)))
        if "rungs" in options.parts:
            parts.append(table(rungs(photos, 0, options.limit)))
    text = "\n\n".join(parts)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
