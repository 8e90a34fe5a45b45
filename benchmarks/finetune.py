"""Measure the benefit of fine-tuning the included run on few photographs, and the speed of training only the head.

    python -m benchmarks.finetune PHOTOS [--seeds 2] [--epochs 10] [--json]

PHOTOS is a folder or zip in ImageFolder layout. Each variant is an ordinary run (``python -m vit train``) at 64 px with
500 training and 1,000 validation images; the variants take turns. The accuracy is that of the best epoch, on the same
validation images that select it. The speed is the median over the steps after the first ten.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from vit.paths import checkpoints_dir, project_root
from vit.runs.run import SHIPPED_RUN, Run

WARM_UP = 10
COMMON = ["--image-size", "64", "--train-images", "500", "--val-images", "1000", "--snapshots", "0"]
SIDES = {
    "random weights, learning rate 2e-3": ["--lr", "2e-3"],
    "fine-tuned, learning rate 2e-3": ["--start", SHIPPED_RUN, "--lr", "2e-3"],
    "fine-tuned, the recipe's rate": ["--start", SHIPPED_RUN],
    "fine-tuned, only the head": ["--start", SHIPPED_RUN, "--frozen"],
}


def trained(home: Path, photos: str, side: str, seed: int, epochs: int) -> dict[str, float]:
    """Train one run, and return its best validation accuracy and its images per second."""
    name = f"run-{len(list((home / 'checkpoints').iterdir()))}"
    words = [sys.executable, "-m", "vit", "train", "--run", name, "--dataset", photos, *COMMON, *SIDES[side]]
    words += ["--seed", str(seed), "--epochs", str(epochs)]
    places = {"VIT_CHECKPOINTS": str(home / "checkpoints"), "VIT_DATA": str(home / "data")}
    subprocess.run(words, env=os.environ | places, cwd=project_root(), check=True, stdout=subprocess.DEVNULL)
    run = Run(home / "checkpoints" / name)
    steps = [line["images_per_second"] for line in run.metrics()[0] if line["event"] == "step"]
    return {"accuracy": run.best["val_accuracy"], "images_per_second": statistics.median(steps[WARM_UP:])}


def measure(photos: str, seeds: int, epochs: int) -> list[dict[str, Any]]:
    """Train all variants in turns."""
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        shutil.copytree(checkpoints_dir() / SHIPPED_RUN, home / "checkpoints" / SHIPPED_RUN)
        for seed in range(seeds):
            for side in SIDES:
                found[side].append(trained(home, photos, side, seed, epochs))
    whole = [one["images_per_second"] for one in found["fine-tuned, the recipe's rate"]]
    return [
        {
            "side": side,
            "accuracy": [one["accuracy"] for one in runs],
            "images_per_second": statistics.median(one["images_per_second"] for one in runs),
            "ratio": statistics.median(
                one["images_per_second"] / other for one, other in zip(runs, whole, strict=True)
            ),
        }
        for side, runs in found.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.finetune", description=__doc__.splitlines()[0])
    parser.add_argument("photos", help="folder or zip in ImageFolder layout")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    options = parser.parse_args()
    rows = measure(str(Path(options.photos).expanduser().absolute()), options.seeds, options.epochs)
    if options.json:
        print(json.dumps({"epochs": options.epochs, "rows": rows}))
        return
    print("| trained from | validation accuracy, by seed | images/s | relative speed |")
    print("| --- | --- | --- | --- |")
    for row in rows:
        accuracy = ", ".join(f"{value:.1%}" for value in row["accuracy"])
        print(f"| {row['side']} | {accuracy} | {row['images_per_second']:,.0f} | {row['ratio']:.2f} |")


if __name__ == "__main__":
    main()
