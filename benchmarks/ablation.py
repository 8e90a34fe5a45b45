"""Measure what each part of the default ViT and its recipe contributes, by training without it.

    python -m benchmarks.ablation PHOTOS.zip [--epochs 10] [--seeds 1] [--out TABLE.md]

The variants train on nine tenths of the training images and are evaluated on the other tenth, chosen with a seed. The
validation images are not used. All variants train for the same number of epochs; the column of seconds shows the cost
in time.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
from torch import nn

from benchmarks.accuracy import Photographs, Row, table, trained
from vit import data
from vit.config import DataConfig, TrainingConfig, ViTConfig
from vit.data import Split

HELD_OUT, SPLIT_SEED = 0.1, 7

RECIPE = TrainingConfig(keep="last", snapshots=0)
VARIANTS: dict[str, tuple[ViTConfig, TrainingConfig]] = {
    "default": (ViTConfig(), RECIPE),
    "depth 2": (ViTConfig(depth=2), RECIPE),
    "four heads of half the width": (ViTConfig(num_heads=4), RECIPE),
    "with two residual convolutions": (ViTConfig(stem_blocks=2), RECIPE),
    "without weight standardisation": (ViTConfig(), RECIPE),
    "without layer scale": (ViTConfig(init_values=0.0), RECIPE),
    "linear patches instead of convolutions": (ViTConfig(stem="patch"), RECIPE),
    "mean of the patches instead of the class token": (ViTConfig(pool="mean"), RECIPE),
    "without blank images": (ViTConfig(), RECIPE.model_copy(update={"blank_images": 0.0})),
    "weight decay 0.05": (ViTConfig(), RECIPE.model_copy(update={"weight_decay": 0.05})),
}


def held_out(photos: Photographs) -> Photographs:
    """Return only the training images, with a tenth of them as validation images."""
    train = photos.images.train
    order = np.random.default_rng(SPLIT_SEED).permutation(len(train))
    count = round(HELD_OUT * len(train))

    def rows(chosen: np.ndarray) -> Split:
        chosen = np.sort(chosen)
        return replace(train, images=train.images[chosen], labels=np.asarray(train.labels)[chosen])

    return replace(photos, images=replace(photos.images, train=rows(order[count:]), val=rows(order[:count])))


@contextmanager
def variant_patches(name: str) -> Iterator[None]:
    """Replace standardised convolutions for the variant without them: there is no setting for that."""
    if name == "without weight standardisation":
        with patch("vit.model.StandardisedConv2d", nn.Conv2d):
            yield
    else:
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", help="folder or zip in ImageFolder layout")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, help="also write the Markdown to this file")
    options = parser.parse_args()
    info = data.describe(options.photos)
    config = DataConfig(source=info.source, image_size=info.auto_image_size, class_names=info.class_names)
    photos = held_out(Photographs(data.load(config, splits=("train",)), config))
    rows: list[list[Row]] = []
    for name, (model, recipe) in VARIANTS.items():
        with variant_patches(name):
            rows.append([trained(photos, name, model, recipe, options.epochs, seed) for seed in range(options.seeds)])
    text = table(rows)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
