"""Compare data-parallel training with a single process: losses and speed.

    python -m benchmarks.together [--rounds 3] [--processes 2] [--json]

Each variant is an ordinary run (``python -m vit train --processes N``) on scenes at 64 px; the variants take turns.
Losses of the first 50 steps are compared with those of one process on one thread. One process on several threads shows
the effect of a different order of additions alone. The speed is the median over the steps after the first ten.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from vit.paths import project_root
from vit.runs.run import Run
from vit.support import hardware

STEPS = 50
WARM_UP = 10
SETTINGS = ["--train-images", "1600", "--val-images", "64", "--epochs", "2", "--snapshots", "0", "--seed", "1"]


def trained(home: Path, stem: str, processes: int, threads: int, device: str) -> list[dict]:
    """Train one run, and return the steps in its ``metrics.jsonl``."""
    name = f"{stem}-{processes}-{threads}-{len(list(home.glob('*/*')))}"
    words = [sys.executable, "-m", "vit", "train", "--run", name, "--stem", stem, *SETTINGS, "--device", device]
    words += ["--processes", str(processes), "--threads", str(threads)]
    places = {"VIT_CHECKPOINTS": str(home / "checkpoints"), "VIT_DATA": str(home / "data")}
    subprocess.run(words, env=os.environ | places, cwd=project_root(), check=True, stdout=subprocess.DEVNULL)
    return [line for line in Run(home / "checkpoints" / name).metrics()[0] if line["event"] == "step"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.together", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2, help="number of processes (default 2)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    options = parser.parse_args()
    device, together = hardware.resolve(options.device), options.processes
    threads = max(together, hardware.cpu_cores())
    sides = {
        "one process, one thread": (1, 1),
        f"one process, {threads} threads": (1, threads),
        f"{together} processes, {threads // together} threads each": (together, threads // together),
    }
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for stem in ("patch", "conv"):
            speeds: dict[str, list[float]] = {side: [] for side in sides}
            losses: dict[str, list[float]] = {}
            for _ in range(options.rounds):
                for side, (processes, count) in sides.items():
                    steps = trained(Path(folder), stem, processes, count, device)
                    speeds[side].append(statistics.median(step["images_per_second"] for step in steps[WARM_UP:]))
                    losses[side] = [step["loss"] for step in steps[:STEPS]]
            first, usual = list(sides)[:2]
            for side in sides:
                apart = max(abs(one - other) for one, other in zip(losses[first], losses[side], strict=True))
                ratio = statistics.median(mine / other for mine, other in zip(speeds[side], speeds[usual], strict=True))
                speed = statistics.median(speeds[side])
                rows.append({"stem": stem, "side": side, "images_per_second": speed, "ratio": ratio, "apart": apart})
    if options.json:
        print(json.dumps({"device": device, "rows": rows}))
        return
    print(f"| {device}, --stem | trained by | images/s | relative to {usual} | largest difference of losses |")
    print("| --- | --- | --- | --- | --- |")
    for row in rows:
        print(
            f"| {row['stem']} | {row['side']} | {row['images_per_second']:,.0f} | {row['ratio']:.2f} "
            f"| {row['apart']:.1e} |"
        )


if __name__ == "__main__":
    main()
