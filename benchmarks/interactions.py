"""How long a change on the pages beside Attention takes until it stands on the screen, in a headless Chromium.

    python -m benchmarks.interactions [--run scenes-vit] [--times 50]

From mouse down to the first frame that shows another picture, figure or map, on a real server that has been asked for
the page before; clicks on the Attention page itself are in ``benchmarks.click``.
"""

import argparse
from collections.abc import Callable

import numpy as np
from playwright.sync_api import Page, sync_playwright

from benchmarks.click import report
from tests.serving import launch, serving
from vit.runs import SHIPPED_RUN, get_run

# Looks at every frame, from the press on, until what stands on the page is another than before.
WATCH = """seen => {
    const look = new Function("return " + seen)
    document.addEventListener("pointerdown", () => {
        const [start, before] = [performance.now(), look()]
        window.changed = null
        const check = () =>
            look() !== before ? (window.changed = performance.now() - start) : requestAnimationFrame(check)
        check()
    }, true)
}"""
PICTURES = "[...document.querySelectorAll('[data-testid=stMain] img')].map(one => one.currentSrc).join()"
HEADINGS = "[...document.querySelectorAll('[data-testid=stMain] h3')].map(one => one.textContent).join()"
MAPS = "window.grid.dataset.version"


def pill(page: Page, index: int) -> None:
    """Open another method."""
    pills = page.locator(".st-key-closer button")
    pills.nth(index % 6).click()


def choose_class(page: Page, index: int) -> None:
    """Choose another class."""
    page.locator(".st-key-class input").click()
    page.wait_for_timeout(300)
    page.get_by_role("option").nth(index % 5).click()


def patch(page: Page, index: int) -> None:
    """Click a patch of the picker."""
    box = page.locator(".picker canvas").first.bounding_box()
    place = np.random.default_rng(index).random(2)
    page.mouse.click(box["x"] + place[0] * box["width"], box["y"] + place[1] * box["height"])


def switch_head(page: Page, index: int) -> None:
    """Switch a head off, or on again."""
    heads = page.locator(".board .head")
    heads.nth(index * 3 % heads.count()).click()


ACTIONS: dict[str, tuple[str, str, Callable[[Page, int], None]]] = {
    "Relevance, another method": ("relevance", PICTURES, pill),
    "Relevance, another class": ("relevance", PICTURES, choose_class),
    "Tokens, another patch in the logit lens": ("tokens?aspect=Logit lens", HEADINGS, patch),
    "Intervene, a head off or on": ("intervene", MAPS, switch_head),
}


def measure(page: Page, seen: str, act: Callable[[Page, int], None], times: int) -> np.ndarray:
    """Milliseconds of ``times`` changes, after three that do not count."""
    for grid in page.locator(".attention").all():  # in a shadow tree, which the page's own queries do not enter
        grid.evaluate("grid => (window.grid = grid)")
    page.evaluate(WATCH, seen)
    found = []
    for index in range(times + 3):
        page.evaluate("() => (window.changed = null)")
        act(page, index)
        page.wait_for_function("() => window.changed")
        found.append(page.evaluate("() => window.changed"))
        page.wait_for_timeout(700)  # a person looks before the next change
    return np.array(found[3:])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", default=SHIPPED_RUN)
    parser.add_argument("--times", type=int, default=50)
    options = parser.parse_args()
    run = get_run(options.run)
    print("| | median, ms | 95th percentile, ms | times | goal, ms |\n| --- | --- | --- | --- | --- |")
    with serving() as address, sync_playwright() as playwright:
        browser = launch(playwright)
        for name, (path, seen, act) in ACTIONS.items():
            page = browser.new_page(viewport={"width": 1400, "height": 1600})
            page.goto(f"{address}/{path}{'&' if '?' in path else '?'}run={run.name}&image=val-3")
            page.wait_for_selector("[data-testid=stMain] :is(canvas, img)", timeout=120_000)
            page.wait_for_timeout(6000)
            report(name, measure(page, seen, act, options.times), "300, 95th percentile 600")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
