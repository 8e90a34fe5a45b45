"""Measure times inside a headless Chromium: from a click or key to the frame that shows the result.

The stopwatch runs in the page and checks every frame, so the communication with the test program does not count.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from playwright.sync_api import Browser, Page

from pages.ui import page_set

WAIT = 300_000
"""Timeout in milliseconds."""
REST = 2.0
"""Seconds without a change after which a page counts as idle."""
VIEWPORT = {"width": 1400, "height": 1000}

PICTURES = "[...document.querySelectorAll('[data-testid=stMain] img')].map(one => one.currentSrc).join()"
HEADINGS = "[...document.querySelectorAll('[data-testid=stMain] h3')].map(one => one.textContent).join()"
MAPS = "stopwatch.find('.attention')[0].dataset.version"
SHOWN = "stopwatch.shown()"

# A watch is an expression that is null while the page is loading. Its time is that of the first frame in which it has
# the wanted value or, without a wanted value, another value than at the press. With a rest in milliseconds, it is that
# of the last change before the value stays the same for so long. A press is a key or the mouse button; of several
# presses the last one counts.
_SCRIPT = """window.stopwatch = {
  // Components draw into shadow trees, which queries of the page do not search.
  find(selector) {
    const main = document.querySelector("[data-testid=stMain]")
    const trees = [...main.querySelectorAll("[data-testid=stBidiComponentIsolated]")].map(one => one.shadowRoot)
    return [main, ...trees.filter(tree => tree)].flatMap(root => [...root.querySelectorAll(selector)])
  },
  idle: () => document.querySelector('[data-test-script-state="notRunning"]') !== null,
  // Headings, and the number of figures of each kind; null while a script runs or an image is loading.
  shown() {
    const { find, idle } = window.stopwatch
    if (!idle() || !document.querySelector("[data-testid=stMain] h1")) return null
    if (find("[data-testid=stProgress], [data-testid=stSpinner], [data-testid=stSkeleton]").length) return null
    if (find("img").some(one => !one.complete)) return null
    const kinds = ["img", "canvas", ".main-svg", "[role=graphics-document]", "[data-drawn]", "table", "input", "button"]
    return JSON.stringify([find("h1, h2, h3").map(one => one.textContent), kinds.map(kind => find(kind).length)])
  },
  arm(watches, begun) {
    window.times = {}
    window.stopwatch.press = start => {
      const press = (window.stopwatch.last = {})
      for (const [name, { value, wanted = null, rest = 0 }] of Object.entries(watches)) {
        const look = () => {
          try { return new Function("return " + value)() } catch { return null }
        }
        const before = start === 0 ? null : look()
        let last = null, changed = null
        const check = () => {
          if (window.stopwatch.last !== press) return
          const now = look(), frame = performance.now()
          if (now !== last) [last, changed] = [now, frame]
          const early = now === null || (wanted === null ? now === before : now !== wanted)
          if (early || (rest && frame - changed < rest)) return requestAnimationFrame(check)
          if (rest) window.times[name] ??= changed - start
          else setTimeout(() => (window.times[name] ??= performance.now() - start))
        }
        requestAnimationFrame(check)
      }
    }
    if (begun !== null) window.stopwatch.press(begun)
  },
}
for (const kind of ["pointerdown", "keydown"])
  document.addEventListener(kind, () => window.stopwatch.press?.(performance.now()), true)
// The time that the page works on a frame after the pointer has moved, from the frame's start until it is painted, and
// how long the frame came after the event. Asked for with `stopwatch.moves = []`.
document.addEventListener("pointermove", () => {
  if (!window.stopwatch.moves || window.stopwatch.moving) return
  const moved = window.stopwatch.moving = performance.now()
  requestAnimationFrame(() => {
    const begun = performance.now()
    const channel = new MessageChannel() // its message comes right after the frame
    channel.port1.onmessage = () => {
      const now = performance.now()
      window.stopwatch.moves.push([now - begun, now - moved])
      window.stopwatch.moving = null
    }
    channel.port2.postMessage(null)
  })
}, true)"""


@dataclass(frozen=True)
class Watch:
    """What ends a time.

    Attributes:
        value: an expression.
        wanted: its wanted value; None for any other value than at the press.
        rest: milliseconds for which the value must stay the same; the time is that of its last change before.
    """

    value: str
    wanted: str | None = None
    rest: float = 0


Watches = Mapping[str, str | Watch]
"""Watches by name; an expression is a watch without a wanted value."""

COMPLETE = Watch(SHOWN, rest=1000 * REST)
"""The page shows everything: it is idle, and does not change any more."""


def open_page(browser: Browser) -> Page:
    """Open an empty page of a new visitor whose sidebar lists all pages, with the stopwatch installed."""
    page = browser.new_page(viewport=VIEWPORT)
    page.set_default_timeout(WAIT)
    page.add_init_script(_SCRIPT)
    page.add_init_script(f"if (location.host) document.cookie = '{page_set.COOKIE}={page_set.ALL}; path=/'")
    return page


def timed(page: Page, act: Callable[[], None], watches: Watches) -> dict[str, float]:
    """Return the milliseconds from the press in ``act`` to each watch."""
    _arm(page, watches)
    act()
    return _times(page, watches)


def opened(page: Page, link: str, watches: Watches) -> dict[str, float]:
    """Return the milliseconds from the request for a link to each watch."""
    page.goto(link, wait_until="commit")
    _arm(page, watches, begun=0.0)  # a document's clock starts with its request
    return _times(page, watches)


def measure(page: Page, seen: str, act: Callable[[Page, int], None], times: int, pause: float = 0.7) -> np.ndarray:
    """Return the milliseconds from the press in ``act(page, index)`` to a new value of ``seen``, ``times`` times.

    Three additional changes come first and do not count. There is a pause of ``pause`` seconds between changes.
    """
    found = []
    for index in range(times + 3):
        found.append(timed(page, lambda index=index: act(page, index), {"seen": seen})["seen"])
        page.wait_for_timeout(1000 * pause)
    return np.array(found[3:])


def settle(page: Page) -> str:
    """Wait until the page is idle, and return its value of :data:`SHOWN`."""
    page.wait_for_selector("[data-testid=stMain] h1")
    end, since, before = time.monotonic() + WAIT / 1000, time.monotonic(), None
    while time.monotonic() < end:
        now = page.evaluate(f"() => {SHOWN}")
        if now is None or now != before:
            since, before = time.monotonic(), now
        elif time.monotonic() - since > REST:
            return now
        page.wait_for_timeout(100)
    raise SystemExit(f"{page.url} does not become idle.")


def _arm(page: Page, watches: Watches, begun: float | None = None) -> None:
    given = {name: asdict(Watch(watch) if isinstance(watch, str) else watch) for name, watch in watches.items()}
    page.evaluate("([watches, begun]) => stopwatch.arm(watches, begun)", [given, begun])


def _times(page: Page, watches: Watches) -> dict[str, float]:
    page.wait_for_function("count => Object.keys(window.times).length === count", arg=len(watches))
    return page.evaluate("() => window.times")
