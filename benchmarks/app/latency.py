"""Measure the waiting times of the app in a headless Chromium: 50th and 95th percentile, and the goals.

    python -m benchmarks.app.latency [--only first pages links slider hover patch next changes maps evaluate training]
                                 [--times 40] [--rounds 10] [--starts 5] [--json]

It uses a temporary folder of runs with a copy of the included run. The figures of the README were measured on a machine
without other work.

- *first*: from the start of ``streamlit run`` in a new process to the complete Overview page in a browser with an empty
  cache; also to a link to the Attention page. Every start counts.
- *pages*: every page of the navigation that was opened before: from a click on its link in the sidebar until all its
  headings and figures are drawn and its script has ended, that is, until the last change before two seconds of rest.
- *links*: the same from a link that opens a new session with the server.
- *slider*: a key on the slider of heads or depth on the Train page until the new estimate, command and name.
- *hover*: the pointer moves to another patch on the Attention page: how long the browser works on the new maps of all
  heads, and from the move until they are painted. Also the first patch that is pointed at and clicked after loading.
- *patch*: a click on a patch or on another head's tile on the Attention page until the new maps in every tile; also
  until the address has the server's answer, which the maps do not wait for.
- *next*: the button "Next" on the Attention page until the maps of the next image are drawn.
- *evaluate*: from a click on Evaluate in a new server that has imported torch until the page says what it does, and
  until the confusion matrix is there. The validation images are already cached.
- *changes*: another method or class on Relevance, another patch in the logit lens, switching a head off or on;
  the gallery on Attention.
- *maps*: the server's computations for one image, without a browser: the maps of a token, of an image, contributions.
- *training*: from Start on the unchanged Train page until the first point of the curve; from Stop until the answer.

The exit status is 1 if a median, or a 95th percentile that has a goal, misses it. The goals of a user's waiting time on
two cores alone: ``--only hover patch next pages evaluate``.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.app import stopwatch
from benchmarks.app.stopwatch import COMPLETE, HEADINGS, MAPS, PICTURES, measure, open_page, opened, settle, timed
from tests.helpers.serving import launch, serving
from vit import data, runs
from vit.config import DataConfig
from vit.paths import data_dir
from vit.support import hardware

FIRST_GOAL, EACH_PAGE_GOAL, PAGE_GOAL, SLIDER_GOAL, CLICK_GOAL = 8000.0, 1000.0, 500.0, 200.0, 300.0
HOVER_GOAL, PATCH_GOAL, FIRST_PATCH_GOAL = 16.0, 200.0, 500.0
NEXT_GOAL, NEXT_P95_GOAL, EVALUATE_GOAL = 500.0, 1000.0, 3000.0
"""Goals of the medians in milliseconds, on two CPU cores."""
CHOSEN = "['pinned', 'layer', 'head'].map(name => stopwatch.find('.attention')[0].dataset[name]).join()"
"""What a click on the maps has chosen: the pinned patch, layer and head."""
LOOK = 0.5
"""Pause between two clicks in seconds."""
GALLERY = "stopwatch.find('.thumbnail canvas[data-drawn]').length || null"
"""The thumbnails that are drawn."""
WARM_SECONDS = 8.0
"""Time for the server to import torch."""


@dataclass(frozen=True)
class Row:
    """One line of the table: times in milliseconds, and the goals of their median and 95th percentile."""

    what: str
    times: tuple[float, ...]
    goal: float | None = None
    p95_goal: float | None = None

    @property
    def percentiles(self) -> tuple[float, float]:
        """The 50th and the 95th percentile."""
        return float(np.median(self.times)), float(np.percentile(self.times, 95))

    @property
    def line(self) -> str:
        """The row as Markdown."""
        figures = " | ".join(f"{one:,.0f}" if one >= 100 else f"{one:.3g}" for one in self.percentiles)
        goal = "" if self.goal is None else f"{self.goal:,.0f}"
        goal += "" if self.p95_goal is None else f", p95 {self.p95_goal:,.0f}"
        goal += "" if self.met else ", missed"
        return f"| {self.what} | {figures} | {len(self.times)} | {goal} |"

    @property
    def met(self) -> bool:
        """Whether median and 95th percentile meet their goals."""
        pairs = zip(self.percentiles, (self.goal, self.p95_goal), strict=True)
        return all(goal is None or time <= goal for time, goal in pairs)


Rows = Iterator[Row]


# With a new server each time


def first(browser: Browser, options: argparse.Namespace) -> Rows:
    """Measure the first page of a new server in a browser with an empty cache."""
    attention = "stopwatch.find('.attention[data-drawn]').length || null"
    for what, path, watch, goal in (
        ("`streamlit run` to the first page", "/", stopwatch.SHOWN, FIRST_GOAL),
        ("`streamlit run` to the maps of a link", f"/attention?run={runs.SHIPPED_RUN}&image=val-0", attention, None),
    ):
        times = []
        for _ in range(options.starts):
            begun = time.time()
            with serving() as address:
                page = open_page(browser)
                found = opened(page, address + path, {"shown": watch})
                # The document's clock starts later than the process.
                times.append(page.evaluate("() => performance.timeOrigin") - 1000 * begun + found["shown"])
                page.close()
        yield Row(what, tuple(times), goal)


def training(browser: Browser, options: argparse.Namespace) -> Rows:
    """Measure start and stop of a training of the default model. The images are already cached."""
    started, stopped = [], []
    for _ in range(options.starts):
        with serving() as address:
            page = open_page(browser)
            page.goto(f"{address}/train?show=New+run")
            button = page.get_by_role("button", name="Start training")
            button.wait_for()
            page.wait_for_timeout(1000 * WARM_SECONDS)  # a visitor has read the page
            point = "stopwatch.find('.curves path').length || null"
            started.append(timed(page, button.click, {"point": point})["point"])
            page.wait_for_timeout(3000)
            said = "document.body.innerText.includes('Stopped after') || null"
            stopped.append(timed(page, page.locator(".st-key-stop button").click, {"said": said})["said"])
            page.close()
    yield Row("Start to the first point on the curve", tuple(started))
    yield Row("Stop until it has stopped", tuple(stopped))


def evaluate(browser: Browser, options: argparse.Namespace) -> Rows:
    """Measure the first view of Evaluate, whose answers no session has computed before."""
    said, shown = [], []
    watches = {
        "said": "stopwatch.find('[data-testid=stProgress], [data-testid=stSpinner], td[data-row]').length || null",
        "shown": "stopwatch.find('td[data-row]').length || null",
    }
    for _ in range(options.starts):
        with serving() as address:
            page = open_page(browser)
            warm_up(page, address)
            found = timed(page, links(page)["Evaluate"], watches)
            said.append(found["said"])
            shown.append(found["shown"])
            page.close()
    yield Row("Evaluate, first view: until it says what it does", tuple(said))
    yield Row("Evaluate, first view: until the matrix", tuple(shown), EVALUATE_GOAL)


# With a warm server


def pages(page: Page, options: argparse.Namespace) -> Rows:
    """Measure each page of the navigation, opened from the sidebar."""
    for link in links(page).values():
        visit(page, link)
    times: dict[str, list[float]] = {name: [] for name in links(page)}
    for _ in range(options.rounds):
        for name, link in links(page).items():
            times[name].append(timed(page, link, {"shown": COMPLETE})["shown"])
    for name, found in times.items():
        yield Row(f"{name}, warm", tuple(found), EACH_PAGE_GOAL)
    yield Row("any page, warm", tuple(one for found in times.values() for one in found), PAGE_GOAL)


def reloads(page: Page, options: argparse.Namespace) -> Rows:
    """Measure each page of the navigation, opened from a link in a new session."""
    every = []
    for name, link in links(page).items():
        visit(page, link)
        address = page.url
        page.goto(address)
        settle(page)
        times = [opened(page, address, {"shown": COMPLETE})["shown"] for _ in range(options.rounds)]
        yield Row(f"{name}, from a link", tuple(times))
        every += times
    yield Row("any page, from a link", tuple(every))


def warm_up(page: Page, address: str) -> None:
    """Open the first page, and stay there as long as a visitor who reads it."""
    page.goto(address)
    page.locator("[data-testid=stSidebarNavLink]").first.wait_for()
    page.wait_for_timeout(1000 * WARM_SECONDS)


def links(page: Page) -> dict[str, Callable[[], None]]:
    """Return the links of the navigation by title."""
    found = page.locator("[data-testid=stSidebarNavLink]")
    return {found.nth(index).inner_text().split("\n")[-1]: found.nth(index).click for index in range(found.count())}


def visit(page: Page, link: Callable[[], None]) -> str:
    """Open a page and wait until it is idle. On Predict, load the sample images first."""
    link()
    page.wait_for_timeout(1000 * LOOK)
    settle(page)
    samples = page.get_by_role("button", name="Sample images")
    if page.url.partition("?")[0].endswith("/predict") and not page.locator("[data-testid=stMain] img").count():
        samples.click()
        page.wait_for_timeout(1000 * LOOK)
    return settle(page)


def slider(page: Page, options: argparse.Namespace) -> Rows:
    """Measure the sliders of heads and depth on the Train page, alternately one step up and down."""
    page.goto(f"{origin(page)}/train?show=New+run")
    settle(page)
    said = (
        "stopwatch.idle() ? [...document.querySelectorAll('[data-testid=stMetricValue], .st-key-name input, "
        "[data-testid=stMain] code')].map(one => one.placeholder ?? one.textContent).join('|') : null"
    )
    every = []
    for key, title in (("heads", "heads"), ("depth", "depth")):
        control = page.locator(f".st-key-{key} input[type=range]")
        control.focus()
        times = measure(
            page, said, lambda page, index: page.keyboard.press(["ArrowRight", "ArrowLeft"][index % 2]), options.times
        )
        yield Row(f"slider of {title} on Train", tuple(times), SLIDER_GOAL)
        every += list(times)
    yield Row("either slider on Train", tuple(every), SLIDER_GOAL)


def patch(page: Page, options: argparse.Namespace) -> Rows:
    """Measure alternate clicks on patches and tiles of the Attention page."""
    page.goto(f"{origin(page)}/attention?run={runs.SHIPPED_RUN}&image=val-0")
    settle(page)
    side = runs.get_run(runs.SHIPPED_RUN).config.model.grid
    random = np.random.default_rng(0)
    places, tiles, picker = (
        random.permutation(side * side),
        page.locator(".tile canvas"),
        page.locator(".picker canvas"),
    )
    found, tile = [], 0
    for index in range(options.times + 3):
        if index % 2:
            tile = (tile + int(random.integers(1, tiles.count()))) % tiles.count()  # not the selected one
            act = tiles.nth(tile).click
        else:
            row, column = divmod(int(places[index % len(places)]), side)
            act = partial(click_at, page, picker.bounding_box(), (column + 0.5) / side, (row + 0.5) / side)
        found.append(timed(page, act, {"drawn": CHOSEN, "settled": "location.search"}))
        page.wait_for_timeout(1000 * LOOK)
    yield Row("click on a patch or tile until the new maps", tuple(one["drawn"] for one in found[3:]), PATCH_GOAL)
    yield Row("... until the server's answer in the address", tuple(one["settled"] for one in found[3:]))


def hover(page: Page, options: argparse.Namespace) -> Rows:
    """Measure the pointer over the patches of the Attention page, and the first click after loading."""
    path = f"{origin(page)}/attention?run={runs.SHIPPED_RUN}&image=val-0"
    side = runs.get_run(runs.SHIPPED_RUN).config.model.grid
    random, first = np.random.default_rng(0), []
    for _ in range(options.starts):
        page.goto(path)
        page.wait_for_function("() => window.stopwatch && stopwatch.find('.attention[data-drawn]').length")
        across, down = (random.integers(side, size=2) + 0.5) / side
        act = partial(click_at, page, page.locator(".picker canvas").bounding_box(), across, down)
        first.append(timed(page, act, {"drawn": CHOSEN})["drawn"])
    yield Row("first click on a patch after loading", tuple(first), FIRST_PATCH_GOAL)
    page.goto(path)
    settle(page)
    box = page.locator(".picker canvas").bounding_box()
    page.evaluate("() => (stopwatch.moves = [])")
    for patch in random.choice(side * side, size=options.times * 2, replace=False):
        row, column = divmod(int(patch), side)
        page.mouse.move(box["x"] + (column + 0.5) / side * box["width"], box["y"] + (row + 0.5) / side * box["height"])
        page.wait_for_timeout(50)
    work, painted = zip(*page.evaluate("() => stopwatch.moves"), strict=True)
    yield Row("pointer over another patch: work of the browser", work, HOVER_GOAL)
    yield Row("... from the move until the maps are painted", painted)


def next_image(page: Page, options: argparse.Namespace) -> Rows:
    """Measure the button that shows the next image on the Attention page."""
    page.goto(f"{origin(page)}/attention?run={runs.SHIPPED_RUN}&image=val-0")
    settle(page)
    button = page.get_by_role("button", name="Next", exact=True)
    times = measure(page, MAPS, lambda page, index: button.click(), options.times)
    yield Row("next image until its maps", tuple(times), NEXT_GOAL, NEXT_P95_GOAL)


def click_at(page: Page, box: dict[str, float], across: float, down: float) -> None:
    """Click at a relative position in a box."""
    page.mouse.click(box["x"] + across * box["width"], box["y"] + down * box["height"])


def choose_class(page: Page, index: int) -> None:
    page.locator(".st-key-class input").click()
    page.wait_for_timeout(300)
    page.get_by_role("option").nth(index % 5).click()


def click_lens(page: Page, index: int) -> None:
    click_at(page, page.locator(".picker canvas").first.bounding_box(), *np.random.default_rng(index).random(2))


def switch_head(page: Page, index: int) -> None:
    heads = page.locator(".board .head")
    heads.nth(index * 3 % heads.count()).click()


CHANGES: dict[str, tuple[str, str, Callable[[Page, int], None]]] = {
    "Relevance, another method": (
        "relevance",
        PICTURES,
        lambda page, index: page.locator(".st-key-closer button").nth(index % 6).click(),
    ),
    "Relevance, another class": ("relevance", PICTURES, choose_class),
    "Tokens, another patch in the logit lens": ("tokens?aspect=Logit+lens", HEADINGS, click_lens),
    "Intervene, switching a head off or on": ("intervene", MAPS, switch_head),
}
"""Changes on other pages: the link, the content that changes, and the action."""


def changes(page: Page, options: argparse.Namespace) -> Rows:
    """Measure changes on pages other than Attention."""
    for what, (path, seen, act) in CHANGES.items():
        page.set_viewport_size({"width": 1400, "height": 1600})
        page.goto(f"{origin(page)}/{path}{'&' if '?' in path else '?'}run={runs.SHIPPED_RUN}&image=val-3")
        settle(page)
        yield Row(what, tuple(measure(page, seen, act, options.times)), CLICK_GOAL)
    page.goto(f"{origin(page)}/attention?run={runs.SHIPPED_RUN}&image=val-3")
    settle(page)
    gallery = timed(page, page.locator(".card").click, {"seen": GALLERY})["seen"]
    yield Row("Attention, the gallery is opened for the first time", (gallery,), NEXT_GOAL)


def origin(page: Page) -> str:
    return page.evaluate("() => location.origin")


# Without a browser


def maps(options: argparse.Namespace) -> Rows:
    """Measure the server's computations for a click or a new image, on the CPU."""
    from vit.data.batches import to_tensor
    from vit.explain import capture, contributions, token_maps
    from vit.runs.weights import load_checkpoint

    run = runs.get_run(runs.SHIPPED_RUN)
    model, info = load_checkpoint(run.path)
    images = data.load(run.config.data, splits=("val",)).val.images

    def record(index: int) -> object:
        return capture(model, to_tensor([np.moveaxis(images[index % len(images)], 0, -1)], info.mean, info.std))

    recorded, patches = record(0), model.config.num_tokens - 1
    for what, work in (
        ("computing: maps of another token", lambda index: token_maps(recorded, index % patches + 1)),
        ("computing: another image", record),
        ("computing: contributions", lambda _: contributions(model, recorded)),
    ):
        times = []
        for index in range(options.times + 2):
            start = time.perf_counter()
            work(index)
            times.append(1000 * (time.perf_counter() - start))
        yield Row(what, tuple(times[2:]), 50.0)


# Main program


WARM = {
    "pages": pages,
    "links": reloads,
    "slider": slider,
    "hover": hover,
    "patch": patch,
    "next": next_image,
    "changes": changes,
}
ALONE = {
    "first": first,
    "evaluate": evaluate,
    "training": training,
}  # training last, because its runs appear in the lists


def rows(options: argparse.Namespace) -> Rows:
    asked = options.only
    with sync_playwright() as playwright:
        browser = launch(playwright)
        if "first" in asked:
            yield from first(browser, options)
        if warm := [name for name in WARM if name in asked]:
            with serving() as address:
                page = open_page(browser)
                warm_up(page, address)
                for name in warm:
                    yield from WARM[name](page, options)
                page.close()
        for name in ("evaluate", "training"):
            if name in asked:
                yield from ALONE[name](browser, options)
        browser.close()
    if "maps" in asked:
        yield from maps(options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=[*ALONE, *WARM, "maps"], default=[*ALONE, *WARM, "maps"])
    parser.add_argument("--times", type=int, default=40, help="repeats of each slider, click and change")
    parser.add_argument("--rounds", type=int, default=10, help="rounds through all pages")
    parser.add_argument("--starts", type=int, default=5, help="starts of the server and of trainings")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ["VIT_DATA"] = str(data_dir())
    data.load(DataConfig())
    found = []
    with tempfile.TemporaryDirectory(prefix="vit-latency-") as folder:
        shutil.copytree(runs.find_run(runs.SHIPPED_RUN).path, Path(folder) / runs.SHIPPED_RUN)
        os.environ["VIT_CHECKPOINTS"] = folder
        if not options.json:
            print("| | p50, ms | p95, ms | times | goal, ms |\n| --- | --- | --- | --- | --- |", flush=True)
        for row in rows(options):
            found.append(row)
            if not options.json:
                print(row.line, flush=True)
    if options.json:
        lines = [asdict(row) | dict(zip(("p50", "p95"), row.percentiles, strict=True), met=row.met) for row in found]
        machine = {"processor": hardware.processor(), "cores": hardware.cpu_cores()}
        print(json.dumps({"unit": "ms", "machine": machine, "rows": lines}, indent=2))
    sys.exit(0 if all(row.met for row in found) else 1)


if __name__ == "__main__":
    main()
