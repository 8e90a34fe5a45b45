"""Exported web pages for the browser tests, and what these tests do with them."""

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.conftest import tiny_config
from tests.helpers import web_pages
from tests.helpers.serving import PATIENCE
from vit import jobs, runs
from vit.config import CNNConfig
from vit.data.batches import normalise
from vit.edits import BlockEdit
from vit.exports.web_page import build, export_web_page, network
from vit.runs.weights import load_checkpoint

FAKE_CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
"""Flags for Chromium: a camera with a synthetic picture, which every page may use."""

HOSTILE = "<img src=x onerror=window.__pwned=1>"


class Exported(NamedTuple):
    """A run, its exported page, and a page of the same network with hostile names and attention over the queries."""

    file: Path
    model: Any
    info: Any
    manifest: dict
    variant: Path


def make_exports(workshop: Path, folder: Path) -> dict[str, Exported]:
    """Export two trained transformers and a convolutional network into a folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIT_CHECKPOINTS", str(workshop / "checkpoints"))
        patch.setenv("VIT_DATA", str(workshop / "data"))
        tiny = {name: _export(runs.get_run(name), folder) for name in ("tiny", "tiny-mean")}
        patch.setenv("VIT_CHECKPOINTS", str(folder / "checkpoints"))
        convolutional = tiny_config().model_copy(update={"model": CNNConfig(image_size=32)})
        jobs.execute(runs.create("cnn", convolutional))
        return tiny | {"cnn": _export(runs.get_run("cnn"), folder)}


def _export(run: runs.Run, folder: Path) -> Exported:
    file = folder / f"{run.name}.html"
    file.write_bytes(export_web_page(run, samples=3).content)
    model, info = load_checkpoint(run.path)
    told = build.read_manifest(file)
    variant = folder / f"{run.name}-variant.html"
    if run.name == "tiny":
        other = told | {"title": HOSTILE, "class_names": [HOSTILE, *told["class_names"][1:]]}
        other |= {"normalised_over": "query", "caveat": "The softmax runs over the queries."}
        variant.write_bytes(build.build(other, network.export(model, info, "float32")))
    return Exported(file, model, info, told, variant)


@contextmanager
def opened(browser: Browser, address: str, **options: Any) -> Iterator[Page]:
    """Open an exported page, and fail if it asks for anything or reports a problem."""
    with web_pages.opened(browser, address, viewport={"width": 1400, "height": 1000}, **options) as (page, complaints):
        wait(page, "window.vitPage && vitPage.ready && (vitPage.drawn || !vitPage.manifest.samples.length)")
        yield page
    assert not complaints, "\n".join(complaints)


def wait(page: Page, condition: str) -> None:
    """Wait for a JavaScript condition; the policy of the page forbids Playwright's own way."""
    end = time.monotonic() + PATIENCE / 1000
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(30)


@contextmanager
def redrawn(page: Page) -> Iterator[None]:
    """Wait until what is done inside has gone through the network and is drawn."""
    before = page.evaluate("vitPage.drawn ?? 0")
    yield
    wait(page, f"vitPage.drawn > {before} && !vitPage.page.running && !vitPage.page.stale && !vitPage.page.result")


def inputs(exported: Exported, place: int = 0) -> torch.Tensor:
    """A sample of the page as the network of PyTorch gets it."""
    with Image.open(io.BytesIO(urlopen(exported.manifest["samples"][place]["src"]).read())) as image:
        pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None]
    return normalise(pixels, exported.info.mean, exported.info.std)


def check_answer(page: Page, exported: Exported, logits: torch.Tensor) -> None:
    """Compare the bars with the probabilities of PyTorch."""
    wanted = dict(zip(exported.info.class_names, logits.softmax(dim=-1)[0].tolist(), strict=True))
    found = page.evaluate("[...vitPage.logits]")
    np.testing.assert_allclose(found, logits[0].numpy(), atol=1e-4)
    for bar in page.locator("#bars li").all():
        name, value = bar.locator(".name").inner_text(), bar.locator(".value").inner_text()
        assert float(value.removesuffix("%")) / 100 == pytest.approx(wanted[name], abs=6e-4)
    best = max(wanted, key=lambda name: wanted[name])
    expect(page.locator("#best")).to_contain_text(best)


@torch.no_grad()
def answers(exported: Exported, images: torch.Tensor, off: tuple[int, int] | None = None) -> torch.Tensor:
    if off is None:
        return exported.model(images)
    ablated = torch.zeros(exported.model.config.num_heads)
    ablated[off[1]] = 1
    return exported.model(images, edits={off[0]: BlockEdit(ablated=ablated[None, :, None, None])})
