"""Walk five first-time paths through the app in a browser, and report each step: ``python -m docs.paths``.

    python -m docs.paths [--only student teacher researcher phone keyboard] [--out FOLDER] [--widths 1400,800,390]
                         [--dark]

Each path is what a person would do on the real app, from the first page on; the app has the included runs and no data.
For each step the program prints the seconds until its result was on screen, the layout shift, and findings: messages on
the browser's console, failed requests, errors on the page, and what is cut at each width. ``--out`` saves a picture of
each step at each width. The exit status is 1 if there are findings.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Locator, Page, expect, sync_playwright

from docs.walk import HEIGHTS, Steps, Visit, walk
from tests.helpers.photographs import small_photo_zip
from tests.helpers.serving import ROOT, launch, serving
from vit.paths import project_root
from vit.runs import SHIPPED_RUN

PATIENCE = 120_000
PHOTOGRAPH = ROOT / "examples" / "photographs" / "chelsea.jpg"
PINNED = re.compile(r"[1-9]\d*")


# What a person does


def open_app(page: Page) -> None:
    """Open the first page, and wait for its animated picture."""
    page.goto("/")
    expect(page.locator(".hero[data-lines]")).to_be_visible()


def arrives(page: Page, title: str) -> None:
    """Wait for the page with this heading."""
    expect(page.get_by_role("heading", level=1, name=title, exact=True)).to_be_visible()


def open_from_sidebar(page: Page, title: str) -> None:
    """Click a page in the sidebar, which is unfolded first if it is folded."""
    link = page.get_by_test_id("stSidebarNav").get_by_role("link", name=title, exact=True)
    if not link.is_visible():
        page.get_by_test_id("stExpandSidebarButton").click()
    link.click()
    arrives(page, title)


def at(canvas: Locator, across: float, down: float) -> tuple[float, float]:
    """Return a place in an element, as shares of its width and height, in pixels of the window."""
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    return box["x"] + across * box["width"], box["y"] + down * box["height"]


def tab_to(page: Page, wanted: Locator, key: str = "Tab") -> None:
    """Press Tab until an element has the focus.

    Raises:
        LookupError: it does not get the focus within 90 presses.
    """
    for _ in range(90):
        page.keyboard.press(key)
        if wanted.evaluate_all("found => found.some(one => one.getRootNode().activeElement === one)"):
            return
    raise LookupError(f"{wanted} cannot be reached with {key}")


# The paths


def student(visit: Visit) -> Steps:
    """Explore the animation, take the tour, and look into the heads of the included model."""
    page = visit.page
    open_app(page)
    yield "Opens the app"
    page.mouse.move(*at(page.locator(".hero canvas"), 0.53, 0.6))
    expect(page.locator(".hero")).to_have_attribute("data-playing", "false")
    yield "Points at a patch of the picture"
    if not visit.brief:
        page.get_by_role("button", name="Take the tour").click()
        expect(page.get_by_role("heading", name="1. An image becomes patches")).to_be_visible()
        yield "Takes the tour"
        for number in range(2, 7):
            page.locator(".st-key-tour_next button").click()
            expect(page.get_by_role("heading", level=3, name=re.compile(rf"^{number}\. "))).to_be_visible()
            expect(page.locator(".st-key-tour_back")).to_be_visible()
            yield f"Goes to step {number} of the tour"
        page.get_by_role("button", name="Finish").click()
        expect(page.locator(".hero[data-lines]")).to_be_visible()
        yield "Finishes the tour"
    page.get_by_role("link", name="All maps of this image").click()
    stage = page.locator(".attention")
    expect(stage).to_have_attribute("data-token", "0")
    yield "Opens all maps of this image"
    page.mouse.move(*at(stage.locator(".picker canvas"), 0.53, 0.6))
    expect(stage).to_have_attribute("data-token", PINNED)
    yield "Points at a patch"
    page.mouse.click(*at(stage.locator(".picker canvas"), 0.53, 0.6))
    expect(stage).to_have_attribute("data-pinned", PINNED)
    yield "Clicks the patch"
    stage.locator(".tile").nth(9).click()
    expect(stage.locator(".tile").nth(9)).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("heading", name="Layer 3, head 2: every token to every token")).to_be_visible()
    yield "Clicks head 2 of layer 3"


def teacher(visit: Visit) -> Steps:
    """Read a lesson, open a board for a class, and save the sheet to print."""
    page = visit.page
    open_app(page)
    yield "Opens the app"
    page.get_by_role("link", name="Lessons: guess, then see").click()
    arrives(page, "Lessons")
    yield "Opens the lessons"
    page.get_by_role("link", name="One head or four").click()
    arrives(page, "One head or four")
    yield "Opens the first lesson"
    page.get_by_test_id("stRadio").locator("label").filter(has_text=re.compile(r"\S")).nth(1).click()
    expect(page.get_by_role("heading", name="Guess first")).to_be_visible()
    yield "Guesses"
    page.get_by_role("link", name="Open or join a board").click()
    arrives(page, "Board")
    yield "Opens the page for a class"
    page.get_by_role("button", name="Open a board").click()
    expect(page.get_by_text("of 30 seats taken")).to_be_visible()
    yield "Opens a board, which shows its code"
    page.get_by_role("link", name="Go to the lesson").click()
    arrives(page, "One head or four")
    yield "Goes back to the lesson"
    with page.expect_download() as download:
        page.get_by_role("button", name="Sheet to print").click()
    sheet = visit.folder / "sheet.html"
    download.value.save_as(sheet)
    page.goto(sheet.as_uri())
    yield "Saves the sheet to print, and opens it"


def researcher(visit: Visit) -> Steps:
    """Upload photographs, train for a short time, read the mistakes, and look into the heads."""
    page = visit.page
    photographs = small_photo_zip(visit.folder / "photographs.zip")
    open_app(page)
    yield "Opens the app"
    page.get_by_role("link", name="Choose images, heads and depth").click()
    arrives(page, "Train")
    expect(page.get_by_role("button", name="Start training")).to_be_visible()
    yield "Opens the form"
    page.get_by_text("Upload your own images").click()
    page.locator("input[type=file]").first.set_input_files(photographs)
    expect(page.get_by_text("training images,")).to_be_visible()
    expect(page.get_by_role("combobox", name="Data set")).to_have_value(photographs.stem)
    yield "Uploads a zip of photographs"
    if visit.brief:
        return
    page.get_by_role("button", name="Start training").click()
    expect(page.locator(".curves path").first).to_be_visible()
    yield "Starts the training, and sees its first step"
    accuracy = page.get_by_test_id("stMetric").filter(has_text="Validation accuracy")
    expect(accuracy).to_contain_text(re.compile(r"\d%"))
    yield "Watches it until the first validation"
    expect(page.get_by_role("link", name="Evaluate it")).to_be_visible()
    yield "Watches it until it has finished"
    page.get_by_role("link", name="Evaluate it").click()
    arrives(page, "Evaluate")
    expect(page.locator("table[role=grid] td[data-row]").first).to_be_visible()
    yield "Evaluates it"
    open_from_sidebar(page, "Attention")
    stage = page.locator(".attention[data-drawn]")
    expect(stage).to_be_visible()
    yield "Opens its attention"
    page.mouse.click(*at(stage.locator(".picker canvas"), 0.5, 0.4))
    expect(stage).to_have_attribute("data-pinned", PINNED)
    yield "Clicks a patch"


def phone(visit: Visit) -> Steps:
    """Tap the animation, let the model classify an uploaded photograph, and look at its attention."""
    page = visit.page
    open_app(page)
    yield "Opens the app"
    page.touchscreen.tap(*at(page.locator(".hero canvas"), 0.53, 0.6))
    expect(page.locator(".hero")).to_have_attribute("data-pinned", "true")
    yield "Taps a patch of the picture"
    page.get_by_role("link", name="Classify your own picture").first.tap()
    arrives(page, "Predict")
    expect(page.get_by_text("No images yet")).to_be_visible()
    yield "Opens Predict to classify a picture"
    page.locator("input[type=file]").first.set_input_files(PHOTOGRAPH)
    expect(page.locator(".js-plotly-plot .bars").first).to_be_attached()
    yield "Chooses a photograph"
    page.get_by_role("link", name="See its attention").tap()
    stage = page.locator(".attention[data-drawn]")
    expect(stage).to_be_visible()
    yield "Opens its attention"
    page.touchscreen.tap(*at(stage.locator(".picker canvas"), 0.53, 0.6))
    expect(stage).to_have_attribute("data-pinned", PINNED)
    stage.locator(".side").evaluate("side => side.scrollIntoView()")
    yield "Taps a patch"


def keyboard(visit: Visit) -> Steps:
    """Use the keyboard only: open the sidebar, then pick a patch, a head and another image."""
    page = visit.page
    open_app(page)
    yield "Opens the app"
    tab_to(page, page.get_by_test_id("stExpandSidebarButton"))
    page.keyboard.press("Enter")
    link = page.get_by_test_id("stSidebarNav").get_by_role("link", name="Attention", exact=True)
    expect(link).to_be_visible()
    yield "Unfolds the sidebar"
    tab_to(page, link)
    page.keyboard.press("Enter")
    stage = page.locator(".attention[data-drawn]")
    expect(stage).to_be_visible()
    yield "Opens Attention"
    tab_to(page, stage.locator(".picker canvas"))
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    expect(stage).to_have_attribute("data-pinned", PINNED)
    yield "Pins a patch"
    tab_to(page, stage.locator(".tile"))
    for key in ("ArrowDown", "ArrowLeft", "ArrowLeft", "Enter"):  # from head 4 of layer 1
        page.keyboard.press(key)
    expect(page.get_by_role("heading", name=re.compile(r"Layer 2, head 2: "))).to_be_visible()
    yield "Enlarges head 2 of layer 2"
    tab_to(page, page.get_by_role("button", name="Open the gallery"), "Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".gallery .thumbnail").first).to_be_visible()
    yield "Opens the gallery"
    expect(page.locator(".thumbnail.right, .thumbnail.wrong").first).to_be_visible()
    yield "Waits for the answers to all images"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"image=val-1\b"))
    expect(stage).to_have_attribute("data-version", re.compile("val-1/"))
    yield "Chooses the next image"


class Route(NamedTuple):
    """A path, the width of its visitor's window, and whether it is a touch screen."""

    steps: Callable[[Visit], Steps]
    width: int
    touch: bool = False


PATHS = {
    "student": Route(student, 1400),
    "teacher": Route(teacher, 1400),
    "researcher": Route(researcher, 1400),
    "phone": Route(phone, 390, touch=True),
    "keyboard": Route(keyboard, 800),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(PATHS), default=list(PATHS))
    parser.add_argument("--out", type=Path, help="save a picture of each step in this folder")
    parser.add_argument("--widths", default=",".join(map(str, HEIGHTS)), help="widths of the window in pixels")
    parser.add_argument("--dark", action="store_true", help="take the pictures in the dark theme, too")
    options = parser.parse_args()
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=PATIENCE)
    faults = 0
    with tempfile.TemporaryDirectory(prefix="vit-paths-") as name, sync_playwright() as playwright:
        folder = Path(name)
        shutil.copytree(project_root() / "checkpoints" / SHIPPED_RUN, folder / "checkpoints" / SHIPPED_RUN)
        os.environ |= {"VIT_CHECKPOINTS": str(folder / "checkpoints"), "VIT_DATA": str(folder / "data")}
        browser = launch(playwright)
        print("| step | what the visitor does | s | layout shift | findings |\n| --- | --- | --- | --- | --- |")
        with serving() as address:
            for name in options.only:
                steps, width, touch = PATHS[name]
                own = folder / name
                own.mkdir()
                for seen, _ in walk(
                    browser,
                    address,
                    name,
                    steps,
                    width=width,
                    touch=touch,
                    folder=own,
                    out=options.out,
                    widths=[int(one) for one in options.widths.split(",")],
                    dark=options.dark,
                ):
                    faults += len(seen.findings)
                    print(seen.line, flush=True)
        browser.close()
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
