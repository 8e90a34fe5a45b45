"""The picture at the top of Overview: its lines are the attention of the network, and pointer and keys change them."""

import shutil

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_keyboard import has_visible_focus
from tests.browser.test_main_job import pixels
from tests.helpers.serving import ROOT, serving
from vit import runs
from vit.runs.example import read_example

pytestmark = pytest.mark.browser

GRID, BAND = 16, 44  # of the included run; pixels above the image for the class token


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """Serve a copy of the included run; the address."""
    home = tmp_path_factory.mktemp("hero")
    shutil.copytree(ROOT / "checkpoints" / runs.SHIPPED_RUN, home / "checkpoints" / runs.SHIPPED_RUN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIT_CHECKPOINTS", str(home / "checkpoints"))
        patch.setenv("VIT_DATA", str(home / "data"))
        with serving() as address:
            yield address


@pytest.fixture
def address(house) -> str:
    return house


def wanted(weights: np.ndarray, query: int) -> list[tuple[int, int]]:
    """The head and key of each line for ``weights (h m)``: what holds 60% of a head's attention, 24 keys at most."""
    lines = []
    for head, row in enumerate(weights.astype(np.float64)):
        order = np.argsort(-row, kind="stable")
        before = np.cumsum(row[order]) - row[order]
        count = min(24, int((before < 0.6 * row.sum()).sum()))
        lines += [(head, int(key)) for key in order[:count] if key != query]
    return lines


def check_lines(
    page: Page, attention: np.ndarray, layer: int, query: int, heads: tuple[int, ...] = (0, 1, 2, 3)
) -> None:
    hero = page.locator(".hero")
    expect(hero).to_have_attribute("data-query", str(query))
    expect(hero).to_have_attribute("data-layer", str(layer))
    drawn = hero.evaluate("hero => hero.lines.map(({head, key, weight}) => [head, key, weight])")
    weights = attention[layer, :, query]
    assert [(head, key) for head, key, _ in drawn] == [line for line in wanted(weights, query) if line[0] in heads]
    for head, key, weight in drawn:
        assert weight == pytest.approx(weights[head, key], rel=1e-5)


def check_chips(page: Page, attention: np.ndarray, layer: int, query: int) -> None:
    """Check the figures of each head: the share on the object, and the patch that gets most attention."""
    hero = page.locator(".hero")
    cover = np.array(hero.evaluate("hero => hero.cover"))
    for head in range(4):
        row = attention[layer, head, query]
        chip = hero.locator(".head").nth(head)
        inside, best = (row[1:] @ cover) / row[1:].sum(), int(row.argmax()) - 1
        shown = float(chip.locator(".inside").inner_text().split("%")[0]) / 100
        assert shown == pytest.approx(inside, abs=0.006)
        if best >= 0 and best + 1 != query:
            assert f"row {best // GRID + 1}, column {best % GRID + 1}" in chip.inner_text().replace("\xa0", " ")


def go_to(page: Page, row: int, column: int) -> None:
    box = page.locator(".hero canvas").bounding_box()
    side = box["width"] / GRID
    page.mouse.move(box["x"] + (column + 0.5) * side, box["y"] + BAND + (row + 0.5) * side)


def test_lines_are_the_attention_of_the_network_for_the_patch_layer_and_heads_that_are_chosen(page):
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    attention = read_example(runs.get_run(runs.SHIPPED_RUN)).attention
    page.goto("/")
    hero, canvas = page.locator(".hero"), page.locator(".hero canvas")
    expect(hero).to_have_attribute("data-playing", "true")
    expect(hero.locator("h2")).to_have_text("What the class token attends to")
    layer = int(hero.get_attribute("data-layer"))
    check_lines(page, attention, layer, 0)
    page.wait_for_function("hero => hero.dataset.query !== '0'", arg=hero.element_handle())  # it plays without a click
    expect(hero.locator(".spoken")).to_have_text("")

    go_to(page, 8, 9)
    query = 1 + 8 * GRID + 9
    check_lines(page, attention, layer, query)
    expect(hero).to_have_attribute("data-playing", "false")
    expect(hero.locator("h2")).to_have_text("What the patch in row 9, column 10 attends to")
    check_chips(page, attention, layer, query)
    expect(hero.locator(".spoken")).to_contain_text("row 9, column 10")

    canvas.click(position={"x": 100, "y": 200})  # pinned
    pinned = hero.get_attribute("data-query")
    expect(hero).to_have_attribute("data-pinned", "true")
    go_to(page, 0, 0)
    check_lines(page, attention, layer, int(pinned))

    canvas.focus()
    before = pixels(canvas)
    page.keyboard.press("Escape")
    expect(hero).to_have_attribute("data-pinned", "false")
    page.keyboard.press("Home")
    check_lines(page, attention, layer, 0)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    check_lines(page, attention, layer, 1 + 8 * GRID + 9)
    assert has_visible_focus(canvas)
    assert pixels(canvas) != before

    hero.locator(".head").nth(1).click()
    expect(hero.locator(".head").nth(1)).to_have_attribute("aria-pressed", "false")
    check_lines(page, attention, layer, 1 + 8 * GRID + 9, (0, 2, 3))
    slider = hero.get_by_role("slider", name="Layer")
    slider.focus()
    page.keyboard.press("End")
    expect(hero.locator("output")).to_have_text("Layer 4 of 4")
    check_lines(page, attention, 3, 1 + 8 * GRID + 9, (0, 2, 3))
    hero.get_by_role("button", name="Play").click()
    expect(hero).to_have_attribute("data-playing", "true")
    assert not problems


def test_with_reduced_motion_it_stands_still_and_a_tap_pins_a_patch(chromium, address):
    context = chromium.new_context(
        viewport={"width": 390, "height": 844}, base_url=address, reduced_motion="reduce", has_touch=True
    )
    try:
        page = context.new_page()
        page.goto("/")
        hero = page.locator(".hero")
        expect(hero).to_have_attribute("data-playing", "false")
        expect(hero).to_have_attribute("data-query", "0")
        assert hero.evaluate("hero => hero.scrollWidth <= hero.clientWidth")
        page.wait_for_timeout(3000)  # longer than a step while it plays
        expect(hero).to_have_attribute("data-query", "0")
        canvas = page.locator(".hero canvas")
        side = canvas.bounding_box()["width"] / GRID
        canvas.tap(position={"x": 4.5 * side, "y": BAND + 6.5 * side})
        expect(hero).to_have_attribute("data-query", str(1 + 6 * GRID + 4))
        expect(hero).to_have_attribute("data-pinned", "true")
    finally:
        context.close()
