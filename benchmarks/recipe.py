"""Measure what each part of the stronger recipe contributes, and what the recipe reaches in a given time.

    python -m benchmarks.recipe PHOTOS [--seeds 3] [--epochs 15] [--teacher-epochs 30] [--images N] [--only NAME,...]
    python -m benchmarks.recipe PHOTOS --bars [--precision bfloat16]

PHOTOS is a folder or zip in ImageFolder layout. The first form trains on nine tenths of the training images and
evaluates on the other tenth; the validation images are not used. One row is the standard recipe, one the stronger
recipe with a teacher; in each other row one part is removed from it or added to it. The teacher is a CNN that is
trained first, on the same images; its seconds are a row of their own.

With ``--bars`` the networks train on all training images and are evaluated once on the validation images: the CNN for
15 epochs; the standard recipe in twice the CNN's seconds; the stronger recipe with a teacher in three times the CNN's
seconds: the default network, one with a residual convolution, and one with linear patches. The seconds of a step are
first measured in turns. The CNN trains in float32, the Transformers in ``--precision``. The last column is the accuracy
with uniform attention in every head.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.ablation import held_out
from benchmarks.accuracy import (
    BASELINE_EPOCHS,
    BASELINE_WEIGHT_DECAY,
    Photographs,
    Row,
    seconds_a_step,
    table,
    trained,
)
from vit import data
from vit.config import RECIPES, CNNConfig, DataConfig, ModelConfig, TrainingConfig, ViTConfig
from vit.data.sampling import subset
from vit.explain.heads.dependence import attention_dependence, choose_images
from vit.runs.weights import CheckpointInfo

TEACHER = "cnn-teacher"
COMMON = {"keep": "last", "snapshots": 0}
STANDARD = TrainingConfig(**COMMON)
STRONG = RECIPES["strong"].model_copy(update=COMMON | {"teacher": TEACHER})
DEFAULT = ViTConfig(patch_size=4)
CONVOLUTION = ViTConfig(patch_size=4, stem_blocks=1, embed_dim=96, num_heads=3)
LINEAR = ViTConfig(patch_size=4, stem="patch", embed_dim=96, num_heads=3)
PARTS: dict[str, dict[str, Any]] = {
    "a teacher": {"teacher": TEACHER},
    "hard distillation": {"distillation": "hard"},
    "an average of the weights": {"average": 0.99},
    "mixup": {"mixup": 0.2, "mix_probability": 0.5},
    "CutMix": {"cutmix": 1.0, "mix_probability": 0.5},
    "RandAugment": {"randaugment": 1, "magnitude": 7.0},
    "repeated augmentation": {"repeats": 3},
    "Muon": {"optimizer": "muon"},
    "blank images": {"blank_images": 0.05},
    "a penalty on heads that look alike": {"diversity": 0.1},
}


def variants() -> Iterator[tuple[str, TrainingConfig]]:
    """Yield the recipes of the table with their names."""
    yield "standard recipe", STANDARD
    yield "**stronger recipe with a teacher**", STRONG
    for name, settings in PARTS.items():
        first = next(iter(settings))  # the setting that turns the part on
        if getattr(STRONG, first) != TrainingConfig.limits(first).default:
            yield f"without {name}", STRONG.model_copy(update={first: TrainingConfig.limits(first).default})
        else:
            yield f"with {name}", STRONG.model_copy(update=settings)


def teach(photos: Photographs, epochs: int) -> Row:
    """Train the teacher: the small CNN with the stronger recipe."""
    recipe = STRONG.model_copy(update={"teacher": "", "weight_decay": BASELINE_WEIGHT_DECAY})
    return trained(photos, "the teacher, a small CNN", CNNConfig(), recipe, epochs, 0)


def ablation(photos: Photographs, options: argparse.Namespace) -> str:
    """Return the table of the parts, on held-out training images."""
    photos, only = held_out(photos), options.only.split(",") if options.only else []
    teacher = teach(photos, options.teacher_epochs)
    rows = [[teacher]]
    for name, recipe in variants():
        if only and not any(word in name for word in only):
            continue
        seeds = range(options.seeds)
        rows.append([trained(photos, name, DEFAULT, recipe, options.epochs, seed, teacher.model) for seed in seeds])
    return table(rows)


def bars(photos: Photographs, options: argparse.Namespace) -> str:
    """Return the table of what is reached in multiples of the CNN's seconds, on the validation images."""
    baseline = STANDARD.model_copy(update={"weight_decay": BASELINE_WEIGHT_DECAY})
    teacher = teach(photos, options.teacher_epochs)
    entries: dict[str, tuple[ModelConfig, TrainingConfig, float]] = {
        "standard recipe, default network": (DEFAULT, STANDARD, 2),
        "stronger recipe with a teacher": (DEFAULT, STRONG, 3),
        "the same with a residual convolution, width 96": (CONVOLUTION, STRONG, 3),
        "the same with linear patches": (LINEAR, STRONG, 3),
    }
    if options.only:
        entries = {name: it for name, it in entries.items() if any(word in name for word in options.only.split(","))}
    fast = {"precision": options.precision}
    entries = {name: (model, recipe.model_copy(update=fast), it) for name, (model, recipe, it) in entries.items()}
    settings = {name: photos.settings(model, recipe) for name, (model, recipe, _) in entries.items()}
    steps = seconds_a_step(photos, {"cnn": photos.settings(CNNConfig(), baseline)} | settings, teacher.model)
    lines = [
        "| network | epochs | seconds | times the CNN's | accuracy, by seed | with uniform attention |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    cnn = [trained(photos, "small CNN", CNNConfig(), baseline, BASELINE_EPOCHS, seed) for seed in range(options.seeds)]
    seconds = float(np.mean([row.seconds for row in cnn]))
    lines += [_line(photos, "small CNN", cnn, seconds), _line(photos, teacher.name, [teacher], seconds)]
    for name, (model, recipe, times) in entries.items():
        epochs = int(times * BASELINE_EPOCHS * steps["cnn"] / steps[name])
        rows = [trained(photos, name, model, recipe, epochs, seed, teacher.model) for seed in range(options.seeds)]
        lines.append(_line(photos, f"{name}, {model.title}", rows, seconds))
    return "\n".join(lines)


def _line(photos: Photographs, name: str, rows: list[Row], baseline: float) -> str:
    accuracies = ", ".join(f"{row.accuracy:.3f}" for row in rows)
    seconds = float(np.mean([row.seconds for row in rows]))
    even = "–"
    if isinstance(rows[0].model.config, ViTConfig):
        even = ", ".join(f"{_with_uniform_attention(photos, row):.3f}" for row in rows)
    return f"| {name} | {rows[0].epochs:.3g} | {seconds:.0f} | {seconds / baseline:.2f} | {accuracies} | {even} |"


def _with_uniform_attention(photos: Photographs, row: Row) -> float:
    """Return the accuracy with uniform attention in every head, on all validation images."""
    of, model = photos.config, row.model
    config = photos.settings(model.config, STANDARD)
    info = CheckpointInfo(of.class_names, of.mean, of.std, of.image_size, of.source, {}, config)
    sample = choose_images(model, info, photos.images.val, len(photos.images.val))
    return attention_dependence(model, sample).even_patterns


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipe", description=__doc__.splitlines()[0])
    parser.add_argument("photos", help="folder or zip in ImageFolder layout")
    parser.add_argument("--bars", action="store_true", help="measure what is reached in a given time instead")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="with --bars")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=15, help="epochs of every row of the table of parts")
    parser.add_argument("--teacher-epochs", type=int, default=30)
    parser.add_argument("--images", type=int, help="use only this many training images")
    parser.add_argument("--only", help="comma-separated words; only rows whose name has one of them")
    parser.add_argument("--out", type=Path, help="also write the Markdown to this file")
    options = parser.parse_args()
    info = data.describe(options.photos)
    config = DataConfig(source=info.source, image_size=info.auto_image_size, class_names=info.class_names)
    photos = Photographs(data.load(config, splits=("train", "val") if options.bars else ("train",)), config)
    if options.images:
        train = photos.images.train
        rows = subset(np.asarray(train.labels), options.images, 0)
        train = replace(train, images=train.images[rows], labels=np.asarray(train.labels)[rows])
        photos = replace(photos, images=replace(photos.images, train=train))
    text = bars(photos, options) if options.bars else ablation(photos, options)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
