"""How long a click on a patch takes, until the maps are computed and until they stand in the browser.

    python -m benchmarks.click [--run scenes-vit] [--clicks 20]

- *Another token*: milliseconds from a recorded pass to the maps of one token of every head (``token_maps``).
- *Another image*: milliseconds to run the model over an image and record it (``capture``), on the CPU.
- *On screen*: from mouse down on a patch to the frame in which every canvas shows the new maps, in a headless Chromium
  on a real server.
- *Settled*: from mouse down until the answer of the server stands in the field "Patch"; the maps do not wait for it.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from playwright.sync_api import Page, sync_playwright

from tests.serving import launch, serving
from vit import data
from vit.data.batches import to_tensor
from vit.explain import capture, token_maps
from vit.runs import SHIPPED_RUN, get_run
from vit.weights import load_checkpoint

REPEATS = 50

# Notes the time of the press, of the first frame after the maps of another token, and of the server's answer.
WATCH = """grid => {
    const frame = then => requestAnimationFrame(() => setTimeout(() => then(performance.now())))
    const field = document.querySelector(".st-key-token input")
    document.addEventListener("pointerdown", () => {
        const [start, before] = [performance.now(), grid.dataset.token]
        window.times = {}
        new MutationObserver((_, observer) => {
            if (grid.dataset.token === before) return
            observer.disconnect()
            frame(now => (window.times.drawn = now - start))
        }).observe(grid, {attributes: true, attributeFilter: ["data-drawn"]})
        const settled = () =>
            field.value === grid.dataset.token && field.value !== before
                ? (window.times.settled = performance.now() - start)
                : setTimeout(settled, 2)
        settled()
    }, true)
}"""


def milliseconds(work: Callable[[int], object]) -> np.ndarray:
    """Times of ``work(0)``, ``work(1)``, ... after two that do not count."""
    times = []
    for index in range(REPEATS + 2):
        start = time.perf_counter()
        work(index)
        times.append(1000 * (time.perf_counter() - start))
    return np.array(times[2:])


def click_patches(page: Page, side: int, clicks: int) -> tuple[np.ndarray, np.ndarray]:
    """Milliseconds until drawn and until settled of clicks all over the image, after three that do not count.

    ``side`` is the number of patches in a row.
    """
    grid = page.locator(".attention[data-drawn]")
    grid.evaluate(WATCH)
    box = page.locator(".picker canvas").bounding_box()
    drawn, settled = [], []
    for patch in np.random.default_rng(0).permutation(side * side)[: clicks + 3]:
        row, column = divmod(int(patch), side)
        page.mouse.click(box["x"] + (column + 0.5) / side * box["width"], box["y"] + (row + 0.5) / side * box["height"])
        page.wait_for_function("() => window.times.drawn && window.times.settled")
        times = page.evaluate("() => window.times")
        drawn.append(times["drawn"])
        settled.append(times["settled"])
        page.wait_for_timeout(300)  # a person looks before the next click
    return np.array(drawn[3:]), np.array(settled[3:])


def report(name: str, times: np.ndarray, goal: str = "") -> None:
    """One row of the table."""
    print(f"| {name} | {np.median(times):.3g} | {np.percentile(times, 95):.3g} | {len(times)} | {goal} |")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", default=SHIPPED_RUN)
    parser.add_argument("--clicks", type=int, default=20)
    options = parser.parse_args()
    run = get_run(options.run)
    model, info = load_checkpoint(run.path)
    images = data.load(run.config.data, splits=("val",)).val.images

    def record(index: int):
        return capture(model, to_tensor([np.moveaxis(images[index % len(images)], 0, -1)], info.mean, info.std))

    print(
        f"{run.name}: {model.config.depth} layers of {model.config.num_heads} heads, {model.config.num_tokens} tokens\n"
    )
    print("| | median, ms | 95th percentile, ms | times | goal, ms |\n| --- | --- | --- | --- | --- |")
    recorded = record(0)
    patches = model.config.num_tokens - 1
    report("Another token", milliseconds(lambda index: token_maps(recorded, index % patches + 1)), "50")
    report("Another image", milliseconds(record), "50")
    with serving() as address, sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(f"{address}/attention?run={run.name}&image=val-0")
        page.wait_for_selector(".attention[data-drawn]", timeout=120_000)
        page.wait_for_selector(".js-plotly-plot")
        page.wait_for_timeout(3000)
        drawn, settled = click_patches(page, model.config.grid, options.clicks)
        browser.close()
    report("On screen", drawn, "300")
    report("Settled", settled)


if __name__ == "__main__":
    main()
