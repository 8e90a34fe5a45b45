"""A stopwatch inside a headless Chromium: from a press to the frame in which the page shows what was asked for.

It runs in the page itself, looks at every frame, and knows nothing of the time that a test's own messages take.
"""

import time
from collections.abc import Callable, Mapping

import numpy as np
from playwright.sync_api import Browser, Page

WAIT = 120_000
"""Milliseconds until something that does not come is given up."""
REST = 2.0
"""Seconds for which nothing has changed on a page that has come to rest."""
VIEWPORT = {"width": 1400, "height": 1000}

PICTURES = "[...document.querySelectorAll('[data-testid=stMain] img')].map(one => one.currentSrc).join()"
HEADINGS = "[...document.querySelectorAll('[data-testid=stMain] h3')].map(one => one.textContent).join()"
MAPS = "stopwatch.find('.attention')[0].dataset.version"
SHOWN = "stopwatch.shown()"

# A watch is an expression, which is null while the page is on its way. Its time is that of the first frame in which
# its value is the wanted one, or, where none is named, another than at the press. A press is a key or the mouse button;
# of several the last one counts.
_SCRIPT = """window.stopwatch = {
  // What a component draws stands in a shadow tree, which the page's own queries do not enter.
  find(selector) {
    const main = document.querySelector("[data-testid=stMain]")
    const trees = [...main.querySelectorAll("[data-testid=stBidiComponentIsolated]")].map(one => one.shadowRoot)
    return [main, ...trees.filter(tree => tree)].flatMap(root => [...root.querySelectorAll(selector)])
  },
  idle: () => document.querySelector('[data-test-script-state="notRunning"]') !== null,
  // Headings, and how many figures of each kind are drawn; null while a script runs or an image is on its way.
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
      for (const [name, [value, wanted]] of Object.entries(watches)) {
        const look = () => {
          try { return new Function("return " + value)() } catch { return null }
        }
        const before = start === 0 ? null : look()
        const check = () => {
          if (window.stopwatch.last !== press) return
          const now = look()
          if (now === null || (wanted === null ? now === before : now !== wanted)) return requestAnimationFrame(check)
          setTimeout(() => (window.times[name] ??= performance.now() - start))
        }
        requestAnimationFrame(check)
      }
    }
    if (begun !== null) window.stopwatch.press(begun)
  },
}
for (const kind of ["pointerdown", "keydown"])
  document.addEventListener(kind, () => window.stopwatch.press?.(performance.now()), true)"""

Watches = Mapping[str, str | tuple[str, str]]
"""By name: an expression, or an expression and the value that is wanted of it."""


def open_page(browser: Browser) -> Page:
    """An empty page of a new visitor, with the stopwatch in all that it opens."""
    page = browser.new_page(viewport=VIEWPORT)
    page.set_default_timeout(WAIT)
    page.add_init_script(_SCRIPT)
    return page


def timed(page: Page, act: Callable[[], None], watches: Watches) -> dict[str, float]:
    """Milliseconds from the press in ``act`` to each of the watches."""
    _arm(page, watches)
    act()
    return _times(page, watches)


def opened(page: Page, link: str, watches: Watches) -> dict[str, float]:
    """Milliseconds from the request for a link to each of the watches."""
    page.goto(link, wait_until="commit")
    _arm(page, watches, begun=0.0)  # a document's clock begins with the request for it
    return _times(page, watches)


def measure(page: Page, seen: str, act: Callable[[Page, int], None], times: int, pause: float = 0.7) -> np.ndarray:
    """Milliseconds from the press in ``act(page, index)`` until ``seen`` has another value, of so many changes.

    Three more come first, which do not count; a person looks for ``pause`` seconds before the next one.
    """
    found = []
    for index in range(times + 3):
        found.append(timed(page, lambda index=index: act(page, index), {"seen": seen})["seen"])
        page.wait_for_timeout(1000 * pause)
    return np.array(found[3:])


def settle(page: Page) -> str:
    """Wait until the page has come to rest; what it shows then, a value of :data:`SHOWN`."""
    page.wait_for_selector("[data-testid=stMain] h1")
    end, since, before = time.monotonic() + WAIT / 1000, time.monotonic(), None
    while time.monotonic() < end:
        now = page.evaluate(f"() => {SHOWN}")
        if now is None or now != before:
            since, before = time.monotonic(), now
        elif time.monotonic() - since > REST:
            return now
        page.wait_for_timeout(100)
    raise SystemExit(f"{page.url} does not come to rest.")


def _arm(page: Page, watches: Watches, begun: float | None = None) -> None:
    pairs = {name: [watch, None] if isinstance(watch, str) else list(watch) for name, watch in watches.items()}
    page.evaluate("([watches, begun]) => stopwatch.arm(watches, begun)", [pairs, begun])


def _times(page: Page, watches: Watches) -> dict[str, float]:
    page.wait_for_function("count => Object.keys(window.times).length === count", arg=len(watches))
    return page.evaluate("() => window.times")
