"""The guided tour in a browser: a click on a picture chooses the patch; the animation computes what was recorded."""

import re
import shutil

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from pages.overview.tour import choice
from vit import runs
from vit.evaluation import model_input
from vit.explain import capture
from vit.runs.weights import load_checkpoint

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
    animation = page.locator(".qkv")
    check_the_numbers(animation)
    go_through_the_steps(animation)
    page.emulate_media(reduced_motion="reduce")
    page.reload()
    expect(animation).to_have_attribute("data-step", animation.get_attribute("data-last") or "")
    expect(animation).to_have_attribute("data-playing", "false")
    page.get_by_role("button", name="Leave the tour").click()
    page.wait_for_url(re.compile(r"/$"))
    assert not problems


def check_the_numbers(animation: Locator) -> None:
    """The browser's numbers for the first patch are those that the model recorded."""
    expect(animation).to_have_attribute("data-token", "1")
    run = runs.get_run(runs.SHIPPED_RUN)
    model, info = load_checkpoint(run.path)
    found = re.search(r"Layer (\d+), head (\d+)", animation.locator(".title").inner_text())
    layer, head = (int(one) - 1 for one in found.groups())
    size = info.config.data.image_size
    image = choice.draw(choice.choose(run, "Dog"), size, info.config.data.seed, model.config.grid).picked.image
    recorded = capture(model, model_input(info, image)).layers[layer]
    numbers = animation.evaluate("root => root.numbers")
    assert np.abs(np.array(numbers["weights"]) - recorded.attention[0, head, 1].numpy()).max() < 1e-5
    assert np.abs(np.array(numbers["output"]) - recorded.heads[0, head, 1].numpy()).max() < 1e-4
    scores = recorded.k[0, head] @ recorded.q[0, head, 1] / recorded.q.shape[-1] ** 0.5
    assert np.abs(np.array(numbers["scores"]) - scores.numpy()).max() < 1e-4
    assert sorted(key for row in numbers["rows"] for key in row) == list(range(len(scores)))


def go_through_the_steps(animation: Locator) -> None:
    """Stepping shows one number after the other, and the keyboard reads what each means."""
    steps = animation.get_by_role("slider", name="Step of the computation")
    steps.fill("1")
    expect(animation).to_have_attribute("data-playing", "false")
    rows = animation.get_by_role("row")
    first, second = rows.nth(2), rows.nth(3)
    expect(first.locator(".score")).not_to_be_empty()
    expect(second.locator(".score")).to_be_empty()
    animation.get_by_role("button", name="Step", exact=True).click()
    expect(second.locator(".score")).not_to_be_empty()
    expect(first.locator(".weight")).to_be_empty()
    steps.fill(animation.get_attribute("data-last"))
    largest = max(animation.evaluate("root => root.numbers")["weights"])
    expect(first.locator(".weight")).to_have_text(f"{100 * largest:.{1 if largest < 0.0995 else 0}f}%")
    first.locator(".weight").focus()
    expect(animation.locator(".detail")).to_contain_text("(sum over all keys) =")
    first.locator(".weight").press("ArrowRight")
    expect(animation.locator(".detail")).to_contain_text("it adds")
    expect(animation.locator(".detail")).to_contain_text("to number 1 of the output")
    animation.locator(".value:focus").press("ArrowRight")
    expect(animation.locator(".detail")).to_contain_text("to number 2 of the output")
