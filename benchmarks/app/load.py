"""Simulate thirty visitors during a training: response times, errors, memory, and the cost of an open page.

    python -m benchmarks.app.load [--sessions 30] [--seconds 600] [--page-seconds 60] [--no-browser]

It starts a real server with a copy of the included run in temporary folders, and a real training of the default model
on the CPU.

- *Train page*: processor time of the server with one open Train page minus that without one, in cores: for a run in
  training (goal 0.05), for an ended run while another one trains, and without any training.
- *Page updates*: visitors (:mod:`benchmarks.app.clients`) open links to Attention, Predict and Evaluate, change layers,
  patches, images and cells, load samples, upload images, change pages and leave, and new visitors arrive. Each waits 1
  to 5 seconds between two actions. Milliseconds from the request to the message that the page is complete.
- *Errors*: exceptions and error boxes on pages, broken connections, missing answers (goal 0).
- *Memory*: growth of the server from minute 2 (or a third of a shorter time) to the end (goal at most 10 %).
- *Chromium*: from mouse down to the changed page on the screen, in one browser among the visitors; no goal.

The exit status is 1 if a goal is missed.
"""

import argparse
import asyncio
import contextlib
import io
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from playwright.sync_api import Error as BrowserError
from playwright.sync_api import Page, sync_playwright

from benchmarks.app.clients import Client, Lost
from benchmarks.app.stopwatch import MAPS, PICTURES, measure, open_page
from tests.helpers.serving import chromium_path, launch, serving
from vit import data, jobs, runs
from vit.config import DataConfig
from vit.paths import checkpoints_dir
from vit.runs import Run

PAGE_CORES_MAX = 0.05
MEMORY_GROWTH_MAX = 0.10
THINK = (1.0, 5.0)
ACTIONS = (4, 10)
"""Lowest and highest number of actions of a visitor."""
SAMPLE_EVERY = 2.0
WORDS = "[...document.querySelectorAll('[data-testid=stMain] strong')].map(one => one.textContent).join()"

Times = dict[str, list[float]]


# Folders, server, training


@contextmanager
def temporary_home() -> Iterator[Path]:
    """Use temporary folders of runs and data in this process and its children."""
    shipped = checkpoints_dir() / runs.SHIPPED_RUN
    with tempfile.TemporaryDirectory(prefix="vit-load-") as folder:
        shutil.copytree(shipped, Path(folder) / "checkpoints" / runs.SHIPPED_RUN)
        before = {name: os.environ.get(name) for name in ("VIT_CHECKPOINTS", "VIT_DATA")}
        os.environ.update(VIT_CHECKPOINTS=f"{folder}/checkpoints", VIT_DATA=f"{folder}/data")
        try:
            data.load(DataConfig())
            yield Path(folder)
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextmanager
def server() -> Iterator[tuple[str, psutil.Process]]:
    """Start the app on a free port; yield its address and its process."""
    with serving() as address:
        mine = [one for one in psutil.Process().children() if "streamlit_app.py" in one.cmdline()]
        yield address, mine[-1]


@contextmanager
def training() -> Iterator[Run]:
    """Train with the settings of the included run until the block ends."""
    config = runs.find_run(runs.SHIPPED_RUN).config
    recipe = config.training.model_copy(update={"device": "cpu", "epochs": 1000})
    run = jobs.start(config.model_copy(update={"training": recipe}), "load")
    try:
        while run.latest is None:
            if not run.active:
                raise SystemExit(f"The training did not start: {run.status.message}\n{run.log(20)}")
            time.sleep(0.2)
        yield run
    finally:
        jobs.stop(run)


# The cost of one open page


async def page_cost(address: str, process: psutil.Process, seconds: float, run: str | None) -> tuple[float, Client]:
    """Return the cores that the server uses with one open Train page, or with none if ``run`` is None."""
    client = Client(address)
    if run is not None:
        await client.open("train", run=run, show="Follow a run")
        await asyncio.sleep(3)
    begun, before = time.monotonic(), _cpu(process)
    finished = client.finished
    await asyncio.sleep(seconds)
    used = (_cpu(process) - before) / (time.monotonic() - begun)
    client.finished -= finished
    await client.close()
    return used, client


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


# Visitors


class Visit:
    """The random actions of one visitor, starting from a link."""

    def __init__(self, address: str, chance: random.Random, times: Times, classes: tuple[str, ...]) -> None:
        self.client = Client(address)
        self.chance, self.times, self.classes = chance, times, classes
        self.page = ""
        self.pages: dict[str, tuple[Callable[[], Awaitable[None]], ...]] = {
            "attention": (self.place, self.place, self.tile, self.tile, self.image, self.view),
            "predict": (self.samples, self.samples, self.picture, self.look_closer),
            "evaluate": (self.cell, self.cell, self.matrix, self.numbers),
        }

    async def make(self, until: float) -> None:
        try:
            await self.arrive()
            for _ in range(self.chance.randint(*ACTIONS)):
                await asyncio.sleep(self.chance.uniform(*THINK))
                if time.monotonic() > until:
                    break
                await (self.move if self.chance.random() < 0.2 else self.chance.choice(self.pages[self.page]))()
                await self.client.load_pictures()
        except Lost as error:
            self.client.problems.append(f"{self.page}: {error}")
        finally:
            await self.client.close()

    async def note(self, kind: str, action: Awaitable[float]) -> None:
        """Record the time of an action."""
        self.times[kind].append(1000 * await action)

    async def arrive(self) -> None:
        """Open a link to a random page."""
        self.page = self.chance.choice(list(self.pages))
        one, two = self.chance.choices(self.classes, k=2)
        query = {
            "attention": {"image": f"val-{self.chance.randrange(400)}", "layer": str(self.chance.randint(1, 2))},
            "predict": {"pictures": ",".join(f"val-{self.chance.randrange(400)}" for _ in range(3))},
            "evaluate": {"true": one, "predicted": two},
        }[self.page]
        await self.note(f"{self.page.title()}: link", self.client.open(self.page, run=runs.SHIPPED_RUN, **query))
        await self.client.load_pictures()

    async def move(self) -> None:
        """Go to another page."""
        self.page = self.chance.choice([name for name in self.pages if name != self.page])
        await self.note(f"{self.page.title()}: from another page", self.client.go(self.page))

    async def place(self) -> None:
        """Set the number of a patch, layer or head."""
        field = self.chance.choice(list(self.client.all("number_input")))
        low, high = int(field.proto.min), int(field.proto.max)
        await self.note(
            "Attention: patch, layer or head", self.client.set(field, float(self.chance.randint(low, high)))
        )

    async def tile(self) -> None:
        """Click on the maps, with the event that the browser would send."""
        grids = self.client.all("bidi_component")
        grid = next(one for one in grids if one.proto.component_name.endswith("map_grid"))
        now = json.loads(grid.proto.mixed.json or grid.proto.json)
        pick = {name: now[name] for name in ("version", "token", "row", "column", "frame")} | {"seq": now["seq"] + 1}
        pick |= {"token": self.chance.randrange(now["tokens"])}
        await self.note("Attention: click on the maps", self.client.trigger(grid, "pick", pick))

    async def image(self) -> None:
        """Choose another image."""
        if self.chance.random() < 0.5:
            await self.note("Attention: another image", self.client.click(self.client.find("button", label="Next")))
        else:
            choice = f"val-{self.chance.randrange(400)}"
            field = self.client.find("text_input", label="Image")
            await self.note("Attention: another image", self.client.set(field, choice))

    async def view(self) -> None:
        """Choose attention, contributions, or the mean of the heads."""
        views = self.client.find("button_group", label="Show")
        choice = self.chance.choice(views.proto.options).content
        await self.note("Attention: another view", self.client.set(views, [choice]))

    async def samples(self) -> None:
        """Load four images of the data set."""
        await self.note("Predict: samples", self.client.click(self.client.find("button", label="Sample images")))

    async def picture(self) -> None:
        """Upload an image."""
        size = (self.chance.randint(64, 1200), self.chance.randint(64, 1200))
        noise = np.frombuffer(self.chance.randbytes(12 * 9 * 3), np.uint8).reshape(9, 12, 3)
        file = io.BytesIO()
        Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(file, "JPEG")
        uploader = self.client.find("file_uploader")
        await self.note("Predict: upload", self.client.upload(uploader, "picture.jpg", file.getvalue()))

    async def look_closer(self) -> None:
        """Follow the link from an image to Attention."""
        links = list(self.client.all("page_link", label="See its attention"))
        if not links:
            return await self.samples()
        self.page = "attention"
        query = self.chance.choice(links).proto.query_string
        await self.note("Attention: from another page", self.client.go("attention", query))

    async def cell(self) -> None:
        """Choose another cell from the lists."""
        field = self.client.find("selectbox", label=self.chance.choice(("True class", "Predicted class")))
        await self.note("Evaluate: cell", self.client.set(field, self.chance.choice(self.classes)))

    async def matrix(self) -> None:
        """Click on another cell of the matrix."""
        place = [self.chance.randrange(len(self.classes)) for _ in range(2)]
        await self.note("Evaluate: cell", self.client.trigger(self.client.find("bidi_component"), "cell", place))

    async def numbers(self) -> None:
        """Switch between counts and shares."""
        choice = self.client.find("button_group", label="Numbers")
        text = self.chance.choice(choice.proto.options).content
        await self.note("Evaluate: counts or shares", self.client.set(choice, [text]))


async def crowd(address: str, sessions: int, seconds: float, times: Times, problems: list[str]) -> int:
    """Keep ``sessions`` visitors on the pages, and return the total number of visitors."""
    until = time.monotonic() + seconds
    classes = runs.find_run(runs.SHIPPED_RUN).config.data.class_names
    came = 0

    async def chair(number: int) -> None:
        nonlocal came
        await asyncio.sleep(min(10.0, seconds / 3) * number / sessions)
        while time.monotonic() < until:
            came += 1
            visit = Visit(address, random.Random(came), times, classes)
            await visit.make(until)
            problems.extend(visit.client.problems)

    await asyncio.gather(*(chair(number) for number in range(sessions)))
    return came


async def watch_memory(process: psutil.Process, samples: list[tuple[float, float]]) -> None:
    """Record the server's resident memory (MB) regularly."""
    begun = time.monotonic()
    while True:
        samples.append((time.monotonic() - begun, process.memory_info().rss / 1e6))
        await asyncio.sleep(SAMPLE_EVERY)


def around(samples: list[tuple[float, float]], moment: float) -> float:
    """Return the median of the samples in the ten seconds before a moment."""
    return float(np.median([megabytes for at, megabytes in samples if moment - 10 <= at <= moment]))


# A real browser


def browse(address: str, repeats: int) -> Times:
    """Measure three kinds of changes in a headless Chromium, in milliseconds."""

    def cell(page: Page, index: int) -> None:
        cells = page.locator(".matrix td[data-row]")
        cells.nth((7 * index + 1) % cells.count()).click()

    actions = {
        "Chromium, Attention: another image": (
            "attention",
            MAPS,
            lambda page, _: page.get_by_role("button", name="Next").click(),
        ),
        "Chromium, Predict: samples": (
            "predict",
            PICTURES,
            lambda page, _: page.get_by_role("button", name="Sample images").click(),
        ),
        "Chromium, Evaluate: cell": ("evaluate", WORDS, cell),
    }
    times: Times = {}
    with sync_playwright() as playwright:
        browser = launch(playwright)
        for name, (path, seen, act) in actions.items():
            page = open_page(browser)
            page.goto(f"{address}/{path}?run={runs.SHIPPED_RUN}")
            page.wait_for_selector("[data-testid=stMain] h1", timeout=120_000)
            page.wait_for_timeout(8000)
            try:
                times[name] = list(measure(page, seen, act, repeats))
            except BrowserError as error:
                print(f"{name}: {error}", file=sys.stderr)
            page.close()
        browser.close()
    return times


# The report


class Report:
    """Prints the table, and records whether all goals are met."""

    def __init__(self) -> None:
        self.met = True
        print("| | figure | goal |\n| --- | --- | --- |", flush=True)

    def row(self, name: str, figure: str, goal: str = "", met: bool = True) -> None:
        """Print one line, and mark a missed goal."""
        self.met &= met
        print(f"| {name} | {figure if met else f'**{figure}** (missed)'} | {goal} |", flush=True)

    def times(self, times: Times) -> None:
        """Print a line for each kind of page update."""
        for name, found in sorted(times.items()):
            p50, p95 = np.percentile(found, (50, 95))
            self.row(name, f"p50 {p50:.0f} ms, p95 {p95:.0f} ms, {len(found)} times")


async def open_pages(report: Report, address: str, process: psutil.Process, run: str, seconds: float) -> None:
    """Measure the cost of one Train page while ``run`` trains."""
    base, _ = await page_cost(address, process, seconds, None)
    report.row("server during a training, no open page", f"{base:.3f} cores")
    for name, followed in (("training", run), ("ended, another run trains", runs.SHIPPED_RUN)):
        used, client = await page_cost(address, process, seconds, followed)
        met = used - base <= PAGE_CORES_MAX and not client.problems
        figure = f"{used - base:.3f} cores, {client.finished / seconds:.2f} script runs per second"
        report.row(f"Train page of a run: {name}", figure, f"{PAGE_CORES_MAX}", met)


async def visits(report: Report, address: str, process: psutil.Process, sessions: int, seconds: float) -> None:
    """Simulate the visitors, and measure response times, errors and memory."""
    times: Times = defaultdict(list)
    problems: list[str] = []
    samples: list[tuple[float, float]] = []
    memory = asyncio.create_task(watch_memory(process, samples))
    used = -_cpu(process)
    came = await crowd(address, sessions, seconds, times, problems)
    used += _cpu(process)
    memory.cancel()
    report.row("visitors", f"{sessions} at a time, {came} in total, {seconds:.0f} s")
    report.row("server with these visitors", f"{used / samples[-1][0]:.2f} cores")
    report.times(times | {"**All page updates**": [one for found in times.values() for one in found]})
    report.row("errors", f"{len(problems)}", "0", not problems)
    for problem, number in Counter(problems).most_common(10):
        print(f"  {number} x {problem}", file=sys.stderr)
    warm, end = around(samples, min(120.0, seconds / 3)), around(samples, samples[-1][0])
    figure = f"{warm:.0f} to {end:.0f} MB, {end / warm - 1:+.1%}"
    report.row(
        "memory of the server, after warm-up and at the end", figure, "+10 %", end / warm - 1 <= MEMORY_GROWTH_MAX
    )


async def browser_among(report: Report, address: str, sessions: int) -> None:
    """Measure one Chromium among the visitors."""
    ignored: Times = defaultdict(list)
    visitors = asyncio.create_task(crowd(address, sessions, 600, ignored, []))
    report.times(await asyncio.to_thread(browse, address, 20))
    visitors.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await visitors


async def warm_up(address: str) -> None:
    """Open every page once, so that torch, the model and the evaluation are loaded."""
    client = Client(address)
    await client.open()
    await asyncio.sleep(12)
    for page in ("attention", "predict", "evaluate", "train"):
        await client.go(page, f"run={runs.SHIPPED_RUN}")
    await client.close()
    if client.problems:
        raise SystemExit(f"The pages do not open: {client.problems}")


def speed(run: Run, seconds: float) -> str:
    """Return the recent speed of the training."""
    lines = [line for line in run.metrics()[0] if line["event"] == "step"]
    lately = [line["images_per_second"] for line in lines if line["seconds"] > lines[-1]["seconds"] - seconds]
    return f"{np.median(lately):.0f} images a second"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--page-seconds", type=float, default=60.0)
    parser.add_argument("--no-browser", action="store_true")
    options = parser.parse_args()
    with temporary_home(), server() as (address, process):
        asyncio.run(warm_up(address))
        report = Report()
        ended, client = asyncio.run(page_cost(address, process, options.page_seconds, runs.SHIPPED_RUN))
        figure = f"{ended:.3f} cores, the whole server; {client.finished} script runs"
        report.row("Train page of a run: ended, no training", figure, f"{PAGE_CORES_MAX}", ended <= PAGE_CORES_MAX)
        with training() as run:
            asyncio.run(open_pages(report, address, process, run.name, options.page_seconds))
            report.row("training, one open page", speed(run, options.page_seconds))
            asyncio.run(visits(report, address, process, options.sessions, options.seconds))
            report.row("training, with the visitors", speed(run, options.seconds))
            if not options.no_browser and chromium_path():
                asyncio.run(browser_among(report, address, options.sessions))
    sys.exit(0 if report.met else 1)


if __name__ == "__main__":
    main()
