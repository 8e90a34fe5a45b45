"""Measure the Attention page with a ViT-B/16 at 224 pixels (12 layers of 12 heads, 197 tokens).

    python -m benchmarks.app.large [--clicks 20]

The weights are random, which changes neither times nor sizes. The server has imported torch before the page is
requested, and has not opened the run before.

- *Opens*: seconds from the request until every tile is drawn, in a headless Chromium.
- *Click*: milliseconds from mouse down on a patch to the new maps. (The maps of all tokens are too large to send.)
- *Memory*: peak resident memory of the server's process, after these clicks and after 19 more images.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from playwright.sync_api import Page, sync_playwright

from tests.helpers.serving import launch, serving
from vit import runs
from vit.config import DataConfig, RunConfig, ViTConfig
from vit.data.scenes import CLASSES
from vit.networks import build_model
from vit.paths import data_dir
from vit.runs import weights

NAME = "vit-b-16"
IMAGES = 19
WARM_SECONDS = 15
"""Time for the server to import torch."""


def make_run() -> None:
    """Create a finished run with random weights."""
    model = ViTConfig(
        image_size=224,
        patch_size=16,
        embed_dim=768,
        depth=12,
        num_heads=12,
        mlp_ratio=4,
        stem="patch",
        pool="cls",
        num_classes=len(CLASSES),
    )
    data = DataConfig(image_size=224, class_names=CLASSES, val_images=20)
    run = runs.create(NAME, RunConfig(model=model, data=data))
    weights.save_model(run.path, build_model(model, seed=0).state_dict(), {"epoch": 0, "validated": False})
    runs.write_status(run.path, runs.Status(state="finished", message="Random weights."))


def server_memory() -> float:
    """Return the peak memory (GB) of the server's process."""
    server = next(child for child in psutil.Process().children() if "streamlit" in " ".join(child.cmdline()))
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1e6


def click(page: Page, clicks: int) -> np.ndarray:
    """Click on patches, and return the milliseconds until the maps of each are drawn."""
    times = []
    for token in np.random.default_rng(0).permutation(196)[: clicks + 2] + 1:
        row, column = divmod(int(token) - 1, 14)
        box = page.locator(".picker canvas").bounding_box()
        start = time.perf_counter()
        page.mouse.click(box["x"] + (column + 0.5) / 14 * box["width"], box["y"] + (row + 0.5) / 14 * box["height"])
        page.wait_for_selector(f'.attention[data-pinned="{token}"]', state="attached")
        times.append(1000 * (time.perf_counter() - start))
        page.wait_for_timeout(500)
    return np.array(times[2:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clicks", type=int, default=20)
    options = parser.parse_args()
    os.environ["VIT_DATA"] = str(data_dir())
    with tempfile.TemporaryDirectory() as folder:
        os.environ["VIT_CHECKPOINTS"] = folder
        make_run()
        with serving() as address, sync_playwright() as playwright:
            browser = launch(playwright)
            page = browser.new_page(viewport={"width": 1400, "height": 1000})
            page.goto(address)
            time.sleep(WARM_SECONDS)
            start = time.perf_counter()
            page.goto(f"{address}/attention?run={NAME}&image=val-0")
            page.wait_for_selector(".attention[data-drawn]", timeout=120_000)
            opened = time.perf_counter() - start
            page.wait_for_timeout(3000)
            times = click(page, options.clicks)
            memory = server_memory()
            for number in range(1, IMAGES + 1):
                page.get_by_role("button", name="Next").click()
                page.wait_for_selector(f'.attention[data-version*="val-{number}/"]', state="attached", timeout=60_000)
            memory_later = server_memory()
            browser.close()
    print("| | measured | goal |\n| --- | --- | --- |")
    print(f"| Opens, s | {opened:.1f} | 5 |")
    print(f"| Click, ms, median | {np.median(times):.0f} | 300 |")
    print(f"| Click, ms, 95th percentile | {np.percentile(times, 95):.0f} | 600 |")
    print(f"| Memory, GB | {memory:.2f} | 2 |")
    print(f"| Memory after {IMAGES} more images, GB | {memory_later:.2f} | 2 |")


if __name__ == "__main__":
    main()
