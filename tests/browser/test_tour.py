"""The guided tour in a browser: a click on a picture chooses the patch, for this step and the next."""

import re
import shutil

import pytest
from playwright.sync_api import Page, expect

from vit import runs

pytestmark = pytest.mark.browser


def test_the_clicked_patch_stays_chosen_in_the_next_steps(trained, page: Page):
    shutil.move(trained / "checkpoints" / "tiny", trained / "checkpoints" / runs.SHIPPED_RUN)
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto("/?tour=1")
    cutter = page.locator(".cutter")
    board = cutter.locator(".board")
    box = board.bounding_box()
    board.click(position={"x": 0.9 * box["width"], "y": 0.1 * box["height"]})
    page.wait_for_url(re.compile(r"patch=4\b"))
    board.press("ArrowDown")
    page.wait_for_url(re.compile(r"patch=8\b"))
    expect(cutter.locator(".words")).to_contain_text("8 × 8 pixels × 3 colours = 192 numbers")
    page.get_by_role("radio", name="3", exact=True).click()
    expect(page.get_by_role("heading", name="3. One attention head")).to_be_visible()
    grid = page.locator(".attention")
    expect(grid).to_have_attribute("data-token", "8")
    tile = grid.locator(".tile")
    box = tile.bounding_box()
    tile.click(position={"x": 0.1 * box["width"], "y": 0.1 * box["height"]})
    expect(grid).to_have_attribute("data-token", "1")
    page.wait_for_url(re.compile(r"patch=1\b"))
    page.get_by_role("button", name="Leave the tour").click()
    page.wait_for_url(re.compile(r"/$"))
    assert not problems
