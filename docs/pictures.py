"""Take screenshots of every page for the README: ``python -m docs.pictures [PAGE ...]``, or ``make pictures``.

The app runs with a copy of the included run; headless Chromium takes the screenshots. ``hero`` is an animated picture.
"""

import argparse
import io
import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from playwright.sync_api import Browser, Page, TimeoutError, sync_playwright

from docs import hero
from tests.helpers.serving import launch, serving
from vit import Target, capture, get_run, load_checkpoint, methods_for, model_input, model_view, plots
from vit.explain import token_maps
from vit.exports.web_page import export_web_page
from vit.paths import project_root
from vit.runs.run import SHIPPED_RUN

FOLDER = Path(__file__).resolve().parent / "pictures"
SIZE = {"width": 1400, "height": 900}
BYTES_MAX = 120_000
ALL_BYTES_MAX = 1_500_000
PATIENCE = 600_000
"""Milliseconds that a page may take. Some pages measure something before they show it."""
BUSY = "[data-testid=stStatusWidget], [data-testid=stSkeleton], [data-testid=stSpinner], [data-testid=stProgress]"
FAILED = "[data-testid=stException], [data-testid=stAlertContentError]"


class View(NamedTuple):
    """One screenshot: the link of the page, buttons to press first, and whether to use the dark theme."""

    link: str
    press: tuple[str, ...] = ()
    dark: bool = False


LOOK = f"run={SHIPPED_RUN}&image=val-28"
VIEWS = {
    "overview": View(""),
    "train": View("train"),
    "training": View(f"train?follow={SHIPPED_RUN}"),
    "runs": View(f"runs?run={SHIPPED_RUN}"),
    "published": View("published"),
    "predict": View(f"predict?run={SHIPPED_RUN}", press=("Sample images",)),
    "evaluate": View(f"evaluate?run={SHIPPED_RUN}"),
    "attention": View(f"attention?{LOOK}"),
    "attention-dark": View(f"attention?{LOOK}&token=29", dark=True),
    "relevance": View(f"relevance?{LOOK}"),
    "tokens": View(f"tokens?{LOOK}&aspect=Logit lens"),
    "heads": View(f"heads?{LOOK}"),
    "compare": View(f"compare?{LOOK}&image2=val-22"),
    "intervene": View(f"intervene?{LOOK}&changes=2.1z-2.4z"),
    "timelapse": View(f"timelapse?{LOOK}&epoch=12"),
    "anatomy": View(f"anatomy?run={SHIPPED_RUN}"),
    "lessons": View("lessons"),
    "glossary": View("glossary", dark=True),
    "faithfulness": View(f"faithfulness?run={SHIPPED_RUN}", press=("Measure on",)),  # last, because it takes a minute
}
NOTEBOOK, WEB_PAGE, ANIMATED = "notebook", "web-page", "hero"
NAMES = (*VIEWS, NOTEBOOK, WEB_PAGE, ANIMATED)


def wait_until_drawn(page: Page) -> None:
    """Wait until a page shows no sign of activity for two seconds."""
    page.get_by_role("heading", level=1).first.wait_for(timeout=PATIENCE)
    calm = 0
    for _ in range(PATIENCE // 500):
        calm = 0 if page.locator(BUSY).count() else calm + 1
        if calm == 4:
            page.evaluate("document.fonts.ready")
            return
        page.wait_for_timeout(500)
    raise TimeoutError(f"{page.url} was not drawn within {PATIENCE // 1000} s.")


def take(browser: Browser, address: str, view: View) -> bytes:
    """Return a screenshot of one view as PNG."""
    context = browser.new_context(viewport=SIZE, color_scheme="dark" if view.dark else "light", base_url=address)
    try:
        page = context.new_page()
        page.goto(f"/{view.link}")
        wait_until_drawn(page)
        for name in view.press:
            page.get_by_role("button", name=name).first.click()
            page.mouse.move(0, 0)  # close tooltips
            page.wait_for_timeout(2000)
            wait_until_drawn(page)
        if page.locator(FAILED).count():
            raise SystemExit(f"{view.link} shows an error: {page.locator(FAILED).first.inner_text()}")
        return page.screenshot()
    finally:
        context.close()


def figures() -> str:
    """Return an HTML page with two of the notebook's figures, for the sample image of the included run."""
    model, info = load_checkpoint(SHIPPED_RUN)
    picture = get_run(SHIPPED_RUN).path / "sample.png"
    view, images = model_view(info, picture), model_input(info, picture)
    fast = [method for method in methods_for(model).values() if method.fast]
    shown = (
        plots.head_grid(token_maps(capture(model, images), token=0), view),
        plots.map_row({method.title: method.function(model, images, Target())[0] for method in fast}, view),
    )
    return "".join(figure.to_html(full_html=False, include_plotlyjs=place == 0) for place, figure in enumerate(shown))


def take_figures(browser: Browser) -> bytes:
    """Return a screenshot of :func:`figures` as PNG."""
    page = browser.new_page(viewport={"width": 1040, "height": 600})
    page.set_content(f"<html lang=en><body>{figures()}</body></html>")
    page.locator(".plotly svg.main-svg").nth(1).wait_for()
    page.wait_for_timeout(1000)
    return page.screenshot(full_page=True)


def take_web_page(browser: Browser) -> bytes:
    """Return a screenshot of the included run as a web page, with patches covered and a head off, as PNG."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "page.html"
        file.write_bytes(export_web_page(get_run(SHIPPED_RUN)).content)
        page = browser.new_page(viewport=SIZE)
        page.goto(file.as_uri())
        page.get_by_role("button", name="Sample 4").click(timeout=PATIENCE)
        page.locator(".attention .tile").nth(1).click()
        page.locator(".attention .large canvas").click(position={"x": 190, "y": 120})
        page.locator("#heads button.head").nth(3).click()
        board = page.locator("#board canvas")
        board.hover(position={"x": 95, "y": 206})
        page.mouse.down()
        board.hover(position={"x": 140, "y": 206})
        page.mouse.up()
        page.mouse.move(0, 0)
        page.locator("#compared").get_by_text("Without the changes").wait_for()
        page.wait_for_timeout(500)
        return page.screenshot()


def as_webp(picture: bytes) -> bytes:
    """Return a picture as WebP, in the best quality with at most :data:`BYTES_MAX` bytes."""
    with Image.open(io.BytesIO(picture)) as image:
        for quality in range(84, 20, -8):
            content = io.BytesIO()
            image.convert("RGB").save(content, "WEBP", quality=quality, method=6)
            if content.tell() <= BYTES_MAX:
                break
    return content.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="PAGE", help=f"take only these: {', '.join(NAMES)}")
    names = parser.parse_args().names or list(NAMES)
    if unknown := set(names) - set(NAMES):
        parser.error(f"unknown pictures: {', '.join(sorted(unknown))}")
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(project_root() / "checkpoints" / SHIPPED_RUN, Path(folder) / SHIPPED_RUN)
        os.environ["VIT_CHECKPOINTS"] = folder
        with serving() as address, sync_playwright() as playwright:
            browser = launch(playwright)
            for name in names:
                if name == ANIMATED:
                    content = hero.animated(hero.take_frames(browser, address))
                elif name == WEB_PAGE:
                    content = as_webp(take_web_page(browser))
                else:
                    content = as_webp(take(browser, address, VIEWS[name]) if name in VIEWS else take_figures(browser))
                (FOLDER / f"{name}.webp").write_bytes(content)
                print(f"{name}.webp  {len(content) / 1000:.0f} kB", flush=True)
            browser.close()
    whole = sum(file.stat().st_size for file in FOLDER.glob("*.webp") if file.stem != ANIMATED)
    print(f"in total {whole / 1000:.0f} kB of {ALL_BYTES_MAX / 1000:.0f} kB, without {ANIMATED}.webp")


if __name__ == "__main__":
    main()
