"""The boards of the Intervene page: clicking, dragging and keyboard navigation."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


@pytest.fixture
def address(shared_address) -> str:
    return shared_address


def test_mouse_and_keyboard_change_heads_and_patches_and_the_link_stores_them(page):
    page.goto("/intervene?run=tiny&image=val-1")
    heads, changes, covered = (
        page.locator(".board button.head"),
        page.locator(".st-key-changes input"),
        page.locator(".st-key-covered input"),
    )
    heads.nth(1).click()
    expect(heads.nth(1)).to_have_text("off")
    expect(changes).to_have_value("1.2z")
    page.get_by_role("button", name="All heads of layer 2").click()
    expect(changes).to_have_value("1.2z-2.1z-2.2z")
    expect(heads.nth(3)).to_have_text("off")  # drawn anew, so that nothing takes the focus away any more
    heads.nth(1).focus()
    page.keyboard.press("ArrowDown")
    expect(heads.nth(3)).to_be_focused()
    page.keyboard.press("Enter")
    expect(changes).to_have_value("1.2z-2.1z")

    picture = page.locator(".patches canvas")
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    middles = [(box["x"] + (column + 0.5) * box["width"] / 4, box["y"] + 5) for column in range(3)]
    page.mouse.move(*middles[0])
    page.mouse.down()
    page.mouse.move(*middles[2], steps=8)
    page.mouse.up()
    expect(covered).to_have_value("1-3")
    page.mouse.click(*middles[1])
    expect(covered).to_have_value("1.3")
    page.keyboard.press("ArrowDown")  # from the patch that was clicked last
    page.keyboard.press("Space")
    expect(covered).to_have_value("1.3.6")

    expect(page).to_have_url(re.compile(r"changes=1\.2z-2\.1z"))
    expect(page).to_have_url(re.compile(r"covered=1\.3\.6"))
    page.reload()
    expect(heads.nth(2)).to_have_text("off")
    expect(page.get_by_text("3 of 16 patches covered")).to_be_visible()
