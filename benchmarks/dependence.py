"""Measure how much runs depend on their attention, and how long that takes.

    python -m benchmarks.dependence [scenes ...] [--images 500] [--train 3]

The first table has one row for each run: its accuracy as it is, with zeros in place of all heads, with uniform
attention and with mean maps in all heads; the attention dependence; the heads whose single ablation costs accuracy
beyond its 95% interval; the best head's attention on the object (a uniform map's share in brackets); the mean
correlation of the maps of a layer's heads; the largest probability for a grey picture; and the seconds of the
measurement, as they are and as a share of the run's training. The last two columns are only meaningful on the machine
that trained the run.

With ``--train`` the default network is trained for this many epochs on scenes, and the second table tells which part of
the time its measurement takes at the end of the training.
"""

import argparse
import os
import tempfile
import time
from unittest.mock import patch

from vit import configure, jobs, runs
from vit.config import TransformerConfig
from vit.explain.heads.dependence import IMAGES, measure_run
from vit.paths import data_dir
from vit.runs import SHIPPED_RUN, Run, get_run
from vit.runs.dependence import read_dependence

HEAD = (
    "run",
    "network",
    "images",
    "accuracy",
    "without heads",
    "uniform attention",
    "mean maps",
    "dependence",
    "heads that cost accuracy",
    "on the object, best head",
    "correlation",
    "grey picture",
    "seconds",
    "of the training",
)


def row(run: Run, images: int) -> tuple[str, ...]:
    """Measure a run anew and return its row of the table."""
    start = time.perf_counter()
    found = measure_run(run, count=images)
    seconds = time.perf_counter() - start
    trained = (run.latest or run.best or {}).get("seconds")
    model = run.config.model
    assert isinstance(model, TransformerConfig)  # others are refused by measure_run
    inside = "–" if found.best_inside is None else f"{found.best_inside:.2f} ({found.object_area:.2f})"
    return (
        run.name,
        f"{model.title}, {model.grid} x {model.grid} patches",
        str(found.images),
        *(f"{share:.3f}" for share in (found.accuracy, found.without_heads, found.even_patterns, found.mean_patterns)),
        found.text,
        f"{found.needed_heads} of {found.heads}",
        inside,
        "–" if found.mean_variety is None else f"{found.mean_variety:.2f}",
        f"{found.grey:.2f}",
        f"{seconds:.1f}",
        "–" if not trained else f"{seconds / trained:.1%}",
    )


def print_row(cells: tuple[str, ...]) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def time_training(epochs: int) -> None:
    """Train the default for some epochs in an empty folder, and print how long the measurement at its end takes."""
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.dict(os.environ, {"VIT_DATA": str(data_dir()), "VIT_CHECKPOINTS": folder}),
    ):
        run = runs.create("default", configure(dataset="scenes", epochs=epochs))
        status = jobs.execute(run)
        found, trained = read_dependence(run), run.latest["seconds"] if run.latest else 0.0
    if found is None:
        print(f"The run ended as {status.state} without a measurement.")
        return
    print("\n| epochs | seconds of training | images measured | seconds of the measurement | share |")
    print("| --- | --- | --- | --- | --- |")
    share = f"{found.seconds / trained:.1%}"
    print_row((str(epochs), f"{trained:.1f}", str(found.images), f"{found.seconds:.1f}", share))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", metavar="RUN", help=f"names or paths (default: {SHIPPED_RUN})")
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--train", type=int, metavar="EPOCHS", help="also train the default and time its measurement")
    options = parser.parse_args()
    print_row(HEAD)
    print_row(("---",) * len(HEAD))
    for name in options.runs or [SHIPPED_RUN]:
        print_row(row(get_run(name), options.images))
    if options.train:
        time_training(options.train)


if __name__ == "__main__":
    main()
