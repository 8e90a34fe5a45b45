"""Compare the memory estimate of the Train page with the memory that a training uses.

    python -m benchmarks.memory [--device cuda] [--only patch] [--steps 6] [--json]

Each setting trains two epochs in a separate process, like a run (:func:`vit.jobs.worker.execute`: steps, validation,
and the files at the end of an epoch), on images of noise. A tiny network of the same kind is trained first, so that the
one-time setup of torch and its libraries is not counted.

- *Measured*, on the CPU: the peak of the resident size minus the size before. The kernel's peak (``VmHWM``, reset
  through ``/proc/self/clear_refs``) is complete, unlike regular sampling. The images are in memory from the start, so
  no pages of a mapped file are counted. On a GPU: ``torch.cuda.max_memory_allocated`` minus the memory
  allocated before (the workspace of cuBLAS).
- *Estimate*: :func:`vit.cost.estimate.training_bytes`. The Train page shows
  :func:`vit.cost.estimate.memory_bytes`, which adds the runtime (Python, torch, its libraries); the last line compares
  that constant with the size before.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from vit.config import DEPARTURES, RECIPES, CNNConfig, DataConfig, ModelConfig, ReferenceConfig, RunConfig, ViTConfig
from vit.cost import estimate
from vit.support import hardware

SMALL = {"stem": "patch", "patch_size": 16, "embed_dim": 128, "depth": 2, "num_heads": 2, "mlp_ratio": 4.0}
LARGE = {"stem": "patch", "patch_size": 8, "embed_dim": 192, "depth": 6, "num_heads": 3, "mlp_ratio": 4.0}
VAL_IMAGES = {"cpu": 300, "cuda": 1100, "mps": 300}
"""More than one validation batch."""
LIMIT = 0.15


def _config(model: ModelConfig, **training) -> RunConfig:
    recipe = RECIPES["course" if isinstance(model, ReferenceConfig) else "standard"]
    return RunConfig(
        model=model,
        data=DataConfig(image_size=model.image_size),
        training=recipe.model_copy(update={"epochs": 2, **training}),
    )


SETTINGS = {
    "default": _config(ViTConfig()),
    "default, batch 16": _config(ViTConfig(), batch_size=16),
    "default, batch 256": _config(ViTConfig(), batch_size=256),
    "default, mean of the patches": _config(ViTConfig(pool="mean")),
    "default, patch 4": _config(ViTConfig(patch_size=4)),
    "default, 32 px, patch 4": _config(ViTConfig(image_size=32, patch_size=4)),
    "default, 224 px, patch 16, batch 16": _config(ViTConfig(image_size=224, patch_size=16), batch_size=16),
    "default, lowest training loss": _config(ViTConfig(), keep="training_loss"),
    "small": _config(ViTConfig(**SMALL, pool="mean")),
    "small, class token": _config(ViTConfig(**SMALL, pool="cls")),
    "small, batch 256": _config(ViTConfig(**SMALL, pool="mean"), batch_size=256),
    "large": _config(ViTConfig(**LARGE, pool="mean")),
    "large, class token": _config(ViTConfig(**LARGE, pool="cls")),
    "large, batch 16": _config(ViTConfig(**LARGE, pool="mean"), batch_size=16),
    "large, batch 256": _config(ViTConfig(**LARGE, pool="mean"), batch_size=256),
    "large, 224 px, patch 16, batch 32": _config(
        ViTConfig(**LARGE | {"patch_size": 16}, image_size=224, pool="cls"), batch_size=32
    ),
    "patch 4, depth 4": _config(ViTConfig(stem="patch", patch_size=4, depth=4)),
    "dropout": _config(ViTConfig(stem="patch", depth=4, dropout=0.1, drop_path=0.1)),
    "reference": _config(ReferenceConfig()),
    "reference, last weights": _config(ReferenceConfig(), keep="last"),
    "reference mended, batch 256": _config(ReferenceConfig(mended=DEPARTURES), batch_size=256),
    "cnn": _config(CNNConfig()),
    "cnn, batch 256": _config(CNNConfig(), batch_size=256),
    "cnn, 224 px, batch 16": _config(CNNConfig(image_size=224), batch_size=16),
    "cnn-residual": _config(CNNConfig(residual=True)),
    "cnn-residual, batch 256": _config(CNNConfig(residual=True), batch_size=256),
}


def tiny(model: ModelConfig) -> ModelConfig:
    """Return a network of the same kind that needs almost no memory."""
    match model:
        case ReferenceConfig():
            return ReferenceConfig(image_size=32, embed_dim=16, depth=1)
        case CNNConfig():
            return model.model_copy(update={"image_size": 32})
    return model.model_copy(
        update={"image_size": 32, "patch_size": 8, "embed_dim": 16, "num_heads": 2, "depth": 1, "mlp_ratio": 2.0}
    )


class Meter:
    """Measures the memory (bytes) of this process on one device: now, and its peak since the last reset."""

    def __init__(self, device: str) -> None:
        self.cuda = device == "cuda"

    def reset(self) -> int:
        """Reset the peak, and return the current memory."""
        import torch

        from vit.support import heap

        gc.collect()
        if self.cuda:
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            return torch.cuda.memory_allocated()
        heap.return_free_memory()
        Path("/proc/self/clear_refs").write_text("5")
        return self._read("VmRSS")

    def peak(self) -> int:
        """Return the peak since the last reset."""
        if self.cuda:
            import torch

            return torch.cuda.max_memory_allocated()
        return self._read("VmHWM")

    @staticmethod
    def _read(name: str) -> int:
        return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0]) * 1024


def measure(config: RunConfig, device: str, steps: int) -> dict[str, float]:
    """Train in this process, and return measured and estimated bytes."""
    from vit import runs
    from vit.data import ImageData, Split
    from vit.jobs import worker

    random = np.random.default_rng(0)

    def split(count: int, side: int) -> Split:
        images = random.integers(0, 256, (count, 3, side, side), dtype=np.uint8)
        return Split(images, np.arange(count) % 5, None, ("",) * count)

    def train(name: str, config: RunConfig, train_images: int, val_images: int) -> None:
        side = config.model.image_size
        data = ImageData("noise", tuple("abcde"), side, split(train_images, side), split(val_images, side))
        worker._load_data = lambda *_: data  # noise, in memory
        run = runs.create(name, config)
        meter.images = sum(part.images.nbytes for part in (data.train, data.val))
        meter.before = meter.reset()
        status = worker.execute(run)
        if status.state != "finished":
            raise SystemExit(status.message)

    meter = Meter(device)
    training = config.training.model_copy(update={"device": device})
    config = config.model_copy(update={"training": training})
    before = tiny(config.model)
    first = training.model_copy(update={"batch_size": 8, "epochs": 1})
    train("tiny", RunConfig(model=before, data=DataConfig(image_size=32), training=first), 8 * 6, 16)
    batch = training.batch_size
    train("measured", config, batch * steps, VAL_IMAGES[device])
    images = batch * steps + VAL_IMAGES[device]
    return {
        "measured": meter.peak() - meter.before,
        "estimate": estimate.training_bytes(config, device, images),
        "before": meter.before - (0 if meter.cuda else meter.images),
    }


def _in_a_process_of_its_own(name: str, device: str, steps: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "benchmarks.memory",
            "--child",
            name,
            "--device",
            device,
            "--steps",
            str(steps),
        ]
        places = {"VIT_CHECKPOINTS": folder, "VIT_DATA": folder}
        done = subprocess.run(command, env=os.environ | places, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {(done.stderr.strip() or 'the process died').splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--only", default="", help="only settings whose name contains this")
    parser.add_argument("--steps", type=int, default=6, help="steps in each of the two epochs")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    device = hardware.resolve(options.device)
    if device == "cpu" and not Path("/proc/self/clear_refs").exists():
        raise SystemExit("On the CPU the peak is read from /proc, which only Linux has: choose --device cuda.")
    if options.child:
        print(json.dumps(measure(SETTINGS[options.child], device, options.steps)))
        return
    rows = {}
    if not options.json:
        print(f"| {device} | measured, MB | estimate, MB | estimate / measured |\n| --- | --- | --- | --- |")
    for name in SETTINGS:
        if options.only in name:
            row = rows[name] = _in_a_process_of_its_own(name, device, options.steps)
            row["ratio"] = row["estimate"] / row["measured"]
            if not options.json:
                sizes = f"{row['measured'] / 1e6:,.0f} | {row['estimate'] / 1e6:,.0f}"
                print(f"| {name} | {sizes} | {row['ratio']:.2f} |", flush=True)
    within = sum(abs(row["ratio"] - 1) <= LIMIT for row in rows.values())
    if options.json:
        print(json.dumps({"device": device, "within": within, "settings": rows}))
        return
    print(f"\n{within} of {len(rows)} within {LIMIT:.0%}.")
    if device == "cpu":
        before = max(row["before"] for row in rows.values())
        print(f"Runtime: {before / 1e6:,.0f} MB measured, {estimate.RUNTIME_BYTES['cpu'] / 1e6:,.0f} MB estimated.")


if __name__ == "__main__":
    main()
