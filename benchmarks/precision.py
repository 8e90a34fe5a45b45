"""Compare trainings in float32 and in bfloat16: losses, accuracies and seconds.

    python -m benchmarks.precision [--epochs 6] [--seeds 3] [--train-images 2000] [--val-images 1000]
                                   [--networks default,small-field] [--device auto] [--threads N]

The trainings have the same seed and take turns by epoch, so that other load on the machine affects all of them. A loss
is the mean of an epoch's training losses. The largest difference between two trainings is relative to the loss in
float32, over all epochs. Accuracies are those after the last epoch, on all validation images, in float32.

A third training, the control, is in float32 with another number of threads, so that sums are rounded in another order.
Its difference says how far two trainings come apart that differ by rounding errors of float32 alone.
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

SIDES = ("float32", "bfloat16", "control")
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


def sides(
    model: ViTConfig, recipe: TrainingConfig, images: ImageData, config: DataConfig, device: str
) -> dict[str, Training]:
    """Train in float32, in bfloat16 and as a control, in turns by epoch."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    threads = torch.get_num_threads()
    seconds = dict.fromkeys(SIDES, 0.0)

    def epochs(side: str) -> Iterator[Epoch]:
        training = recipe.model_copy(update={"precision": "bfloat16" if side == "bfloat16" else "float32"})
        events = fit(RunConfig(model=model, data=config, training=training), images)
        begun = clock()
        for event in events:
            if isinstance(event, Step):
                seconds[side] += clock() - begun
            elif isinstance(event, Epoch):
                yield event
            begun = clock()

    loops = {side: epochs(side) for side in SIDES}
    found: dict[str, list[Epoch]] = {side: [] for side in SIDES}
    for number in range(recipe.epochs):
        for side in SIDES if number % 2 else SIDES[::-1]:
            torch.set_num_threads(threads % 2 + 1 if side == "control" else threads)
            found[side].append(next(loops[side]))
    torch.set_num_threads(threads)
    return {side: Training(found[side], seconds[side]) for side in SIDES}


def loss_difference(exact: Training, rounded: Training) -> float:
    """Return the largest relative difference between the training losses of an epoch."""
    losses = ((a.train_loss, b.train_loss) for a, b in zip(exact.epochs, rounded.epochs, strict=True))
    return max(abs(b - a) / a for a, b in losses)


def row(name: str, seed: int, found: dict[str, Training]) -> str:
    """Return the table row of three trainings."""
    exact = found["float32"]
    cells = [name, str(seed), *(f"{it.epochs[-1].train_loss:.4f}" for it in found.values())]
    cells += [f"{loss_difference(exact, found[side]):.2%}" for side in ("bfloat16", "control")]
    cells += [f"{it.epochs[-1].val_accuracy:.4f}" for it in found.values()]
    return f"| {' | '.join(cells)} | {exact.seconds / found['bfloat16'].seconds:.2f} |"


def summary(name: str, seeds: list[dict[str, Training]]) -> str:
    """Return a sentence on all trainings of a network."""
    accuracies = {side: [found[side].epochs[-1].val_accuracy for found in seeds] for side in SIDES}
    means = {side: statistics.mean(values) for side, values in accuracies.items()}
    most = {side: max(loss_difference(found["float32"], found[side]) for found in seeds) for side in SIDES}
    ratio = sum(found["float32"].seconds for found in seeds) / sum(found["bfloat16"].seconds for found in seeds)
    return (
        f"- {name}: bfloat16 is {ratio:.2f} times as fast; its losses differ by at most {most['bfloat16']:.2%}, those "
        f"of the control by at most {most['control']:.2%}; accuracy {means['float32']:.4f} in float32, "
        f"{means['bfloat16']:.4f} in bfloat16, {means['control']:.4f} of the control, with "
        f"{max(accuracies['float32']) - min(accuracies['float32']):.4f} between the seeds in float32."
    )


def main() -> None:
    """Train all networks, and print the table."""
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
    columns = ["network", "seed", *(f"loss, {side}" for side in SIDES), "largest difference, bfloat16", "control"]
    columns += [*(f"accuracy, {side}" for side in SIDES), "bfloat16 faster by"]
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    sentences = []
    for name in names:
        found = []
        for seed in range(options.seeds):
            recipe = TrainingConfig(epochs=options.epochs, seed=seed, device=device, snapshots=0)
            found.append(sides(NETWORKS[name], recipe, images, config, device))
            print(row(name, seed, found[-1]), flush=True)
        sentences.append(summary(name, found))
    print("\n" + "\n".join(sentences))


if __name__ == "__main__":
    main()
