"""How long a person waits: for the first page, for the first point on the curve, for Stop.

    python -m benchmarks.start [--rounds 3]

Each round starts a fresh server and looks at it in a headless Chromium:

- *First page*: from ``streamlit run`` to the title of Overview on the screen.
- *First page, Attention*: the same where the first request is a link to the shipped run's attention, until its maps
  are drawn.
- *First point*: from a click on Start, on the Train page as it comes (scenes, default model), to the first step that
  the page shows. The images of scenes are drawn and stored before.
- *Stop*: from a click on Stop until the page says so.
"""

import argparse
import os
import tempfile
import time
from collections import defaultdict
from statistics import median

from playwright.sync_api import Browser, sync_playwright

from tests.serving import launch, serving
from vit import data, runs
from vit.config import DataConfig, data_dir

WAIT = 120_000


def first_pages(browser: Browser, times: dict[str, list[float]]) -> None:
    """Overview, then a link, each on a server of its own."""
    for name, path, ready in (
        ("First page", "/", "h1"),
        ("First page, Attention", f"/attention?run={runs.SHIPPED_RUN}&image=val-0", ".attention[data-drawn]"),
    ):
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        begin = time.perf_counter()
        with serving() as address:
            page.goto(address + path)
            page.wait_for_selector(ready, timeout=WAIT)
            times[name].append(time.perf_counter() - begin)
            page.close()


def train(browser: Browser, times: dict[str, list[float]]) -> None:
    """Start and stop a training in a folder of runs of its own."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["VIT_CHECKPOINTS"], before = folder, os.environ.get("VIT_CHECKPOINTS")
        try:
            with serving() as address:
                page = browser.new_page(viewport={"width": 1400, "height": 1000})
                page.goto(f"{address}/train")
                button = page.get_by_role("button", name="Start training")
                button.wait_for(timeout=WAIT)
                page.wait_for_timeout(8000)  # a person has looked at the page, and the server has warmed up
                begin = time.perf_counter()
                button.click()
                page.get_by_text("of 20, step").wait_for(timeout=WAIT)
                times["First point"].append(time.perf_counter() - begin)
                page.wait_for_timeout(3000)
                begin = time.perf_counter()
                page.locator(".st-key-stop button").click()
                page.get_by_text("Stopped after").first.wait_for(timeout=WAIT)
                times["Stop"].append(time.perf_counter() - begin)
                page.close()
        finally:
            os.environ.pop("VIT_CHECKPOINTS") if before is None else os.environ.update(VIT_CHECKPOINTS=before)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    os.environ["VIT_DATA"] = str(data_dir())
    data.load(DataConfig())
    times: dict[str, list[float]] = defaultdict(list)
    with sync_playwright() as playwright:
        browser = launch(playwright)
        for _ in range(rounds):
            first_pages(browser, times)
            train(browser, times)
        browser.close()
    print("| | median, s | all, s |\n| --- | --- | --- |")
    for name, seconds in times.items():
        print(f"| {name} | {median(seconds):.1f} | {', '.join(f'{one:.1f}' for one in seconds)} |")


if __name__ == "__main__":
    main()
