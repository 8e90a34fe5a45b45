"""Compare candidates for the default network on scenes: how well they answer, and how much attention has to do with it.

    python -m benchmarks.search [--seeds 1] [--epochs 28] [--only WORD,...]

Every candidate trains with the standard recipe on four fifths of the training scenes and is measured on the other
fifth, 1,000 scenes; the validation scenes are not used. The first row is the default, the second the network that was
the default before; in each other row one setting of the default differs. The columns are those of
``python -m benchmarks.dependence``, and the seconds of the training as a multiple of the default's.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from vit import data
from vit.config import DataConfig, RunConfig, TrainingConfig, ViTConfig
from vit.data import ImageData, Split
from vit.explain.heads.dependence import attention_dependence, choose_images
from vit.networks import build_model
from vit.runs.dependence import Dependence
from vit.runs.weights import CheckpointInfo
from vit.trainer import Epoch, Snapshot, fit

HELD_OUT = 1000
FORMER = ViTConfig(stem_blocks=2, depth=2, num_heads=4, embed_dim=128, pool="mean")

CANDIDATES: dict[str, tuple[ViTConfig, dict]] = {
    "**default**": (ViTConfig(), {}),
    "former default": (FORMER, {"epochs": 20, "blank_images": 0.0}),
    "two residual convolutions": (ViTConfig(stem_blocks=2), {}),
    "linear patches": (ViTConfig(stem="patch"), {}),
    "patches of 4 px": (ViTConfig(patch_size=4), {}),
    "mean of the patches": (ViTConfig(pool="mean"), {}),
    "2 layers": (ViTConfig(depth=2), {}),
    "3 layers": (ViTConfig(depth=3), {}),
    "4 heads of half the width": (ViTConfig(num_heads=4), {}),
    "width 96, 3 heads": (ViTConfig(embed_dim=96, num_heads=3), {}),
    "2 registers": (ViTConfig(reg_tokens=2), {}),
    "without blank images": (ViTConfig(), {"blank_images": 0.0}),
    "a penalty on heads that look alike": (ViTConfig(), {"diversity": 0.1}),
}
COLUMNS = (
    "candidate",
    "seed",
    "accuracy",
    "without heads",
    "uniform attention",
    "mean maps",
    "heads that cost accuracy",
    "on the object, best head",
    "correlation",
    "grey picture",
    "times the default's seconds",
)


def main() -> None:
    """Train the candidates and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=TrainingConfig().epochs)
    parser.add_argument("--only", help="comma-separated words; besides the default, only candidates with one of them")
    options = parser.parse_args()
    words = options.only.split(",") if options.only else [""]
    config = DataConfig()
    images = held_out(data.load(config, splits=("train",)))
    print(f"| {' | '.join(COLUMNS)} |\n{'| --- ' * len(COLUMNS)}|", flush=True)
    seconds: dict[int, float] = {}  # of the default, by seed
    for number, (name, (model, changes)) in enumerate(CANDIDATES.items()):
        if number and not any(word in name for word in words):
            continue
        for seed in range(options.seeds):
            training = TrainingConfig(
                **{"epochs": options.epochs, "keep": "last", "snapshots": 0, "seed": seed} | changes
            )
            found, taken = measured(RunConfig(model=model, data=config, training=training), images)
            seconds.setdefault(seed, taken)
            print(f"| {' | '.join(cells(name, seed, found, taken / seconds[seed]))} |", flush=True)


def held_out(images: ImageData) -> ImageData:
    """Return the training images without the last :data:`HELD_OUT`, and these as validation images."""
    train = images.train

    def rows(chosen: slice) -> Split:
        masks = None if train.masks is None else train.masks[chosen]
        return replace(train, images=train.images[chosen], labels=np.asarray(train.labels)[chosen], masks=masks)

    return replace(images, train=rows(slice(None, -HELD_OUT)), val=rows(slice(-HELD_OUT, None)))


def measured(config: RunConfig, images: ImageData) -> tuple[Dependence, float]:
    """Train, and return the attention dependence on the held-out scenes and the seconds of the training."""
    begin, weights = time.monotonic(), {}
    val = images.val
    unseen = replace(images, val=replace(val, images=val.images[:0], labels=np.asarray(val.labels)[:0], masks=None))
    for event in fit(config, unseen):
        match event:
            case Epoch():
                weights = event.weights
                print(f"epoch {event.epoch}, loss {event.train_loss:.3f}", end="\r", file=sys.stderr, flush=True)
            case Snapshot(final=True):
                weights = event.weights
    taken = time.monotonic() - begin
    model = build_model(config.model)
    model.load_state_dict(weights)
    of = config.data
    info = CheckpointInfo(of.class_names, of.mean, of.std, of.image_size, of.source, {}, config)
    return attention_dependence(model.eval(), choose_images(model, info, val, len(val))), taken


def cells(name: str, seed: int, found: Dependence, times: float) -> Iterator[str]:
    """Yield the cells of a row."""
    yield from (name, str(seed))
    for share in (found.accuracy, found.without_heads, found.even_patterns, found.mean_patterns):
        yield f"{share:.3f}"
    yield f"{found.needed_heads} of {found.heads}"
    yield "–" if found.best_inside is None else f"{found.best_inside:.2f} ({found.object_area:.2f})"
    yield "–" if found.mean_variety is None else f"{found.mean_variety:.2f}"
    yield f"{found.grey:.2f}"
    yield f"{times:.2f}"


if __name__ == "__main__":
    main()
