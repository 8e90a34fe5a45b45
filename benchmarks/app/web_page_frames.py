"""Measure the live camera of an exported page: ``python -m benchmarks.app.web_page_frames [--run RUN] [--core 1]``.

Headless Chromium has a synthetic camera. It draws every head of every layer for each frame, with the matrix of one head
closed and open, and with rollout. Printed are frames per second, and the processor time of all processes of Chromium
per frame, which also holds on a busy machine.
"""

import argparse
import os
import tempfile
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Page, sync_playwright

from tests.helpers.exported_pages import FAKE_CAMERA, wait
from tests.helpers.serving import CHROMIUM_FLAGS, chromium_path
from vit import get_run
from vit.exports.web_page import export_web_page
from vit.runs.run import SHIPPED_RUN

WARM_UP_MS = 4000
VIEWS = {
    "every head": "vitPage.page.maps.elements.box.open = false",
    "every head, and the matrix of one": "vitPage.page.maps.elements.box.open = true",
    "rollout": "document.querySelector('input[value=rollout]').click()",
}


def processor_seconds() -> float:
    """Return the processor time that the processes of Chromium have used."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            if "chrom" in process.name():
                times = process.cpu_times()
                total += times.user + times.system
        except psutil.NoSuchProcess:
            continue
    return total


def measure(page: Page, seconds: float) -> dict[str, float]:
    """Return frames per second, processor milliseconds per frame, and the page's own times in milliseconds."""
    page.wait_for_timeout(WARM_UP_MS)
    now = "[vitPage.drawn, performance.now()]"
    (frames, begun), used = page.evaluate(now), processor_seconds()
    page.wait_for_timeout(1000 * seconds)
    (last, end), spent = page.evaluate(now), processor_seconds() - used
    stats = page.evaluate("({...vitPage.stats})")
    count = max(1, last - frames)
    return {
        "fps": 1000 * (last - frames) / (end - begun),
        "processor": 1000 * spent / count,
        **{part: stats[part] for part in ("prepare", "network", "draw")},
    }


def live(browser: Browser, file: Path, seconds: float) -> dict[str, dict[str, float]]:
    """Turn the camera of a page on and measure each view."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(file.as_uri())
    wait(page, "window.vitPage && vitPage.ready")
    page.get_by_role("button", name="Camera", exact=True).click()
    page.get_by_role("button", name="Turn the camera on").click()
    wait(page, "vitPage.stats.fps > 0")
    found = {}
    for name, choose in VIEWS.items():
        page.evaluate(choose)
        found[name] = measure(page, seconds)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", default=SHIPPED_RUN)
    parser.add_argument("--page", type=Path, help="an exported page, in place of --run")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--core", type=int, help="run the browser on this core only")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = chosen.page
        if file is None:
            file = Path(folder) / "page.html"
            file.write_bytes(export_web_page(get_run(chosen.run)).content)
        if chosen.core is not None:
            os.sched_setaffinity(0, {chosen.core})
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=[*CHROMIUM_FLAGS, *FAKE_CAMERA])
        print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        for view, found in live(browser, file.resolve(), chosen.seconds).items():
            times = ", ".join(f"{part} {found[part]:.0f} ms" for part in ("prepare", "network", "draw"))
            print(f"{view}: {found['fps']:.1f} frames/s, {found['processor']:.0f} ms of processor per frame ({times})")
        browser.close()


if __name__ == "__main__":
    main()
