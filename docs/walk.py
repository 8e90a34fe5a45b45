"""Walk along a path through the app in a browser, and examine every step: what a person would see and wait for."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Request, Response, ViewportSize

from docs.pictures import FAILED
from tests.helpers.console import Console, of_a_page_that_was_left

HEIGHTS = {1400: 900, 800: 1000, 390: 844}
"""Height of the window by its width: a laptop, a tablet and a phone."""
SHIFT_GOAL = 0.1
"""Layout shift of a step, as the Core Web Vitals count it; at most this much is good there."""
BUSY = "[data-testid=stStatusWidget], [data-testid=stSkeleton], [data-testid=stSpinner]"
CALM = 0.8
"""Seconds without activity after which a page counts as drawn."""

SCRIPT = Path(__file__).with_name("walk.js")


class Visit:
    """One visitor in a browser window.

    Attributes:
        page: the tab.
        folder: an empty folder for files that are made or downloaded on the way.
        brief: whether to leave out what takes long, such as a training.
    """

    def __init__(self, page: Page, folder: Path, *, brief: bool = False) -> None:
        self.page, self.folder, self.brief = page, folder, brief


Steps = Iterator[str]
"""What the visitor did, step by step; a step ends when its result is on screen."""


@dataclass(frozen=True)
class Seen:
    """One step of a path.

    Attributes:
        path: the name of the path.
        number: the step, from 1.
        says: what the visitor did.
        seconds: time until the result was on screen.
        shift: the layout shift without what follows an input within half a second.
        moved: what has moved most.
        findings: messages on the console, failed requests, errors on the page, and what is cut.
    """

    path: str
    number: int
    says: str
    seconds: float
    shift: float
    moved: str
    findings: list[str] = field(default_factory=list)

    @property
    def line(self) -> str:
        """The step as a line of a Markdown table."""
        shift = f"{self.shift:.3f}" + (f" ({self.moved})" if self.shift > SHIFT_GOAL else "")
        return (
            f"| {self.path} {self.number} | {self.says} | {self.seconds:.1f} | {shift} | {'; '.join(self.findings)} |"
        )


class Watcher:
    """Collects what a page must not do: messages on the console, failed requests, layout shifts, cut content."""

    def __init__(self, page: Page) -> None:
        self.page, self.console = page, Console(page)
        self.failed: list[str] = []
        page.add_init_script(path=SCRIPT)
        page.on("requestfailed", self._request_failed)
        page.on("response", self._answered)

    def _request_failed(self, request: Request) -> None:
        if "ERR_ABORTED" not in (request.failure or ""):  # the page was left meanwhile
            self.failed.append(f"{request.failure}: {request.url}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and not of_a_page_that_was_left(response.url):
            self.failed.append(f"{response.status}: {urlsplit(response.url).path}")

    def findings(self) -> list[str]:
        """Return what has happened since the last call, and the errors that the page shows."""
        found = [*self.console.findings, *self.failed, *self.page.locator(FAILED).all_inner_texts()]
        self.console.findings.clear()
        self.failed.clear()
        return found

    def cut(self) -> list[str]:
        """Return what is cut at the current width."""
        width = (self.page.viewport_size or {})["width"]
        return [f"at {width} px: {one}" for one in self.page.evaluate("() => walk.cut()")]

    def shifts(self) -> tuple[float, str]:
        """Return the layout shift since the last call, and what moved in the largest one."""
        found = self.page.evaluate("() => walk.shifts.splice(0)")
        return sum(one[0] for one in found), max(found, default=[0, ""])[1]


def rest(page: Page, calm: float) -> None:
    """Wait until a page shows no sign of activity for some seconds, but at most ten."""
    end, since = time.perf_counter() + 10, time.perf_counter()
    while time.perf_counter() < min(end, since + calm):
        page.wait_for_timeout(100)
        if page.locator(BUSY).count():
            since = time.perf_counter()


def look_around(watcher: Watcher, widths: Sequence[int], dark: bool, save: Callable[[str], Path | None]) -> list[str]:
    """Look at the page at other widths and in the dark theme, and return what is cut.

    Args:
        watcher: the watcher of the page.
        widths: widths of the window.
        dark: whether to take pictures in the dark theme, too.
        save: returns the file for a picture of this kind, such as "390-dark"; None for no picture.
    """
    page, found = watcher.page, list[str]()
    own = page.viewport_size
    assert own is not None
    for width in sorted(widths, key=lambda width: width == own["width"]):  # the original width last
        page.set_viewport_size({"width": width, "height": HEIGHTS.get(width, 900)})
        page.wait_for_timeout(400)  # canvases are redrawn
        found += watcher.cut()
        if (file := save(str(width))) is not None:
            page.screenshot(path=file)
        if dark and (file := save(f"{width}-dark")) is not None:
            page.emulate_media(color_scheme="dark")
            page.wait_for_timeout(300)
            page.screenshot(path=file)
            page.emulate_media(color_scheme="light")
    page.set_viewport_size(own)
    page.wait_for_timeout(300 if widths == [own["width"]] else 1000)  # the sidebar unfolds slowly
    watcher.shifts()  # discard those that resizing has caused
    return found


def walk(
    browser: Browser,
    address: str,
    name: str,
    path: Callable[[Visit], Steps],
    *,
    width: int,
    touch: bool,
    folder: Path,
    out: Path | None = None,
    widths: Sequence[int] = (),
    dark: bool = False,
    brief: bool = False,
    calm: float = CALM,
    patience: float = 120_000,
) -> Iterator[tuple[Seen, Page]]:
    """Go along a path, and yield each step with the page as it is then.

    Args:
        browser: the browser; the visitor is new in it.
        address: of the server.
        name: the name of the path.
        path: the steps.
        width: width of the visitor's window.
        touch: whether it has a touch screen.
        folder: an empty folder for the visitor's files.
        out: the folder for pictures; None for none.
        widths: widths at which each step is looked at.
        dark: whether to take pictures in the dark theme, too.
        brief: whether to leave out what takes long.
        calm: seconds without activity after which a step is looked at.
        patience: milliseconds that an action may take.
    """
    size: ViewportSize = {"width": width, "height": HEIGHTS[width]}
    context = browser.new_context(viewport=size, base_url=address, has_touch=touch, color_scheme="light")
    context.set_default_timeout(patience)
    try:
        page = context.new_page()
        watcher = Watcher(page)
        start = time.perf_counter()
        for number, says in enumerate(path(Visit(page, folder, brief=brief)), 1):
            seconds = time.perf_counter() - start
            rest(page, calm)
            shift, moved = watcher.shifts()

            def save(kind: str, number: int = number) -> Path | None:
                return None if out is None else out / f"{name}-{number:02}-{kind}.png"

            found = look_around(watcher, widths, dark, save) if widths else watcher.cut()
            yield Seen(name, number, says, seconds, shift, moved, [*watcher.findings(), *found]), page
            start = time.perf_counter()
    finally:
        context.close()
