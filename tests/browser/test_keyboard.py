"""Our own components can be reached and used with the keyboard alone."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.test_main_job import settled

pytestmark = pytest.mark.browser


@pytest.fixture
def address(shared_address) -> str:
    return shared_address


def has_visible_focus(element: Locator) -> bool:
    style, width = element.evaluate("one => [getComputedStyle(one).outlineStyle, getComputedStyle(one).outlineWidth]")
    return style != "none" and float(width.removesuffix("px")) >= 2


def test_the_head_grid_and_the_confusion_matrix_work_with_the_keyboard(page: Page):
    page.goto("/attention?run=tiny&image=val-3")
    grid, picker = page.locator(".attention"), page.locator(".attention .picker canvas")
    expect(grid).to_have_attribute("data-token", "0")
    settled(page)
    page.locator(".attention .tile").first.focus()
    page.keyboard.press("Shift+Tab")  # the summary token
    page.keyboard.press("Shift+Tab")
    expect(picker).to_be_focused()
    for key, token in (("ArrowRight", "1"), ("ArrowRight", "2"), ("ArrowDown", "6")):
        page.keyboard.press(key)
        expect(grid).to_have_attribute("data-token", token)
    assert has_visible_focus(picker)
    expect(picker).to_have_attribute("aria-label", re.compile("Chosen: patch r2 c2"))
    expect(page.locator(".attention [aria-live]")).to_have_text("From patch r2 c2.")
    expect(grid).to_have_attribute("data-pinned", "")
    page.keyboard.press("Enter")
    expect(grid).to_have_attribute("data-pinned", "6")
    page.wait_for_url(re.compile(r"token=6\b"))
    page.keyboard.press("ArrowRight")
    expect(grid).to_have_attribute("data-token", "7")

    tiles = page.locator(".attention .tile")
    expect(page.locator(".attention .tile[tabindex='0']")).to_have_count(1)  # four heads, one tab stop
    page.keyboard.press("Tab")
    expect(grid).to_have_attribute("data-token", "6")  # the pinned patch, now that no key moves over the image
    page.keyboard.press("Tab")
    expect(tiles.nth(0)).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(tiles.nth(3)).to_be_focused()
    assert has_visible_focus(tiles.nth(3))
    page.keyboard.press("Enter")
    expect(grid).to_have_attribute("data-layer", "2")
    expect(tiles.nth(3)).to_have_attribute("aria-pressed", "true")
    page.wait_for_url(re.compile(r"layer=2\b.*head=2\b|head=2\b.*layer=2\b"))
    picker.focus()
    page.keyboard.press("Escape")
    expect(grid).to_have_attribute("data-token", "0")

    page.goto("/evaluate?run=tiny")
    cell = page.locator(".matrix td[tabindex='0']")
    expect(cell).to_have_count(1)
    cell.focus()
    row, column = int(cell.get_attribute("data-row")), int(cell.get_attribute("data-column"))
    page.keyboard.press("ArrowUp" if row else "ArrowDown")
    page.keyboard.press("Enter")
    wanted = f".matrix td.chosen[data-row='{row - 1 if row else 1}'][data-column='{column}']"
    expect(page.locator(wanted)).to_have_attribute("aria-label", re.compile(r"true \w+, predicted \w+: \d+ of \d+"))
    page.wait_for_url(re.compile(r"true="))
