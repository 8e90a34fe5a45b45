"""The pages that look into a model, in a browser: no errors, and clicks change the maps."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_main_job import pixels, settled

pytestmark = pytest.mark.browser

PAGES = {
    "attention": "Attention",
    "attention?show=Contribution": "Attention",
    "relevance": "Relevance",
    "tokens": "Tokens",
    "tokens?aspect=Logit lens": "Tokens",
    "heads": "Heads",
    "heads?view=Importance": "Heads",
    "heads?view=Similarity of layers": "Heads",
    "compare": "Side by side",
    "intervene": "Intervene",
    "timelapse": "Time-lapse",
    "faithfulness": "Faithfulness",
}


def open_view(page: Page, path: str) -> None:
    page.goto(f"/{path}{'&' if '?' in path else '?'}run=tiny&image=val-3")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    settled(page)


def click_patch(page: Page, grid: int, column: float, row: float) -> None:
    picker = page.locator(".attention").nth(grid).locator(".picker canvas")
    box = picker.bounding_box()
    picker.click(position={"x": box["width"] * column, "y": box["height"] * row})


def test_every_page_opens_without_an_error_in_python_or_the_browser(trained, page):
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    for path, title in PAGES.items():
        open_view(page, path)
        expect(page.get_by_role("heading", level=1, name=title, exact=True)).to_be_visible()
        expect(page.locator("[data-testid=stException], [data-testid=stAlertContentError]")).to_have_count(0)
        assert not problems, f"{path}: {problems}"


def test_contribution_maps_differ_from_attention_maps(trained, page):
    open_view(page, "attention")
    tiles = page.locator(".attention .tile canvas")
    expect(tiles).to_have_count(4)
    before = [pixels(tile) for tile in tiles.all()]
    page.get_by_role("radio", name="Contribution").or_(page.get_by_role("button", name="Contribution")).first.click()
    expect(page.locator(".attention h4", has_text="What every head copies")).to_be_visible()
    assert all(old != new for old, new in zip(before, (pixels(tile) for tile in tiles.all()), strict=True))


def test_a_click_on_either_side_moves_the_patch_of_both(trained, page):
    open_view(page, "compare")
    grids = page.locator(".attention")
    expect(grids).to_have_count(2)
    for grid, (column, row), token in ((0, (0.9, 0.1), "4"), (1, (0.1, 0.9), "13")):
        click_patch(page, grid, column, row)
        for side in range(2):
            expect(grids.nth(side)).to_have_attribute("data-token", token)
        page.wait_for_url(re.compile(rf"token={token}\b"))


def test_the_time_lapse_plays_and_writes_the_epoch_into_the_link(trained, page):
    open_view(page, "timelapse?epoch=0")
    grid = page.locator(".attention").first
    expect(grid.locator("output")).to_contain_text("Before training")
    before = pixels(grid.locator(".tile canvas").first)
    grid.get_by_role("button", name="Play").click()
    expect(grid.locator("output")).to_contain_text("After epoch 2")
    assert pixels(grid.locator(".tile canvas").first) != before
    page.wait_for_url(re.compile(r"epoch=2\b"))
    page.reload()
    expect(page.locator(".attention output").first).to_contain_text("After epoch 2")
