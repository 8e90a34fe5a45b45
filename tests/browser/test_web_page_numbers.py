"""The engine and the preprocessing of exported pages in a real Chromium, against PyTorch and the library."""

from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser

from tests.exports.web_page.test_network import WIDE, of
from tests.helpers.exported_pages import Exported, opened
from tests.helpers.mixed_pictures import mixed_pictures
from tests.helpers.serving import CHROMIUM_FLAGS, chromium_path
from tests.helpers.web_pages import prepare, run_network
from vit.config import ViTConfig
from vit.data.batches import to_tensor
from vit.data.files.colours import Colours
from vit.data.files.images import fit_square, open_image
from vit.edits import BlockEdit
from vit.exports.web_page import build, manifest, network
from vit.networks import Transformer

pytest.importorskip("onnxscript")
pytestmark = pytest.mark.browser

SOFTWARE_GPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")
UNUSUAL = ViTConfig(
    image_size=32,
    patch_size=16,
    embed_dim=16,
    num_heads=2,
    depth=2,
    stem="patch",
    class_token=False,
    pool="mean",
    no_embed_class=True,
    pre_norm=True,
    fc_norm=True,
    act_layer="quick_gelu",
    num_classes=3,
)
MASKS = {"all heads": None, "a head off": [[1, 0, 1], [1, 1, 1]], "blended": [[0.25, 1, 0], [1, 0.5, 0]]}

REFUSED = "async () => { const e = await import('engine'); const n = await e.openNetwork(e.readManifest());"


def expected(model: Transformer, images: torch.Tensor, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The logits and the attention of PyTorch, with heads switched off by the edits of the library."""
    edits = {}
    if mask is not None:
        edits = {layer: BlockEdit(ablated=1 - torch.tensor(row)[None, :, None, None]) for layer, row in enumerate(mask)}
    record: dict = {}
    with torch.inference_mode():
        logits = model(images, record=record, edits=edits)
    return logits.numpy()[0], torch.stack([layer["attention"] for layer in record["layers"]], dim=1).numpy()[0]


def write_page(exported: Exported, config: ViTConfig, target: Path, *, webgpu: bool = False) -> torch.nn.Module:
    """Write a page of another network around the manifest of an exported one."""
    model, info = of(config)
    told = exported.manifest | manifest.network(model, info) | {"samples": []}
    target.write_bytes(build.build(told, network.export(model, info), webgpu=webgpu))
    return model


def check_outputs(page, model: Transformer) -> None:
    shape = (model.config.depth, model.config.num_heads)
    for seed, mask in enumerate(MASKS.values()):
        if mask is not None:
            mask = np.array(mask, np.float32)[:, : shape[1]]
        images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
        logits, attention, _ = run_network(page, images.numpy(), mask)
        wanted, weights = expected(model, images, mask)
        np.testing.assert_allclose(logits, wanted, atol=1e-4)
        np.testing.assert_allclose(attention, weights.ravel(), atol=1e-4)


@pytest.mark.parametrize("config", [WIDE, UNUSUAL], ids=["registers", "unusual"])
def test_outputs_and_head_masks_are_those_of_pytorch(chromium: Browser, web_pages, tmp_path, config):
    model = write_page(web_pages["tiny"], config, tmp_path / "page.html")
    with opened(chromium, (tmp_path / "page.html").as_uri()) as page:
        check_outputs(page, model)
        for call, sentence in {
            "n.run(new Float32Array(5))": "takes 3072 numbers",
            "n.run(new Float32Array(3072), {headMask: new Float32Array(1)})": "head mask needs",
        }.items():
            assert sentence in page.evaluate(f"{REFUSED} try {{ await {call} }} catch (e) {{ return e.message }} }}")


def test_webgpu_gives_the_same_outputs(chromium: Browser, web_pages, tmp_path):
    model = write_page(web_pages["tiny"], WIDE, tmp_path / "page.html", webgpu=True)
    flags = [flag for flag in CHROMIUM_FLAGS if flag != "--disable-gpu"]
    browser = chromium.browser_type.launch(executable_path=chromium_path(), args=[*flags, *SOFTWARE_GPU])
    with opened(browser, (tmp_path / "page.html").as_uri()) as page:
        if not page.evaluate("async () => Boolean(await navigator.gpu?.requestAdapter())"):
            pytest.skip("this Chromium has no software renderer for WebGPU")
        assert page.evaluate("vitPage.page.network.backend") == "webgpu"
        check_outputs(page, model)
    browser.close()


@pytest.mark.parametrize(
    "settings",
    [
        {"image_size": 32, "crop_pct": 1.0, "interpolation": "bicubic", "ground": "white"},
        {"image_size": 96, "crop_pct": 0.875, "interpolation": "bilinear", "ground": "checker"},
    ],
    ids=["as the run", "cropped, bilinear, on a checkerboard"],
)
def test_pictures_are_prepared_as_by_the_library(chromium: Browser, web_pages, settings):
    exported = web_pages["tiny"]
    size, info = settings["image_size"], exported.info
    told = settings | {"mean": info.mean, "std": info.std}
    with opened(chromium, exported.file.as_uri()) as page:
        for name, content in mixed_pictures().items():
            image = open_image(content, colours=Colours(settings["ground"]))
            ours = fit_square(image, size, settings["crop_pct"], settings["interpolation"])
            pixels, theirs = prepare(page, content, told)
            assert np.abs(ours.astype(int) - theirs).max() <= 2, name
            np.testing.assert_allclose(pixels, to_tensor([theirs], info.mean, info.std).numpy()[0], atol=1e-6)
            if size == info.image_size:
                with torch.inference_mode():
                    wanted, found = (exported.model(to_tensor([it], info.mean, info.std)) for it in (ours, theirs))
                assert float((wanted.softmax(1) - found.softmax(1)).abs().max()) <= 1e-2, name
