"""The main job, as a person does it: from a zip of photographs to the attention of the model trained on them."""

import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.helpers.photographs import small_photo_zip
from vit import jobs, runs

pytestmark = pytest.mark.browser

HOSTILE = "www.a.com me@b.org [c](d) <img src=x> *e* :smile: `f`.jpg"
"""A file name that Markdown and HTML would make links, pictures and icons of."""


@pytest.fixture
def photographs(tmp_path) -> Path:
    return small_photo_zip(tmp_path / "photographs.zip")


def set_slider(page: Page, key: str, steps: int) -> None:
    """Move a slider to its smallest value and ``steps`` up from there, by keyboard."""
    thumb = page.locator(f".st-key-{key} [role=slider], .st-key-{key} input[type=range]").first
    thumb.focus()
    thumb.press("Home")
    settled(page)
    for _ in range(steps):
        thumb.press("ArrowRight")
    settled(page)


def settled(page: Page) -> None:
    """Wait until the script that a change has started is through."""
    page.wait_for_timeout(300)
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)


def pixels(canvas: Locator) -> str:
    return canvas.evaluate("canvas => canvas.toDataURL()")


def number(text: str) -> int:
    return int(re.sub(r"\D", "", text) or 0)


def upload_photographs(page: Page, zip_file: Path) -> None:
    page.goto("/train?form=All+settings")
    page.get_by_text("Upload your own images").click()
    page.locator("input[type=file]").first.set_input_files(zip_file)
    expect(page.get_by_text("training images,")).to_be_visible()
    expect(page.get_by_role("combobox", name="Data set")).to_have_value(zip_file.stem)
    expect(page.locator("[data-testid=stImage] img").first).to_be_visible()
    settled(page)


def train_with_four_heads_and_depth_four(page: Page) -> runs.Run:
    set_slider(page, "heads", 3)
    set_slider(page, "depth", 3)
    expect(page.get_by_text("4 heads × 32 = 128")).to_be_visible()
    set_slider(page, "epochs", 59)
    page.get_by_role("button", name="Start training").click()
    expect(page.locator(".st-key-stop")).to_be_visible()
    (run,) = runs.list_runs()
    assert (run.config.model.num_heads, run.config.model.depth, run.config.training.epochs) == (4, 4, 60)
    return run


def watch_the_curve_grow(page: Page) -> None:
    """The loss chart appears and its data grows; validation follows."""
    progress = page.get_by_text(re.compile(r"Epoch \d+ of 60, step"))
    expect(progress.first).to_be_visible()
    expect(page.locator(".curves path").first).to_be_visible()

    def step() -> int:
        return number(re.search(r"step ([\d,]+)", progress.first.inner_text())[1])

    first = step()
    page.wait_for_function(
        "first => +/step ([\\d,]+)/.exec(document.body.innerText)?.[1].replaceAll(',', '') > first", arg=first
    )
    expect(page.get_by_test_id("stMetric").filter(has_text="Validation accuracy")).to_contain_text("%")


def test_from_a_zip_of_photographs_to_the_attention_of_the_model_trained_on_them(page, photographs, tmp_path):
    upload_photographs(page, photographs)
    run = train_with_four_heads_and_depth_four(page)
    try:
        watch_the_curve_grow(page)
        read_all_curves_at_one_step(page)
        see_a_patch_in_every_head(page)
        page.reload()  # the training does not mind, and the page finds it again
        watch_the_curve_grow(page)
        page.locator(".st-key-stop button").click()
        expect(page.get_by_text(re.compile("Stopped after")).first).to_be_visible()
        assert run.state == "stopped"
        assert run.status.validated
    finally:
        if run.active:
            jobs.stop(run)

    predict_an_uploaded_picture(page, photographs, tmp_path)
    corner = run.config.model.grid  # the number of the patch in the upper right corner
    click_a_patch_and_see_the_maps_change(page, corner)
    read_the_confusion_matrix(page, run)
    come_back_to_the_attention_as_it_was_left(page, corner)


def read_all_curves_at_one_step(page: Page) -> None:
    """The pointer over one plot reads the lines of all, and so do the arrow keys."""
    curves = page.locator(".curves")
    curves.locator("svg").first.hover()
    tip = curves.locator(".tip")
    for text in ("Step ", "Loss", "Accuracy", "Validation", "Learning rate"):
        expect(tip).to_contain_text(text)
    expect(curves.locator(".now")).to_have_count(3)
    curves.press("Escape")
    expect(tip).to_be_hidden()
    curves.press("ArrowRight")
    expect(tip).to_contain_text("Training, smoothed")
    curves.press("Escape")


def see_a_patch_in_every_head(page: Page) -> None:
    """While the run trains, the arrow keys choose a patch without the server."""
    maps = page.locator(".live")
    expect(maps.locator(".tiles canvas")).to_have_count(16)  # four heads of four layers
    picker = maps.locator(".picker")
    picker.press("ArrowRight")
    expect(maps).to_have_attribute("data-token", "1")
    expect(maps.locator(".from")).to_have_text("From the patch r1 c1")
    picker.press("Escape")
    expect(maps).to_have_attribute("data-token", "0")


def predict_an_uploaded_picture(page: Page, photographs: Path, tmp_path: Path) -> None:
    page.get_by_role("link", name="Predict with it").click()
    expect(page.get_by_role("heading", name="Predict")).to_be_visible()
    with zipfile.ZipFile(photographs) as archive:
        name = next(name for name in archive.namelist() if "/val/" in name and not name.endswith("/"))
        picture = Image.open(io.BytesIO(archive.read(name))).resize((200, 150))
    picture.save(tmp_path / "mine.png")
    (tmp_path / HOSTILE).write_text("Dear sir or madam")
    page.locator("input[type=file]").first.set_input_files([tmp_path / "mine.png", tmp_path / HOSTILE])
    expect(page.get_by_text("mine.png")).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_have_count(1)
    alert = page.get_by_role("alert").filter(has_text="is not an image")
    expect(alert).to_be_visible()
    assert HOSTILE in alert.inner_text().replace("\u2060", "")  # as it is, but for invisible joiners
    expect(alert.locator("a, em, strong, code, img[src*=x]")).to_have_count(0)


def click_a_patch_and_see_the_maps_change(page: Page, corner: int) -> None:
    page.get_by_role("link", name="See its attention").click()
    grid = page.locator(".attention")
    expect(grid).to_have_attribute("data-token", "0")
    tiles = grid.locator(".tile canvas")
    expect(tiles).to_have_count(16)  # four heads of four layers
    before = [pixels(tile) for tile in tiles.all()]
    picker = grid.locator(".picker canvas")
    box = picker.bounding_box()
    picker.click(position={"x": box["width"] * 0.95, "y": box["height"] * 0.05})
    expect(grid).to_have_attribute("data-token", str(corner))
    after = [pixels(tile) for tile in tiles.all()]
    assert all(old != new for old, new in zip(before, after, strict=True))
    page.wait_for_url(re.compile(rf"token={corner}\b"))
    tiles.nth(9).click()  # layer 3, head 2
    expect(page.get_by_text("Layer 3, head 2: every token to every token")).to_be_visible()

    page.reload()  # the link reproduces the view
    expect(grid).to_have_attribute("data-token", str(corner))
    expect(grid).to_have_attribute("data-layer", "3")
    expect(grid).to_have_attribute("data-head", "2")


def read_the_confusion_matrix(page: Page, run: runs.Run) -> None:
    page.get_by_role("link", name="Evaluate").first.click()
    cells = page.locator("table[role=grid] td[data-row]")
    expect(cells.first).to_be_visible()
    classes = len(run.config.data.class_names)
    expect(cells).to_have_count(classes**2)
    counts = np.array([number(text) for text in cells.all_inner_texts()]).reshape(classes, classes)
    assert len(set(counts.sum(axis=1))) == 1  # as many images of each class
    accuracy = np.trace(counts) / counts.sum()
    assert accuracy == pytest.approx(run.status.best["val_accuracy"])

    rows, columns = np.nonzero(counts)
    true, predicted = int(rows[-1]), int(columns[-1])
    page.locator(f"td[data-row='{true}'][data-column='{predicted}']").click()
    expect(page.get_by_text(f"{counts[true, predicted]} image")).to_be_visible()
    expect(page.get_by_role("combobox", name="True class")).to_have_value(run.config.data.class_names[true])
    expect(page.get_by_role("combobox", name="Predicted class")).to_have_value(run.config.data.class_names[predicted])


def come_back_to_the_attention_as_it_was_left(page: Page, corner: int) -> None:
    page.get_by_test_id("stSidebarNav").get_by_role("link", name="Attention").click()
    grid = page.locator(".attention")
    expect(grid).to_have_attribute("data-token", str(corner))
    expect(grid).to_have_attribute("data-layer", "3")
    expect(grid).to_have_attribute("data-head", "2")
