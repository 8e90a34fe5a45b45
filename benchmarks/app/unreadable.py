"""Measure the memory and the time that sets of unreadable files take.

    python -m benchmarks.app.unreadable [--files 300] [--megabytes 8] [--entries 100] [--zeros 60]

- *Folder*: files with the header of a HEIC image, and 40 that can be read; the others have them too.
- *Zip in place*: a zip of entries of zeros, which expands a thousandfold, read as the command line does.
- *Zip of noise in place*: entries that are not compressed and are no images, which no bound refuses.

Each set is read in a separate process, at its full size and at a quarter of it. The peak is that of the process above
the imports. The exit status is 1 if a peak exceeds the goal, or if it grows with the set.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

GOAL_MEGABYTES = 350
GROWTH_MEGABYTES = 60
IMAGES = 40
"""Readable images in each set."""
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def write_folder(root: Path, files: int, size: int) -> Path:
    """Write files with the header of a HEIC image, and 40 small images."""
    for index in range(files):
        folder = root / "photos" / "ab"[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{index}.heic").open("wb") as file:
            file.write(HEIC)
            file.truncate(size)
    _write_images(root / "photos", IMAGES)
    return root / "photos"


def write_zip_of_zeros(root: Path, entries: int, size: int) -> Path:
    """Write a zip of entries of zeros, and 40 small images."""
    return _write_zip(root / "zeros.zip", entries, lambda _: bytes(size), zipfile.ZIP_DEFLATED)


def write_zip_of_noise(root: Path, entries: int, size: int) -> Path:
    """Write a zip of entries that are no images and are not compressed, and 40 small images."""
    noise = random.Random(0).randbytes(size)
    return _write_zip(root / "noise.zip", entries, lambda index: HEIC + noise[index:], zipfile.ZIP_STORED)


def _write_zip(path: Path, entries: int, content: Callable[[int], bytes], method: int) -> Path:
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path, "w", method, compresslevel=1) as archive:
        for file in sorted(_write_images(Path(folder), IMAGES).glob("*/*")):
            archive.write(file, file.relative_to(folder))
        for index in range(entries):
            archive.writestr(f"{'ab'[index % 2]}/{index}.png", content(index))
    return path


def _write_images(root: Path, count: int) -> Path:
    import numpy as np
    from PIL import Image

    for index in range(count):
        folder = root / "ab"[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(index).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"image{index}.png")
    return root


def _read(source: str) -> None:
    """Read a set in this process, and print a line of JSON about it."""
    import resource

    from vit.config import DataConfig
    from vit.data import load
    from vit.errors import UserError

    unit = 2**20 if sys.platform == "darwin" else 2**10
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    begin, outcome = time.perf_counter(), ""
    try:
        data = load(DataConfig(source=source, image_size=32))
        outcome = f"{sum(len(split) for split in data.splits())} read, {len(data.skipped)} left out"
    except UserError as error:
        outcome = f"refused: {error}"
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    print(json.dumps({"seconds": seconds, "peak": peak - before, "outcome": outcome}))


def measure(source: Path) -> dict:
    """Return seconds, megabytes above the imports, and the outcome of reading a set in a child process."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"VIT_DATA": folder, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "benchmarks.app.unreadable", "--child", str(source)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--megabytes", type=int, default=8)
    parser.add_argument("--entries", type=int, default=100)
    parser.add_argument("--zeros", type=int, default=60)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _read(options.child)
        return
    cases = (
        ("folder of HEIC headers", write_folder, options.files, options.megabytes * 2**20),
        ("zip of zeros", write_zip_of_zeros, options.entries, options.zeros * 10**6),
        ("zip of noise", write_zip_of_noise, options.entries, options.megabytes * 2**20),
    )
    print(
        "| set | files | MB each | MB on disk | seconds | peak, MB above imports | |\n| --- |"
        + " ---: |" * 5
        + " --- |"
    )
    good = True
    for name, write, count, size in cases:
        peaks = []
        for number in (count // 4, count):
            with tempfile.TemporaryDirectory() as folder:
                source = write(Path(folder), number, size)
                found = measure(source)
                disk = f"{source.stat().st_size / 1e6:.1f}" if source.is_file() else f"{number * size / 1e6:.0f}"
            peaks.append(found["peak"])
            print(
                f"| {name} | {number} | {size / 1e6:.0f} | {disk} | {found['seconds']:.1f} | {found['peak']:.0f} | "
                f"{found['outcome']} |",
                flush=True,
            )
        good &= max(peaks) < GOAL_MEGABYTES and peaks[1] - peaks[0] < GROWTH_MEGABYTES
    print(f"\nGoals, under {GOAL_MEGABYTES} MB each and no growth with the set: {'met' if good else 'missed'}.")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
