"""Check every page with axe-core: no serious finding in the light and dark theme, wide and narrow.

The same walk checks the browser's console and the hosts that pages ask; it takes too long to go twice.
"""

import shutil
from importlib.resources import files
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import list_all_pages, visit
from tests.browser.test_main_job import settled
from tests.helpers.console import Console
from tests.helpers.serving import ROOT, waiting_run
from tests.pages.opening import router_pages
from vit import runs

pytestmark = pytest.mark.browser

EVERY = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
CHANGES = ("color-contrast", "scrollable-region-focusable", "target-size")
VIEWS = (("light", 1400, EVERY), ("dark", 800, CHANGES))
"""Theme, width, and rules. The second view checks only the rules whose result may differ from the first view."""

FURTHER = (
    "attention?show=Contribution",
    "tokens?aspect=Logit lens",
    "heads?view=Importance",
    "heads?view=Similarity of layers",
)
"""Views of pages that only have to open without a finding on the console."""

ALLOWED = {
    "list": {"[data-testid=stSidebarNavItems]": "Streamlit sets each section of the navigation in a div of its list"},
    "listitem": {"[data-testid=stSidebarNavItems] li": "the same finding, reported for the items"},
}
"""Findings in Streamlit's own markup, which we cannot change: rule, selector, reason."""

JUDGE = """async ([runOnly, allowed, exclude]) => {
  const found = await axe.run({exclude}, {runOnly, resultTypes: ["violations"], elementRef: true, preload: false})
  const lines = []
  for (const {id, impact, help, nodes} of found.violations) {
    if (impact !== "serious" && impact !== "critical") continue
    const selectors = Object.keys(allowed[id] ?? {})
    for (const {element, html, any} of nodes) {
      const used = selectors.find(selector => element.matches(selector))
      if (used) { lines.push({allowed: used}); continue }
      lines.push({says: `${id} (${impact}): ${help}: ${html.slice(0, 160)} ${any.map(one => one.message).join(" ")}`})
    }
  }
  return lines
}"""


SIDEBAR = [["[data-testid=stSidebar]"]]
"""Checked on the first page only: it is the same on every page, and its colours take as long as those of a page."""


def test_no_page_has_a_serious_finding_or_a_message_on_the_console(trained, page: Page):
    with waiting_run("live") as run:
        runs.update_status(run.path, state="running", steps_total=20)
        walk(trained, page)


def walk(trained: Path, page: Page) -> None:
    console = Console(page)
    shutil.copytree(ROOT / "checkpoints" / runs.SHIPPED_RUN, trained / "checkpoints" / runs.SHIPPED_RUN)
    page.emulate_media(color_scheme="light")
    page.goto("/glossary")
    settled(page)
    # The colours are measured right after the theme has changed, so they must not change gradually.
    page.add_style_tag(content="*, *::before, *::after { transition: none !important }")
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text())
    problems, used, titles = [], set(), {}
    list_all_pages(page)
    for one in router_pages():
        console.at = f"/{one.url_path}"
        visit(page, f"/{one.url_path}?run=tiny&image=val-3")
        expect(page).to_have_title(f"{one.title} · Attention explorer")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        settled(page)
        expect(page.locator("button.summary:empty")).to_have_count(0)  # of a widget whose data has not come yet
        exclude = SIDEBAR if titles else []
        titles[one.url_path] = page.title()
        # Lessons differ only in their texts and figures, for which one view is enough.
        for view in VIEWS if one.visibility == "visible" else VIEWS[:1]:
            show(page, view)
            theme, width, rules = view
            for finding in page.evaluate(JUDGE, [rules, ALLOWED, exclude]):
                if "allowed" in finding:
                    used.add(finding["allowed"])
                else:
                    problems.append(f"/{one.url_path}, {theme}, {width} px: {finding['says']}")
        show(page, VIEWS[0])
    for view in FURTHER:
        console.at = f"/{view}"
        visit(page, f"/{view}&run=tiny&image=val-3")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        settled(page)
        expect(page.locator("[data-testid=stException], [data-testid=stAlertContentError]")).to_have_count(0)
    assert not problems, "\n".join(problems)
    assert not console.findings, "\n".join(console.findings)
    assert used == {selector for selectors in ALLOWED.values() for selector in selectors}
    assert len(set(titles.values())) == len(titles), titles


def show(page: Page, view: tuple[str, int, tuple[str, ...]]) -> None:
    """Change to the theme and the width of a view, and wait until the page has them."""
    theme, width, _ = view
    if page.viewport_size["width"] == width:
        return
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": width, "height": 1000})
    page.wait_for_timeout(250)
