"""Measure the time from an empty page to a network that tells three recorded objects apart, and its accuracy.

    python -m benchmarks.app.record_classes [--bursts 4] [--seconds 4] [--keep FOLDER] [--json]

A headless Chromium opens the Train page of a new server and records three classes with a camera that plays drawn
videos (:mod:`benchmarks.app.moving_objects`). It presses the buttons that a person presses. The clock starts with the
request for the page and stops when the page says that the training has finished. Then a second browser records other
videos, with other backgrounds, light and paths, and the trained network is evaluated on all of their frames. Run it on
an idle machine.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from playwright.sync_api import Locator, Page, expect, sync_playwright

from benchmarks.app.moving_objects import FPS, OBJECTS, burst, marked, write_video
from tests.helpers.serving import ROOT, camera_flags, launch, serving
from vit import runs
from vit.config.presets import RECORDED
from vit.data.files.uploads import list_uploads

WAIT = 180_000
"""Timeout in milliseconds."""
TRAINING_PLACES, EVALUATION_PLACES = 1000, 3000
"""The number of the first place of each video: a person records all classes in one place, then in the next."""
GUARD = 12
"""Frames at the end of a burst that are not recorded: by then the button must be up."""
_SHOWN = """video => {
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight)
  const context = canvas.getContext("2d", { willReadFrequently: true })
  context.drawImage(video, 0, 0)
  const number = column => [...Array(8).keys()].reduce((sum, bit) => {
    const [red] = context.getImageData(canvas.width * column, canvas.height * (bit + 0.5) / 8, 1, 1).data
    return sum + (red > 127) * 2 ** bit
  }, 0)
  return [number(10 / 320), number(310 / 320)]
}"""
"""What the camera shows now: the number of the burst, and that of the frame in it."""
_WAIT = f"""async (video, [burst, first, last]) => {{
  const shown = {_SHOWN}
  for (;;) {{
    const [now, frame] = video.videoWidth ? shown(video) : [-1, -1]
    if (now === burst && frame >= first && frame <= last) return
    if (first > 1 && now !== burst) return // too late
    await new Promise(resolve => setTimeout(resolve, 20))
  }}
}}"""


def video_frames(bursts: int, length: int, place: int) -> Iterator[np.ndarray]:
    """Yield the frames of all bursts, class by class, with the numbers of the burst and of the frame at the border."""
    for number, (name, one) in enumerate((name, one) for name in OBJECTS for one in range(bursts)):
        for index, frame in enumerate(burst(name, place + one, length)):
            yield marked(frame, number, index)


def record(page: Page, bursts: int, length: int, names: Sequence[str] = tuple(OBJECTS)) -> None:
    """Record all classes on the open Train page, as the video shows them; the buttons to send follow."""
    page.get_by_text("Record classes", exact=True).first.click()
    for _ in names[2:]:
        page.get_by_role("button", name="Add a class").click()
    for index, name in enumerate(names):
        page.get_by_role("textbox", name="Name of the class").nth(index).fill(name)
    page.get_by_role("button", name="Turn the camera on").click()
    for index, name in enumerate(names):
        button = page.get_by_role("button", name=f"Hold to record: {name}")
        button.scroll_into_view_if_needed()
        for one in range(index * bursts, (index + 1) * bursts):
            while not record_burst(page, button, one, length):
                page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Train on these frames")).to_be_enabled()


def record_burst(page: Page, button: Locator, number: int, length: int) -> bool:
    """Hold a button while the video shows a burst; return False if this machine was too busy to release it in time."""
    video = page.locator("video")
    button.hover()
    video.evaluate(_WAIT, [number, 1, length // 3])
    page.mouse.down()
    video.evaluate(_WAIT, [number, length - GUARD, length])
    page.mouse.up()
    return video.evaluate(_SHOWN)[0] == number


@contextmanager
def opened(playwright, address: str, video: Path) -> Iterator[Page]:
    """Open the Train page in a new browser whose camera plays a video."""
    browser = launch(playwright, *camera_flags(video))
    page = browser.new_page(viewport={"width": 1400, "height": 1000}, base_url=address)
    page.set_default_timeout(WAIT)
    expect.set_options(timeout=WAIT)
    page.goto("/train")
    yield page
    browser.close()


def measure(folder: Path, bursts: int, seconds: float) -> dict:
    """Record, train and evaluate in an empty folder, and return what was measured."""
    length = round(seconds * FPS)
    videos = {name: folder / f"{name}.y4m" for name in ("training", "evaluation")}
    for path, place in zip(videos.values(), (TRAINING_PLACES, EVALUATION_PLACES), strict=True):
        write_video(path, video_frames(bursts, length, place))
    os.environ.update(
        VIT_CHECKPOINTS=str(folder / "checkpoints"), VIT_DATA=str(folder / "data"), VIT_PREPARE_SCENES="0"
    )
    shutil.copytree(ROOT / "checkpoints" / RECORDED["start"], folder / "checkpoints" / RECORDED["start"])
    found: dict = {}
    with serving(log=folder / "server.log") as address, sync_playwright() as playwright:
        begun = time.monotonic()
        with opened(playwright, address, videos["training"]) as page:
            record(page, bursts, length)
            found["seconds_until_recorded"] = time.monotonic() - begun
            page.get_by_role("button", name="Train on these frames").click()
            expect(page.get_by_role("link", name="Predict with it")).to_be_visible()
            found["seconds_until_trained"] = time.monotonic() - begun
        run = next(run for run in runs.list_runs() if run.config.start)
        status = run.status
        found["seconds_of_training"] = status.ended - status.ticket / 1e9
        found["validation_accuracy"] = status.best["val_accuracy"]
        with opened(playwright, address, videos["evaluation"]) as page:
            record(page, bursts, length)
            page.get_by_role("button", name="Only store them").click()
            expect(page.get_by_text("training images", exact=False).first).to_be_visible()
    other = next(source for source in list_uploads() if source != run.config.data.source)
    command = ["evaluate", "--run", run.name, "--dataset", other, "--split", "all", "--json"]
    answer = subprocess.run([sys.executable, "-m", "vit", *command], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    result = json.loads(answer.stdout)
    return found | {"frames": int(np.sum(result["confusion_matrix"])), "accuracy": result["accuracy"]}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--bursts", type=int, default=4, help="bursts of each class")
    options.add_argument("--seconds", type=float, default=4.0, help="length of a burst in the video")
    options.add_argument("--keep", type=Path, help="a new folder that keeps the videos, the frames and the run")
    options.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found = measure(folder, chosen.bursts, chosen.seconds)
    if chosen.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        number = f"{value:.1%}" if "accuracy" in name else f"{value:,.1f}" if "seconds" in name else f"{value:,}"
        print(f"{name.replace('_', ' '):24}{number:>10}")


if __name__ == "__main__":
    main()
