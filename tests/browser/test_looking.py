"""The pages that look into a model, in a browser: no errors, and clicks change the maps."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import list_all_pages
from tests.browser.test_main_job import pixels, settled
from vit import runs
from vit.runs.notes import make_notes, read_notes

pytestmark = pytest.mark.browser


@pytest.fixture
def address(shared_address) -> str:
    return shared_address


def open_view(page: Page, path: str) -> None:
    page.goto(f"/{path}{'&' if '?' in path else '?'}run=tiny&image=val-3")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    settled(page)


def place(page: Page, grid: int, column: float, row: float) -> dict:
    picker = page.locator(".attention").nth(grid).locator(".picker canvas")
    box = picker.bounding_box()
    return {"position": {"x": box["width"] * column, "y": box["height"] * row}}


def click_patch(page: Page, grid: int, column: float, row: float) -> None:
    page.locator(".attention").nth(grid).locator(".picker canvas").click(**place(page, grid, column, row))


def test_contribution_and_smooth_maps_differ_and_maps_stay_smooth_on_another_page(page):
    open_view(page, "attention")
    tiles = page.locator(".attention .tile canvas")
    expect(tiles).to_have_count(4)
    before = [pixels(tile) for tile in tiles.all()]
    page.get_by_role("radio", name="Contribution").or_(page.get_by_role("button", name="Contribution")).first.click()
    expect(page.locator(".attention h4", has_text="What every head copies")).to_be_visible()
    blocky = [pixels(tile) for tile in tiles.all()]
    assert all(old != new for old, new in zip(before, blocky, strict=True))
    drawn = page.locator(".attention").get_attribute("data-drawn")
    page.locator(".st-key-smooth label").click()
    page.wait_for_url(re.compile("smooth=true"))
    expect(page.locator(".attention")).not_to_have_attribute("data-drawn", drawn)
    assert all(old != new for old, new in zip(blocky, (pixels(tile) for tile in tiles.all()), strict=True))
    list_all_pages(page)
    page.get_by_test_id("stSidebarNav").get_by_role("link", name="Time-lapse").click()
    page.wait_for_url(re.compile("timelapse.*smooth=true"))


def test_the_maps_follow_the_pointer_without_the_server_and_a_click_pins_them_with_one_message(page):
    sent = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda _: sent.append(1)))
    open_view(page, "attention")
    grid, picker = page.locator(".attention"), page.locator(".attention .picker canvas")
    tiles = grid.locator(".tile canvas")

    def looks() -> list[str]:
        return [pixels(tile) for tile in tiles.all()]

    def moved_to(token: int) -> list[str]:
        picker.hover(**place(page, 0, (token - 1) % 4 / 4 + 0.1, (token - 1) // 4 / 4 + 0.1))
        expect(grid).to_have_attribute("data-token", str(token))
        return looks()

    expect(tiles).to_have_count(4)
    before, messages = looks(), len(sent)
    first, second = moved_to(4), moved_to(13)
    assert all(len({*three}) == 3 for three in zip(before, first, second, strict=True))
    page.mouse.move(0, 0)
    expect(grid).to_have_attribute("data-token", "0")
    assert looks() == before
    page.wait_for_timeout(300)
    assert len(sent) == messages  # the browser does not send where the pointer is

    click_patch(page, 0, 0.9, 0.1)
    expect(grid).to_have_attribute("data-pinned", "4")
    page.wait_for_url(re.compile(r"token=4\b"))
    settled(page)
    assert len(sent) == messages + 1
    picker.hover(**place(page, 0, 0.1, 0.9))
    expect(grid.locator(".tip")).to_contain_text("patch r1 c4 → patch r4 c1")  # the pointer reads the pinned map
    expect(grid).to_have_attribute("data-token", "4")
    click_patch(page, 0, 0.9, 0.1)
    expect(grid).to_have_attribute("data-pinned", "")
    page.wait_for_url(re.compile(r"^(?!.*token=)"))


def test_a_click_on_either_side_moves_the_patch_of_both(page):
    open_view(page, "compare")
    grids = page.locator(".attention")
    expect(grids).to_have_count(2)
    for grid, (column, row), token in ((0, (0.9, 0.1), "4"), (1, (0.1, 0.9), "13")):
        click_patch(page, grid, column, row)
        for side in range(2):
            expect(grids.nth(side)).to_have_attribute("data-token", token)
        page.wait_for_url(re.compile(rf"token={token}\b"))


def test_the_time_lapse_plays_and_writes_the_epoch_into_the_link(page):
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


def test_a_run_is_marked_and_described_in_the_table_with_the_keyboard(page):
    open_view(page, "runs?runs=tiny&")
    expect(page.locator(".records img")).to_have_count(3)  # when the pictures are drawn, the page starts over
    settled(page)
    mark = page.get_by_label("Compare tiny-mean", exact=True)
    mark.focus()
    page.keyboard.press("Space")
    page.wait_for_url(re.compile(r"runs=tiny&runs=tiny-mean"))
    expect(mark).to_be_checked()
    expect(mark).to_be_focused()  # although the table was drawn again
    page.get_by_label("Tags and note of tiny-mean").press("Enter")
    page.get_by_label("Tags, with commas").fill("paper, " + "x" * 30)
    page.get_by_label("Note", exact=True).fill("<b>bold</b>")
    page.get_by_label("Note", exact=True).press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("write 1 to 24 characters")
    expect(page.get_by_label("Note", exact=True)).to_have_value("<b>bold</b>")  # an invalid tag does not lose the note
    page.get_by_label("Tags, with commas").fill("paper, again")
    page.keyboard.press("Enter")
    row = page.get_by_role("row", name="tiny-mean")
    expect(row.locator(".tag")).to_have_text(["paper", "again"])
    expect(row.locator(".note")).to_have_text("<b>bold</b>")
    assert read_notes(runs.get_run("tiny-mean")) == make_notes(["paper", "again"], "<b>bold</b>")
    lines = page.get_by_role("application", name="Settings and accuracy of 3 runs")
    lines.press("ArrowDown")
    best = max(runs.list_runs(), key=lambda run: run.best["val_accuracy"])
    expect(page.locator(".readout")).to_contain_text(f"{best.name}: {best.best['val_accuracy']:.1%}")
