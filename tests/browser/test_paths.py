"""First-time visitors on their paths through the app: nothing is cut, the console is empty, every number is true.

The steps are those of :mod:`docs.paths`, without what takes long. The included run has few validation images here.
"""

import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page

from docs.paths import PATHS, PHOTOGRAPH
from docs.walk import HEIGHTS, walk
from tests.browser.test_hero import check_chips, check_lines
from tests.helpers.serving import ROOT, serving
from vit import data, runs
from vit.evaluation import model_input
from vit.explain import capture
from vit.lessons.texts import text
from vit.runs.example import read_example
from vit.runs.weights import load_checkpoint

pytestmark = pytest.mark.browser

SOON = 5000
"""Milliseconds: a step has ended, so what it shows is there."""
IMAGES = 24
"""Validation images of the included run in these tests: enough for the image of the first page."""


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Iterator[str]:
    """Serve a copy of the included run with few validation images; the address."""
    home = tmp_path_factory.mktemp("paths")
    run = home / "checkpoints" / runs.SHIPPED_RUN
    shutil.copytree(ROOT / "checkpoints" / runs.SHIPPED_RUN, run)
    config = json.loads((run / runs.CONFIG).read_text())
    config["data"]["val_images"] = IMAGES
    (run / runs.CONFIG).write_text(json.dumps(config))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIT_CHECKPOINTS", str(home / "checkpoints"))
        patch.setenv("VIT_DATA", str(home / "data"))
        with serving() as address:
            yield address


@pytest.fixture
def steps(chromium, house, tmp_path):
    """Return a function that walks a path and yields each step's words with the page."""

    def go(name: str) -> Iterator[tuple[str, Page]]:
        route = PATHS[name]
        for seen, page in walk(
            chromium,
            house,
            name,
            route.steps,
            width=route.width,
            touch=route.touch,
            folder=tmp_path,
            brief=True,
            calm=0.4,
            patience=30_000,
        ):
            assert not seen.findings, f"{seen.says}: {seen.findings}"
            yield seen.says, page

    return go


def model_of(name: str = runs.SHIPPED_RUN):
    return load_checkpoint(runs.get_run(name).path)


def probabilities(image: Image.Image) -> np.ndarray:
    model, info = model_of()
    return model(model_input(info, image)).softmax(dim=-1)[0].detach().numpy()


def validation_image(index: int) -> Image.Image:
    split = data.load(runs.get_run(runs.SHIPPED_RUN).config.data, splits=("val",)).val
    return Image.fromarray(np.moveaxis(split.images[index], 0, -1))


def check_answer(page: Page, image: Image.Image) -> None:
    """The predicted class and its probability are those of the network."""
    found, names = probabilities(image), model_of()[1].class_names
    shown = page.get_by_test_id("stMain").get_by_text(re.compile("predicted: ")).last.inner_text(timeout=SOON)
    assert f"predicted: {names[found.argmax()]}, {found.max():.1%}" in shown.replace("\u2060", "")


def check_maps(page: Page, image: Image.Image, token: int) -> None:
    """The number on each tile, the share of the class token, is that of the network's attention."""
    model, info = model_of()
    attention = capture(model, model_input(info, image)).attention[0, :, :, token, 0].flatten().detach().numpy()
    shown = page.locator(".attention .tile .share").all_inner_texts()
    for text_, share in zip(shown, attention, strict=True):
        if text_.startswith("<"):
            assert share < 0.001
        else:
            assert float(text_.strip("%")) / 100 == pytest.approx(share, abs=0.006 if share > 0.0095 else 0.0006)


def test_student(steps):
    run = runs.get_run(runs.SHIPPED_RUN)
    example = read_example(run)
    for says, page in steps("student"):
        if says == "Points at a patch of the picture":
            hero = page.locator(".hero")
            layer, query = (int(hero.get_attribute(f"data-{name}")) for name in ("layer", "query"))
            check_lines(page, example.attention, layer, query)
            check_chips(page, example.attention, layer, query)
        if says == "Opens all maps of this image":
            check_answer(page, validation_image(example.image))
            check_maps(page, validation_image(example.image), 0)
        if says == "Clicks the patch":
            token = int(page.locator(".attention").get_attribute("data-pinned"))
            check_maps(page, validation_image(example.image), token)


def test_teacher(steps, tmp_path):
    for says, page in steps("teacher"):
        if says == "Opens a board, which shows its code":
            code = page.get_by_role("heading", level=2).inner_text(timeout=SOON)
            assert re.fullmatch(r"\w{3}\W?\w{3}", code)
            assert page.get_by_text("0 of 30 seats taken, 0 guessed, 0 runs").is_visible()
    assert text("heads").ask in (tmp_path / "sheet.html").read_text()


def test_researcher(steps, tmp_path):
    for says, page in steps("researcher"):
        if says == "Uploads a zip of photographs":
            with zipfile.ZipFile(tmp_path / "photographs.zip") as archive:
                names = [Path(name).parts for name in archive.namelist() if not name.endswith("/")]
            train = sum("train" in parts for parts in names)
            assert page.get_by_text(re.compile(rf"\b{train:,} training images,")).first.is_visible()
            classes = len({parts[-2] for parts in names})
            assert page.get_by_text(re.compile(rf"\b{classes} classes")).first.is_visible()


def test_phone(steps):
    photograph = Image.open(PHOTOGRAPH).convert("RGB")
    for says, page in steps("phone"):
        if says == "Chooses a photograph":
            found, names = probabilities(photograph), model_of()[1].class_names
            answer = re.compile(rf"^{names[found.argmax()]}\s*{found.max():.1%}$")
            assert page.get_by_test_id("stMain").locator("p").filter(has_text=answer).count() == 1
        if says == "Opens its attention":
            check_answer(page, photograph)
        if says == "Taps a patch":
            check_maps(page, photograph, int(page.locator(".attention").get_attribute("data-pinned")))
            top = page.locator(".attention .picker canvas").bounding_box()["y"]
            last = page.locator(".attention .tile").last.bounding_box()
            assert last["y"] + last["height"] - top < HEIGHTS[390] - 60  # one screen below the app's bar


def test_keyboard(steps):
    run = runs.get_run(runs.SHIPPED_RUN)
    for says, page in steps("keyboard"):
        if says == "Pins a patch":
            token = int(page.locator(".attention").get_attribute("data-pinned"))
            check_maps(page, validation_image(0), token)
        if says == "Waits for the answers to all images":
            labels = data.load(run.config.data, splits=("val",)).val.labels
            for index in (0, 1, IMAGES - 1):
                found, names = probabilities(validation_image(index)), run.config.data.class_names
                tile = page.locator(".gallery .thumbnail").nth(index)
                said = tile.get_attribute("aria-label", timeout=SOON)
                said, best = said.replace("\xa0", " "), int(found.argmax())
                told = re.fullmatch(
                    rf"val-{index}, (\w+), answer (\w+), ([\d.]+) %, (right|wrong)", said.replace("\xa0", " ")
                )
                assert told, said
                assert told.groups()[:2] == (names[labels[index]], names[best])
                assert float(told[3]) / 100 == pytest.approx(found[best], abs=0.006)
                assert told[4] == ("right" if best == labels[index] else "wrong")
        if says == "Chooses the next image":
            check_answer(page, validation_image(1))
