"""Measure the peak memory of a training step, ours and timm's, each network in a separate process.

    python -m benchmarks.speed.peaks NETWORK SHAPE DEVICE THREADS

As in :mod:`benchmarks.memory`: the peak minus the memory before the network, its optimiser and the batch were created,
with the libraries imported. Both heads read the class token.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.memory import Meter
from benchmarks.speed.rivals import SHAPES, OurSteps, Shape, plain_steps, random_batch, timm_vit
from benchmarks.speed.rounds import Steps
from vit.paths import project_root

NETWORKS = ("this project", "timm")
STEPS = 6


def peaks(shapes: list[Shape], device: str) -> list[dict[str, Any]]:
    """Return a row per network and shape with the ``bytes`` of training, or no rows if they cannot be measured."""
    if device == "cpu" and not Path("/proc/self/clear_refs").exists():
        return []
    rows = []
    for shape in shapes:
        for network in NETWORKS:
            command = [sys.executable, "-m", "benchmarks.speed.peaks", network, shape.name, device]
            command.append(str(torch.get_num_threads()))
            done = subprocess.run(command, cwd=project_root(), stdout=subprocess.PIPE, text=True, check=True)
            rows.append({"network": network, "shape": str(shape)} | json.loads(done.stdout))
    return rows


def peaks_table(rows: list[dict[str, Any]]) -> str:
    """Return the table as Markdown."""
    if not rows:
        return "On a CPU the peak is read from /proc, which only Linux has."
    lines = ["| network | shape | peak of training, MB |", "| --- | --- | --- |"]
    lines += [f"| {row['network']} | {row['shape']} | {row['bytes'] / 1e6:,.0f} |" for row in rows]
    return "\n".join(lines)


def _steps(network: str, shape: Shape, device: torch.device) -> Steps:
    images, labels = random_batch(device)
    if network == "timm":
        return plain_steps(timm_vit(shape), images, labels)
    return OurSteps(shape.config(), images, labels)


def main() -> None:
    """Train a few steps, and print the bytes as JSON."""
    network, name, device, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    shape = SHAPES[name]
    # The one-time setup of torch and its libraries is not counted.
    _steps(network, Shape("tiny", patch_size=32, embed_dim=16, depth=1, num_heads=2), torch.device(device))(STEPS)
    meter = Meter(device)
    before = meter.reset()
    _steps(network, shape, torch.device(device))(STEPS)
    print(json.dumps({"bytes": meter.peak() - before}))


if __name__ == "__main__":
    main()
