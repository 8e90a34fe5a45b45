"""How long a click on a patch or on a tile takes, until the maps are computed and until they stand in the browser.

    python -m benchmarks.click [--run scenes-vit] [--clicks 50]

- *Another token*: milliseconds from a recorded pass to the maps of one token of every head (``token_maps``).
- *Another image*: milliseconds to run the model over an image and record it (``capture``), on the CPU.
- *Contributions*: milliseconds from a recorded pass to the norms of what each token contributes, all heads.
- *On screen*: from mouse down on a patch, or on the tile of another layer or head, to the frame in which every canvas
  shows the new maps, in a headless Chromium on a real server.
- *Settled*: from mouse down until the answer of the server stands in the fields; the maps do not wait for it.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from playwright.sync_api import Page, sync_playwright

from tests.serving import launch, serving
from vit import data
from vit.data.batches import to_tensor
from vit.explain import capture, contributions, token_maps
from vit.runs import SHIPPED_RUN, get_run
from vit.weights import load_checkpoint

REPEATS = 50

# Notes the time of the press, of the first frame after the maps have changed, and of the server's answer.
WATCH = """grid => {
    const frame = then => requestAnimationFrame(() => setTimeout(() => then(performance.now())))
    const chosen = () => ["token", "layer", "head"].map(name => grid.dataset[name]).join()
    const field = name => document.querySelector(`.st-key-${name} input`).value
    const fields = () => ["token", "layer", "head"].map(field).join()
    document.addEventListener("pointerdown", () => {
        const [start, before] = [performance.now(), chosen()]
        window.times = {}
        new MutationObserver((_, observer) => {
            if (chosen() === before) return
            observer.disconnect()
            frame(now => (window.times.drawn = now - start))
        }).observe(grid, {attributes: true, attributeFilter: ["data-drawn"]})
        const settled = () =>
            chosen() !== before && fields() === chosen()
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


def interact(page: Page, side: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Milliseconds until drawn and until settled: patches and tiles are clicked in turn; the first three do not count.

    ``side`` is the number of patches in a row.
    """
    grid = page.locator(".attention[data-drawn]")
    grid.evaluate(WATCH)
    random = np.random.default_rng(0)
    patches = random.permutation(side * side)
    tiles = page.locator(".tile canvas")
    tile = 0
    drawn, settled = [], []
    for index in range(count + 3):
        if index % 2:
            tile = (tile + int(random.integers(1, tiles.count()))) % tiles.count()  # another than the chosen one
            box, place = tiles.nth(tile).bounding_box(), (0.5, 0.5)
        else:
            row, column = divmod(int(patches[index % len(patches)]), side)
            box, place = page.locator(".picker canvas").bounding_box(), ((column + 0.5) / side, (row + 0.5) / side)
        page.mouse.click(box["x"] + place[0] * box["width"], box["y"] + place[1] * box["height"])
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
    parser.add_argument("--clicks", type=int, default=50)
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
    report("Contributions", milliseconds(lambda index: contributions(model, recorded)), "50")
    with serving() as address, sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(f"{address}/attention?run={run.name}&image=val-0")
        page.wait_for_selector(".attention[data-drawn]", timeout=120_000)
        page.wait_for_selector(".js-plotly-plot")
        page.wait_for_timeout(3000)
        drawn, settled = interact(page, model.config.grid, options.clicks)
        browser.close()
    report("On screen", drawn, "300, 95th percentile 600")
    report("Settled", settled)


if __name__ == "__main__":
    main()
