"""Measure exported web pages: size, seconds until ready, milliseconds per image, and differences from PyTorch.

    python -m benchmarks.web_page [--images 100] [--only scenes default ...] [--skip-pictures]

Each network runs in headless Chromium, on one thread, from a file. A row has the size of the file, the seconds from
opening it until the network is ready, the milliseconds of an image with the attention of all heads (the fastest of all
images, and the processor time of the browser's process, which does not depend on what else the machine does), and the
largest difference of a logit and of an attention weight from PyTorch. ``scenes`` is the included run. The other
transformers have random weights whose heads differ; ``vit_tiny`` is timm's ViT-Ti/16 at 224 pixels, opened as a
published model is. A second table has the sizes and differences of float16 and int8 weights, and a third one the
preprocessing of 100 pictures of mixed sizes, formats and orientations. Frames per second with all heads drawn are
measured by ``benchmarks.app.web_page_frames``.
"""

import argparse
import base64
import gzip
import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import torch
from playwright.sync_api import Browser, Page, sync_playwright

from tests.helpers.exported_pages import wait
from tests.helpers.mixed_pictures import mixed_pictures
from tests.helpers.published_runs import open_published
from tests.helpers.serving import launch
from tests.helpers.web_pages import opened, prepare, run_network
from vit import runs
from vit.config import CNNConfig, ModelConfig, RunConfig, ViTConfig
from vit.data.batches import to_tensor
from vit.data.files.images import open_image
from vit.evaluation import model_view
from vit.exports.web_page import WEIGHTS, build, export_web_page, network
from vit.exports.web_page.samples import compared, validation_images
from vit.networks import Transformer, build_model
from vit.runs.weights import load_checkpoint, save_model

NO_GPU = "warning: No available adapters."
"""What Chromium writes to the console when a page asks for WebGPU on a machine without it."""

VIT: dict[str, dict] = {
    "default": {},
    "mean": {"pool": "mean"},
    "class token": {"pool": "cls"},
    "registers": {"reg_tokens": 4},
    "linear stem": {"stem": "patch"},
}


def networks() -> dict[str, Callable[[], runs.Run]]:
    """Return a function for each run that opens or makes it in the folder of runs."""
    found: dict[str, Callable[[], runs.Run]] = {"scenes": lambda: runs.get_run("scenes")}
    for name, settings in VIT.items():
        config = ViTConfig(num_classes=5, **settings)
        found[name] = lambda name=name, config=config: open_published(name.replace(" ", "-"), config, crop_pct=1.0)
    found["cnn"] = lambda: convolutional(CNNConfig(num_classes=5))
    found["vit_tiny"] = vit_tiny
    return found


def convolutional(config: ModelConfig) -> runs.Run:
    run, model = runs.create("cnn", RunConfig(model=config)), build_model(config, seed=0)
    model.head.weight.data *= 30  # logits that differ
    save_model(run.path, model.state_dict(), {"epoch": 0})
    return run


def vit_tiny() -> runs.Run:
    """Open a file of timm's ViT-Ti/16, with random weights."""
    import timm
    from safetensors.torch import save_file

    from vit.published.open import open_file

    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224")
    for name, tensor in model.named_parameters():
        if "qkv.weight" in name or name == "head.weight":
            tensor.data += 0.1 * torch.randn(tensor.shape)
    with tempfile.TemporaryDirectory() as folder:
        save_file(model.state_dict(), Path(folder) / "vit_tiny.safetensors")
        return open_file(Path(folder) / "vit_tiny.safetensors", architecture="vit_tiny_patch16_224", run="vit-tiny")


def processor_seconds() -> float:
    """Return the processor time of the browser's pages so far."""
    total = 0.0
    for process in psutil.Process(os.getpid()).children(recursive=True):
        try:
            if "--type=renderer" in process.cmdline():
                times = process.cpu_times()
                total += times.user + times.system
        except psutil.Error:  # it has just ended
            continue
    return total


_MANY = """async (count) => {
  const { openNetwork, readManifest } = await import("engine")
  const manifest = readManifest()
  const network = await openNetwork(manifest)
  const pixels = new Float32Array(3 * manifest.image_size ** 2)
  let fastest = Infinity
  for (let index = 0; index < count; index++) {
    const begun = performance.now()
    await network.run(pixels)
    fastest = Math.min(fastest, performance.now() - begun)
  }
  return fastest
}"""


def times(page: Page, images: int) -> tuple[float, float]:
    """Return the milliseconds of the fastest image, and the processor milliseconds of one."""
    page.evaluate(_MANY, 3)
    before = processor_seconds()
    fastest = page.evaluate(_MANY, images)
    return fastest, 1000 * (processor_seconds() - before) / images


def differences(page: Page, model: torch.nn.Module, images: torch.Tensor) -> tuple[float, float]:
    """Return the largest differences of a logit and of an attention weight."""
    logits = attention = 0.0
    for image in images.split(1):
        record: dict = {}
        with torch.inference_mode():
            expected = (model(image, record=record) if isinstance(model, Transformer) else model(image)).numpy()[0]
        found, maps, _ = run_network(page, image.numpy())
        logits = max(logits, float(np.abs(found - expected).max()))
        if maps is not None:
            weights = torch.stack([layer["attention"] for layer in record["layers"]], dim=1).numpy()
            attention = max(attention, float(np.abs(maps - weights.ravel()).max()))
    return logits, attention


def measure(browser: Browser, name: str, run: runs.Run, folder: Path, count: int) -> list[str]:
    """Print a row of the first table; return the rows of the second one."""
    file = folder / f"{run.name}.html"
    file.write_bytes(export_web_page(run).content)
    model, info = load_checkpoint(run.path)
    images, _ = compared(validation_images(info.config.data), info, count)
    begun = time.perf_counter()
    with opened(browser, file.as_uri()) as (page, complaints):
        wait(page, "window.vitPage && vitPage.page")
        ready = time.perf_counter() - begun
        fastest, processor = times(page, 30)
        logits, attention = differences(page, model, images)
    reported = [it for it in complaints if it != NO_GPU]
    assert not reported, reported
    maps = f"{attention:11.1e}" if isinstance(model, Transformer) else f"{'-':>11}"
    size = file.stat().st_size / 1e6
    print(f"{name:14}{size:8.2f} MB{ready:9.2f} s{fastest:9.1f} ms{processor:9.1f} ms{logits:11.1e}{maps}", flush=True)
    rows = []
    content = packed_network(file)
    for weights in WEIGHTS:
        stored = network.compact(content, weights)
        found = network.measure(stored, model, images)
        maps = "-" if found.attention is None else f"{found.attention:.1e}"
        megabytes = len(gzip.compress(stored)) / 1e6
        rows.append(f"{name:14}{weights:10}{megabytes:8.2f} MB{found.outputs:14.1e}{maps:>12}{found.changed:9}")
    return rows


def packed_network(file: Path) -> bytes:
    """Return the ONNX file in a page."""
    found = re.search(rb'id="network">([^<]*)<', file.read_bytes())
    assert found is not None
    return gzip.decompress(base64.b64decode(found[1]))


def pictures(browser: Browser, folder: Path) -> None:
    """Print how the preprocessing of pictures differs, in grey levels and in a probability."""
    model, info = load_checkpoint("scenes")
    told = build.read_manifest(folder / "scenes.html")["preparation"]
    levels, most, shares = [], [], []
    with opened(browser, (folder / "scenes.html").as_uri()) as (page, _):
        for content in mixed_pictures().values():
            ours = model_view(info, open_image(content))
            _, theirs = prepare(page, content, told)
            apart = np.abs(ours.astype(int) - theirs)
            with torch.inference_mode():
                one, other = (model(to_tensor([it], info.mean, info.std)).softmax(1) for it in (ours, theirs))
            levels.append(np.median(apart))
            most.append(apart.max())
            shares.append(float((one - other).abs().max()))
    print(f"\n{len(levels)} pictures, prepared for scenes: {sum(it == 0 for it in most)} are identical.")
    print(f"The median of a picture differs by at most {max(levels):.0f} grey levels, a pixel by at most {max(most)}.")
    print(f"A probability differs by at most {max(shares):.1e}.")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--only", nargs="+", choices=tuple(networks()), default=tuple(networks()))
    parser.add_argument("--skip-pictures", action="store_true")
    arguments = parser.parse_args()
    included = runs.get_run("scenes").path
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        os.environ["VIT_CHECKPOINTS"] = str(folder / "checkpoints")
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / "scenes").symlink_to(included)
        browser = launch(playwright)
        print(f"{'network':14}{'file':>11}{'ready':>11}{'fastest':>12}{'processor':>12}{'logits':>11}{'attention':>11}")
        rows = []
        for chosen in dict.fromkeys(("scenes", *arguments.only)) if not arguments.skip_pictures else arguments.only:
            rows += measure(browser, chosen, networks()[chosen](), folder, arguments.images)
        print(f"\n{'network':14}{'weights':10}{'network':>11}{'probability':>14}{'attention':>12}{'changed':>9}")
        print("\n".join(rows))
        if not arguments.skip_pictures:
            pictures(browser, folder)
        browser.close()


if __name__ == "__main__":
    main()
