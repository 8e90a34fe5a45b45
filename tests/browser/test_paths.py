"""First-time visitors on their paths through the app: nothing is cut, the console is empty, every number is true.

The steps are those of :mod:`docs.paths`, without what takes long. The included run has few validation images here.
"""

import json
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
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
"""Milliseconds to wait for what a step shows, which is there once the step has ended."""
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
def follow(chromium, house, tmp_path):
    """Return a function that walks a path and calls a check with the page after each step that has one."""

    def go(name: str, checks: dict[str, Callable[[Page], None]]) -> None:
        route, done = PATHS[name], set()
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
            if seen.says in checks:
                checks[seen.says](page)
                done.add(seen.says)
        assert done == set(checks)

    return go


@cache
def included_model():
    return load_checkpoint(runs.get_run(runs.SHIPPED_RUN).path)


def probabilities(image: Image.Image) -> np.ndarray:
    model, info = included_model()
    return model(model_input(info, image)).softmax(dim=-1)[0].detach().numpy()


@cache
def validation_images() -> data.Split:
    return data.load(runs.get_run(runs.SHIPPED_RUN).config.data, splits=("val",)).val


def validation_image(index: int) -> Image.Image:
    return Image.fromarray(np.moveaxis(validation_images().images[index], 0, -1))


def pinned(page: Page) -> int:
    return int(page.locator(".attention").get_attribute("data-pinned"))


def check_answer(page: Page, image: Image.Image) -> None:
    """The predicted class and its probability are those of the network."""
    found, names = probabilities(image), included_model()[1].class_names
    shown = page.get_by_test_id("stMain").get_by_text(re.compile("predicted: ")).last.inner_text(timeout=SOON)
    assert f"predicted: {names[found.argmax()]}, {found.max():.1%}" in shown.replace("\u2060", "")


def check_maps(page: Page, image: Image.Image, token: int) -> None:
    """The number on each tile, the share of the class token, is that of the network's attention."""
    model, info = included_model()
    attention = capture(model, model_input(info, image)).attention[0, :, :, token, 0].flatten().detach().numpy()
    shown = page.locator(".attention .tile .share").all_inner_texts()
    for text_, share in zip(shown, attention, strict=True):
        if text_.startswith("<"):
            assert share < 0.001
        else:
            assert float(text_.strip("%")) / 100 == pytest.approx(share, abs=0.006 if share > 0.0095 else 0.0006)


def test_student(follow):
    example = read_example(runs.get_run(runs.SHIPPED_RUN))
    image = validation_image(example.image)

    def lines_of_the_patch(page: Page) -> None:
        hero = page.locator(".hero")
        layer, query = (int(hero.get_attribute(f"data-{name}")) for name in ("layer", "query"))
        check_lines(page, example.attention, layer, query)
        check_chips(page, example.attention, layer, query)

    def answer_and_maps(page: Page) -> None:
        check_answer(page, image)
        check_maps(page, image, 0)

    follow(
        "student",
        {
            "Points at a patch of the picture": lines_of_the_patch,
            "Opens all maps of this image": answer_and_maps,
            "Clicks the patch": lambda page: check_maps(page, image, pinned(page)),
        },
    )


def test_teacher(follow, tmp_path):
    def new_board(page: Page) -> None:
        code = page.get_by_role("heading", level=2).inner_text(timeout=SOON)
        assert re.fullmatch(r"\w{3}\W?\w{3}", code)
        assert page.get_by_text("0 of 30 seats taken, 0 guessed, 0 runs").is_visible()

    follow("teacher", {"Opens a board, which shows its code": new_board})
    assert text("heads").ask in (tmp_path / "sheet.html").read_text()


def test_researcher(follow, tmp_path):
    def counts_of_the_zip(page: Page) -> None:
        with zipfile.ZipFile(tmp_path / "photographs.zip") as archive:
            names = [Path(name).parts for name in archive.namelist() if not name.endswith("/")]
        train = sum("train" in parts for parts in names)
        assert page.get_by_text(re.compile(rf"\b{train:,} training images,")).first.is_visible()
        classes = len({parts[-2] for parts in names})
        assert page.get_by_text(re.compile(rf"\b{classes} classes")).first.is_visible()

    follow("researcher", {"Uploads a zip of photographs": counts_of_the_zip})


def test_phone(follow):
    photograph = Image.open(PHOTOGRAPH).convert("RGB")

    def answer_on_predict(page: Page) -> None:
        found, names = probabilities(photograph), included_model()[1].class_names
        answer = re.compile(rf"^{names[found.argmax()]}\s*{found.max():.1%}$")
        assert page.get_by_test_id("stMain").locator("p").filter(has_text=answer).count() == 1

    def maps_on_one_screen(page: Page) -> None:
        check_maps(page, photograph, pinned(page))
        top = page.locator(".attention .picker canvas").bounding_box()["y"]
        last = page.locator(".attention .tile").last.bounding_box()
        assert last["y"] + last["height"] - top < HEIGHTS[390] - 60  # one screen below the app's bar

    follow(
        "phone",
        {
            "Chooses a photograph": answer_on_predict,
            "Opens its attention": lambda page: check_answer(page, photograph),
            "Taps a patch": maps_on_one_screen,
        },
    )


def test_keyboard(follow):
    def answers_in_the_gallery(page: Page) -> None:
        names = runs.get_run(runs.SHIPPED_RUN).config.data.class_names
        for index in (0, 1, IMAGES - 1):
            found, label = probabilities(validation_image(index)), validation_images().labels[index]
            best = int(found.argmax())
            shown = page.locator(".gallery .thumbnail").nth(index).get_attribute("aria-label", timeout=SOON)
            parts = re.fullmatch(
                rf"val-{index}, (\w+), answer (\w+), ([\d.]+) %, (right|wrong)", shown.replace("\xa0", " ")
            )
            assert parts, shown
            assert parts.groups()[:2] == (names[label], names[best])
            assert float(parts[3]) / 100 == pytest.approx(found[best], abs=0.006)
            assert parts[4] == ("right" if best == label else "wrong")

    follow(
        "keyboard",
        {
            "Pins a patch": lambda page: check_maps(page, validation_image(0), pinned(page)),
            "Waits for the answers to all images": answers_in_the_gallery,
            "Chooses the next image": lambda page: check_answer(page, validation_image(1)),
        },
    )
