"""Compare trainings in float32 and in bfloat16: losses, accuracies and seconds, side by side.

    python -m benchmarks.precision [--epochs 6] [--seeds 3] [--train-images 2000] [--val-images 1000]
                                   [--networks default,small-field] [--device auto] [--threads N]

Both trainings of a pair have the same seed and take turns by epoch, so that other load on the machine affects both. A
loss is the mean of an epoch's training losses. The largest difference between the losses of a pair is relative to the
loss in float32, over all epochs. Accuracies are those after the last epoch, on all validation images, in float32.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from vit import data
from vit.config import DataConfig, RunConfig, TrainingConfig, ViTConfig
from vit.data import ImageData
from vit.jobs import environment
from vit.support import hardware
from vit.trainer import Epoch, Step, fit

PRECISIONS = ("float32", "bfloat16")
NETWORKS = {
    "default": ViTConfig(),
    "residual-stem": ViTConfig(patch_size=8, stem_blocks=2, embed_dim=128, depth=2, num_heads=4, pool="mean"),
    "small-field": ViTConfig(patch_size=8, stem_blocks=0, embed_dim=128, depth=4, num_heads=4, pool="cls"),
    "fine-grid": ViTConfig(patch_size=4, stem_blocks=0, embed_dim=96, depth=4, num_heads=4, pool="cls"),
}
"""The default, and networks with a convolutional stem: residual blocks and mean pooling; a small receptive field and a
class token, on an 8 x 8 and on a 16 x 16 grid."""


@dataclass(frozen=True)
class Training:
    """The epochs of a training and the seconds of its steps: of the processor on a CPU, of the clock on a GPU."""

    epochs: list[Epoch]
    seconds: float


def pair(
    model: ViTConfig, recipe: TrainingConfig, images: ImageData, config: DataConfig, device: str
) -> tuple[Training, Training]:
    """Train in float32 and in bfloat16, in turns by epoch."""
    clock = time.process_time if device == "cpu" else time.perf_counter

    seconds = dict.fromkeys(PRECISIONS, 0.0)

    def epochs(precision: str) -> Iterator[Epoch]:
        training = recipe.model_copy(update={"precision": precision})
        events = fit(RunConfig(model=model, data=config, training=training), images)
        begun = clock()
        for event in events:
            if isinstance(event, Step):
                seconds[precision] += clock() - begun
            elif isinstance(event, Epoch):
                yield event
            begun = clock()

    sides = {precision: epochs(precision) for precision in PRECISIONS}
    found: dict[str, list[Epoch]] = {precision: [] for precision in PRECISIONS}
    for number in range(recipe.epochs):
        for precision in PRECISIONS if number % 2 else PRECISIONS[::-1]:
            found[precision].append(next(sides[precision]))
    exact, rounded = (Training(found[precision], seconds[precision]) for precision in PRECISIONS)
    return exact, rounded


def loss_difference(exact: Training, rounded: Training) -> float:
    """Return the largest relative difference between the training losses of an epoch."""
    losses = ((a.train_loss, b.train_loss) for a, b in zip(exact.epochs, rounded.epochs, strict=True))
    return max(abs(b - a) / a for a, b in losses)


def row(name: str, seed: int, exact: Training, rounded: Training) -> str:
    """Return the table row of a pair."""
    sides = (exact, rounded)
    cells = [name, str(seed), *(f"{side.epochs[-1].train_loss:.4f}" for side in sides)]
    cells += [f"{loss_difference(exact, rounded):.2%}", *(f"{side.epochs[-1].val_accuracy:.4f}" for side in sides)]
    cells += [*(f"{side.seconds:.0f}" for side in sides), f"{exact.seconds / rounded.seconds:.2f}"]
    return f"| {' | '.join(cells)} |"


def summary(name: str, pairs: list[tuple[Training, Training]]) -> str:
    """Return a sentence on all pairs of a network."""
    exact, rounded = ([sides[index].epochs[-1].val_accuracy for sides in pairs] for index in (0, 1))
    difference = statistics.mean(b - a for a, b in zip(exact, rounded, strict=True))
    ratio = sum(a.seconds for a, _ in pairs) / sum(b.seconds for _, b in pairs)
    return (
        f"- {name}: bfloat16 is {ratio:.2f} times as fast; losses differ by at most "
        f"{max(loss_difference(*sides) for sides in pairs):.2%}; accuracy {statistics.mean(exact):.4f} and "
        f"{statistics.mean(rounded):.4f}, {difference:+.4f}, with {max(exact) - min(exact):.4f} between the seeds in "
        "float32."
    )


def main() -> None:
    """Train all pairs, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.precision", description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train-images", type=int, default=2000)
    parser.add_argument("--val-images", type=int, default=1000)
    parser.add_argument("--networks", default="default,small-field", help=f"of {', '.join(NETWORKS)}")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's default)")
    options = parser.parse_args()
    names = options.networks.split(",")
    if unknown := [name for name in names if name not in NETWORKS]:
        parser.error(f"{unknown[0]!r} is not one of {', '.join(NETWORKS)}")
    environment.set_threads(options.threads, None)
    device = hardware.resolve(options.device)
    config = DataConfig(train_images=options.train_images, val_images=options.val_images)
    images = data.load(config)
    config = config.model_copy(update={"class_names": images.class_names})
    train, val = images.splits()
    print(f"{hardware.processor()}, {device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{len(train):,} training and {len(val):,} validation images, {options.epochs} epochs.\n")
    print("| network | seed | loss, float32 | bfloat16 | largest difference | accuracy, float32 | bfloat16 ", end="")
    print("| seconds, float32 | bfloat16 | faster by |")
    print(f"|{' --- |' * 10}")
    sentences = []
    for name in names:
        pairs = []
        for seed in range(options.seeds):
            recipe = TrainingConfig(epochs=options.epochs, seed=seed, device=device, snapshots=0)
            pairs.append(pair(NETWORKS[name], recipe, images, config, device))
            print(row(name, seed, *pairs[-1]), flush=True)
        sentences.append(summary(name, pairs))
    print("\n" + "\n".join(sentences))


if __name__ == "__main__":
    main()
