"""Measure how many frames a second the live view of Predict and Attention shows.

    python -m benchmarks.app.live [--run scenes] [--seconds 10] [--json]

A headless Chromium opens the page of a new server; its camera plays a drawn video with 30 frames a second. The first
seconds, in which the browser compiles the network, do not count. Run it on an idle machine.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from benchmarks.app import moving_objects
from tests.helpers.serving import camera_flags, launch, serving
from vit import runs

WAIT = 180_000
"""Timeout in milliseconds."""
FIRST_SECONDS = 3
PAGES = "predict", "attention"


def frames(page: Page) -> int:
    """Return the number of frames that the live view has shown."""
    return int(page.locator(".live[data-frames]").get_attribute("data-frames"))


def measure(page: Page, path: str, seconds: float) -> float:
    """Return the frames a second of a page."""
    page.goto(f"/{path}&live=true")
    page.get_by_role("button", name="Turn the camera on").click()
    page.locator(".live[data-frames]").wait_for()
    page.wait_for_timeout(1000 * FIRST_SECONDS)
    before, begun = frames(page), time.monotonic()
    page.wait_for_timeout(1000 * seconds)
    return (frames(page) - before) / (time.monotonic() - begun)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--run", default=runs.SHIPPED_RUN)
    options.add_argument("--seconds", type=float, default=10)
    options.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving() as address, sync_playwright() as playwright:
        video = Path(folder) / "cup.y4m"
        moving_objects.write_video(video, moving_objects.burst("cup", 1, 90), fps=30)
        browser = launch(playwright, *camera_flags(video))
        page = browser.new_page(viewport={"width": 1400, "height": 1000}, base_url=address)
        page.set_default_timeout(WAIT)
        found = {path: measure(page, f"{path}?run={chosen.run}", chosen.seconds) for path in PAGES}
        browser.close()
    if chosen.json:
        print(json.dumps({"run": chosen.run, "frames_per_second": found}))
        return
    for path, rate in found.items():
        print(f"{path:12}{rate:6.1f} frames a second")


if __name__ == "__main__":
    main()
