"""Measure a large collection of images: how it is prepared, and how pages handle a thousand classes.

    python -m benchmarks.collections [--images 60000] [--side 96] [--classes 1000] [--only prepare|pages]

- *Prepare*: images of this side are written as a parquet file in the layout of Hugging Face datasets. A new process
  then decodes and caches them, and trains one step of the default network. Measured: the peak resident memory above
  that of the process with its imports, the seconds to prepare (and the processor's time, which other programs on the
  machine do not lengthen), the calls of the progress, and the seconds from then to the first step.
  A second process finds the images prepared.
- *Pages*: a run with random weights and this many classes, and two validation images of each. Every page is opened;
  measured are the seconds of the processor, and errors on the page.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

_ROWS = 1000
"""Rows of a group in the parquet file."""
_CLASSES_OF_IMAGES = 10

PROGRAM = """
import json, sys, threading, time
from pathlib import Path
import torch, vit.trainer, pyarrow.parquet
from vit.config import RunConfig, TrainingConfig, ViTConfig
from vit.data import describe, load
from vit.trainer import fit

def resident(field="VmRSS"):
    return int(Path("/proc/self/status").read_text().split(field + ":")[1].split()[0]) / 1000

def anonymous():
    return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) / 1000

peak = {"resident": 0.0, "anonymous": 0.0}
def watch():
    while True:
        peak["resident"] = max(peak["resident"], resident())
        peak["anonymous"] = max(peak["anonymous"], anonymous())
        time.sleep(0.05)

start = {"resident": resident(), "anonymous": anonymous()}
threading.Thread(target=watch, daemon=True).start()
begun, used = time.monotonic(), time.process_time()
info = describe(sys.argv[1])
lines = []
data = load(info.config(int(sys.argv[2])), progress=lambda done, total: lines.append(done))
prepared, work = time.monotonic(), time.process_time() - used
after = dict(peak)
network = ViTConfig(image_size=int(sys.argv[2]), patch_size=8, num_classes=len(info.class_names))
config = RunConfig(model=network, data=info.config(int(sys.argv[2])), training=TrainingConfig(device="cpu"))
next(fit(config, data))
print(json.dumps({
    "described_and_prepared_s": prepared - begun,
    "processor_time_of_that_s": work,
    "first_step_s": time.monotonic() - prepared,
    "from_the_start_to_the_first_step_s": time.monotonic() - begun,
    "progress_calls": len(lines),
    "start_mb": start["resident"],
    "preparation_above_start_mb": after["resident"] - start["resident"],
    "preparation_anonymous_above_start_mb": after["anonymous"] - start["anonymous"],
    "images": [len(data.train), len(data.val)],
}))
"""


def write_images(path: Path, count: int, side: int) -> None:
    """Write images of smoothed noise, as JPEG, into a parquet file."""
    random = np.random.default_rng(0)
    schema = pa.schema([("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("label", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, count, _ROWS):
            rows = range(start, min(start + _ROWS, count))
            images = [{"bytes": _jpeg(random, side), "path": f"{row}.jpg"} for row in rows]
            labels = [f"class {row % _CLASSES_OF_IMAGES}" for row in rows]
            writer.write_table(pa.table({"image": images, "label": labels}, schema=schema))


def _jpeg(random: np.random.Generator, side: int) -> bytes:
    coarse = Image.fromarray(random.integers(0, 256, (12, 12, 3), dtype=np.uint8))
    file = io.BytesIO()
    coarse.resize((side, side), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def measure_preparation(count: int, side: int) -> list[dict[str, object]]:
    """Return the figures of a process that prepares the images, and of one that finds them prepared."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.parquet"
        write_images(path, count, side)
        environment = os.environ | {"VIT_DATA": f"{folder}/data", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", PROGRAM, str(path), str(side)]
        found = []
        for _ in range(2):
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            found.append(json.loads(done.stdout.splitlines()[-1]) | {"file_mb": path.stat().st_size / 1e6})
        return found


def measure_pages(classes: int) -> dict[str, tuple[float, str]]:
    """Return the processor seconds and the error of each page, opened on a run with this many classes."""
    from tests.pages.opening import open_page
    from vit import runs
    from vit.config import DataConfig, RunConfig, ViTConfig
    from vit.networks import build_model
    from vit.paths import project_root
    from vit.runs import weights

    with (
        tempfile.TemporaryDirectory() as folder,
        patch.dict(os.environ, {"VIT_DATA": f"{folder}/data", "VIT_CHECKPOINTS": f"{folder}/runs"}),
    ):
        path = Path(folder) / "many.parquet"
        random = np.random.default_rng(0)
        labels = [f"class number {number:04}" for number in range(classes) for _ in range(4)]
        images = [{"bytes": _jpeg(random, 32), "path": None} for _ in labels]
        pq.write_table(pa.table({"image": images, "label": labels}), path)
        names = tuple(sorted(set(labels)))
        network = ViTConfig(image_size=32, patch_size=8, num_classes=classes)
        data = DataConfig(source=str(path), image_size=32, class_names=names)
        run = runs.create("many", RunConfig(model=network, data=data))
        weights.save_model(run.path, build_model(network, seed=0).state_dict(), {"epoch": 1, "validated": True})
        runs.write_status(run.path, runs.Status(state="finished", message="Random weights."))
        found = {}
        for page in sorted(page.parent.name for page in (project_root() / "pages").glob("*/page.py")):
            begun, problem = time.process_time(), ""
            for _ in range(2):  # a busy machine may take longer than the harness waits; the images are then prepared
                try:
                    app = open_page(page, run="many")
                    problem = "; ".join(error.value for error in app.error)
                    break
                except (AssertionError, RuntimeError) as error:  # an exception on the page, or no answer in time
                    problem = repr(error)
            found[page] = (time.process_time() - begun, problem[:300])
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--only", choices=("prepare", "pages"))
    arguments = parser.parse_args()
    if arguments.only != "pages":
        for what, figures in zip(
            ("prepared anew", "found prepared"), measure_preparation(arguments.images, arguments.side), strict=True
        ):
            print(f"{arguments.images:,} images of {arguments.side} px, {what}:")
            for name, value in figures.items():
                print(f"  {name}: {value:,.1f}" if isinstance(value, float) else f"  {name}: {value}")
    if arguments.only != "prepare":
        print(f"Pages of a run with {arguments.classes:,} classes:")
        for page, (seconds, problem) in measure_pages(arguments.classes).items():
            print(f"  {page}: {seconds:.1f} s{f'  {problem}' if problem else ''}")


if __name__ == "__main__":
    main()
