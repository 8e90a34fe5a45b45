"""The exported web page in a real Chromium: it asks no host, and computes and shows what PyTorch computes."""

import io
import re
from collections.abc import Iterator
from importlib.resources import files

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.browser.test_accessibility import EVERY, JUDGE
from tests.helpers.exported_pages import HOSTILE, answers, check_answer, inputs, opened, redrawn
from tests.helpers.web_pages import static_server
from vit.data.batches import normalise
from vit.explain import capture
from vit.explain.interventions.cover import cover
from vit.explain.maps.attention import rollout

pytest.importorskip("onnxscript")
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def host(web_pages) -> Iterator[str]:
    with static_server(web_pages["tiny"].file.parent) as address:
        yield address


@pytest.mark.parametrize("run", ["tiny", "tiny-mean"])
@pytest.mark.parametrize("way", ["file", "host"])
def test_answer_and_maps_are_those_of_pytorch(chromium, web_pages, host, run, way):
    exported = web_pages[run]
    place = exported.file.as_uri() if way == "file" else f"{host}/{exported.file.name}"
    with opened(chromium, place) as page:
        images = inputs(exported)
        record = capture(exported.model, images)
        check_answer(page, exported, record.logits)
        attention = record.attention[0].numpy()
        np.testing.assert_allclose(
            np.reshape(page.evaluate("[...vitPage.attention]"), attention.shape), attention, atol=1e-4
        )
        rows = attention[:, :, record.summary_rows].mean(axis=2)  # depth h m
        check_tiles(page, rows, record.prefix_tokens, patch=5)

        grid, canvas = page.locator(".attention"), page.locator(".attention .large canvas")
        click_patch(canvas, 6, 4)
        expect(grid).to_have_attribute("data-pinned", "7")
        rows = attention[:, :, record.prefix_tokens + 6]
        check_tiles(page, rows, record.prefix_tokens, patch=2)
        page.locator(".attention .tile").nth(3).click()
        expect(page.locator("#matrix-title")).to_have_text("The matrix of layer 2, head 2")
        check_matrix(page, attention[1, 1], query=record.prefix_tokens + 6, key=3)

        page.get_by_role("radio", name="Rollout").check()
        wanted = rollout(exported.model, images)[0].ravel()
        page.get_by_role("button", name="Back to the").click()
        expect(grid).to_have_attribute("data-token", "0")
        for patch in (0, 9):
            check_tip(page, page.locator(".attention .tile").last, wanted, patch)
        rows = "layer => [...vitPage.page.maps.rows.ofRollout(layer, 1, 0).patches]"
        found = np.array(page.evaluate(f"[1, 2].map({rows})"))
        np.testing.assert_allclose(found[-1], wanted, atol=1e-6)
        most = np.sort(found.ravel())[int(0.99 * found.size)]
        high = page.locator(".attention .legend span").last.inner_text()
        assert float(high.removeprefix("≥ ")) == pytest.approx(most, abs=0.0051 if most > 0.1 else 6e-5)


def click_patch(canvas: Locator, patch: int, columns: int) -> None:
    canvas.scroll_into_view_if_needed()
    side = canvas.bounding_box()["width"] / columns
    canvas.click(position={"x": (patch % columns + 0.5) * side, "y": (patch // columns + 0.5) * side})


def check_tiles(page: Page, rows: np.ndarray, prefix: int, patch: int) -> None:
    """Compare what each tile says with ``rows (depth h m)``: the share of the class token, and the value of a patch."""
    tiles = page.locator(".attention .tile")
    for tile, row in zip(tiles.all(), rows.reshape(-1, rows.shape[-1]), strict=True):
        share = tile.locator(".share").text_content()
        assert float(share.removeprefix("class token ").strip("<%")) / 100 == pytest.approx(
            max(0.001, row[:prefix].sum()), abs=0.0051
        )
        check_tip(page, tile, row[prefix:], patch)


def check_tip(page: Page, tile: Locator, values: np.ndarray, patch: int) -> None:
    canvas = tile.locator("canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    side = box["width"] / 4
    page.mouse.move(box["x"] + (patch % 4 + 0.5) * side, box["y"] + (patch // 4 + 0.5) * side)
    tip = page.locator("#maps .tip")
    expect(tip).to_contain_text(f"patch r{patch // 4 + 1} c{patch % 4 + 1}")
    assert float(tip.locator("b").inner_text()) == pytest.approx(
        values[patch], abs=0.0051 if values[patch] > 0.1 else 6e-5
    )


def check_matrix(page: Page, matrix: np.ndarray, query: int, key: int) -> None:
    """Read one number of the matrix with the pointer on the marked row, and one with the keyboard."""
    canvas, text = page.locator("#matrix .map"), page.locator("#matrix .text")
    canvas.scroll_into_view_if_needed()
    box, count = canvas.bounding_box(), len(matrix)
    page.mouse.move(box["x"] + (key + 0.5) * box["width"] / count, box["y"] + (query + 0.5) * box["height"] / count)
    expect(text).to_contain_text(": ")
    assert float(text.inner_text().split(": ")[1]) == pytest.approx(matrix[query, key], rel=1e-3, abs=1e-5)
    page.mouse.move(0, 0)
    canvas.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert float(text.inner_text().split(": ")[1]) == pytest.approx(matrix[query, 1], rel=1e-3, abs=1e-5)


def test_a_head_that_is_off_and_covered_patches_change_the_answer_as_in_pytorch(chromium, web_pages):
    exported = web_pages["tiny"]
    images = inputs(exported)
    with opened(chromium, exported.file.as_uri()) as page:
        heads = page.locator("#heads button.head")
        with redrawn(page):
            heads.nth(1).click()
        expect(heads.nth(1)).to_have_text("off")
        check_answer(page, exported, answers(exported, images, off=(0, 1)))
        plain = answers(exported, images).softmax(dim=-1)[0]
        expect(page.locator("#compared")).to_contain_text(f"{100 * plain.max():.1f}%")
        expect(page.locator(".attention .tile").nth(1)).to_have_attribute("aria-label", re.compile("off"))
        with redrawn(page):
            page.get_by_role("button", name="All on").click()
        check_answer(page, exported, answers(exported, images))

        board = page.locator("#board canvas")
        board.scroll_into_view_if_needed()
        box = board.bounding_box()
        side = box["width"] / 4
        page.mouse.move(box["x"] + side / 2, box["y"] + 1.5 * side)
        page.mouse.down()
        with redrawn(page):  # the answer follows before the pointer is released
            page.mouse.move(box["x"] + 2.5 * side, box["y"] + 1.5 * side, steps=6)
        hidden = torch.zeros(4, 4, dtype=torch.bool)
        hidden[1, :3] = True
        check_answer(page, exported, answers(exported, cover(images, hidden)))
        page.mouse.up()
        expect(page.locator("#board .words")).to_contain_text("covered")
        with redrawn(page):
            page.get_by_label("They show").select_option("blur")
        check_answer(page, exported, answers(exported, cover(images, hidden, "blur")))
        with redrawn(page):
            page.get_by_role("button", name="Uncover all").click()
        check_answer(page, exported, answers(exported, images))
        expect(page.get_by_role("button", name="Uncover all")).to_be_disabled()


def picture(colour: str) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (90, 60), colour).save(content, "PNG")
    return content.getvalue()


TRANSFER = """bytes => {
  const transfer = new DataTransfer()
  transfer.items.add(new File([new Uint8Array(bytes)], "red.png", {type: "image/png"}))
  return transfer
}"""
GIVE = {
    "drop": "dataTransfer => document.body.dispatchEvent(new DragEvent('drop', {dataTransfer, bubbles: true}))",
    "paste": "clipboardData => document.dispatchEvent(new ClipboardEvent('paste', {clipboardData, bubbles: true}))",
}


@pytest.mark.parametrize("way", ["choose", "drop", "paste"])
def test_a_picture_is_chosen_dropped_or_pasted(chromium, web_pages, way):
    exported = web_pages["tiny"]
    images = normalise(
        torch.tensor([200, 30, 40], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 32, 32),
        exported.info.mean,
        exported.info.std,
    )
    with opened(chromium, exported.file.as_uri()) as page:
        content = picture("#C81E28")
        with redrawn(page):
            if way == "choose":
                page.locator("#file").set_input_files({"name": "red.png", "mimeType": "image/png", "buffer": content})
            else:
                transfer = page.evaluate_handle(TRANSFER, list(content))
                page.evaluate(GIVE[way], transfer)
        check_answer(page, exported, answers(exported, images))
        expect(page.locator("#source")).to_contain_text("red.png, 90 × 60 pixels")
        expect(page.locator("#compared")).to_have_text("")  # no sample: nothing is known to be right
        expect(page.locator("#samples [aria-pressed=true]")).to_have_count(0)
        page.locator("#file").set_input_files({"name": "notes.png", "mimeType": "image/png", "buffer": b"no picture"})
        expect(page.get_by_role("alert")).to_contain_text("notes.png is not a picture")


def test_a_convolutional_network_has_an_answer_only(chromium, web_pages):
    exported = web_pages["cnn"]
    with opened(chromium, exported.file.as_uri()) as page:
        check_answer(page, exported, answers(exported, inputs(exported)))
        expect(page.locator("#look")).to_contain_text("it has no attention")
        assert page.locator(".attention, #heads, #board").count() == 0
        page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text())
        found = page.evaluate(JUDGE, [EVERY, {}, []])
        assert not found, found


def test_foreign_names_are_text_and_rollout_needs_rows_that_sum_to_one(chromium, web_pages):
    with opened(chromium, web_pages["tiny"].variant.as_uri()) as page:
        expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
        expect(page.locator("#bars .name").first).to_have_text(HOSTILE)
        assert page.evaluate("window.__pwned === undefined && document.querySelectorAll('img[src=x]').length === 0")
        expect(page.locator("#caveat")).to_contain_text("The softmax runs over the queries. Rollout is not offered")
        expect(page.locator("#views")).not_to_contain_text("Rollout")


def test_the_card_and_the_licences_are_in_the_page(chromium, web_pages):
    exported = web_pages["tiny"]
    with opened(chromium, exported.file.as_uri()) as page:
        card = page.locator("#card")
        for name, value in exported.manifest["card"]["metrics"].items():
            expect(card.locator("dl").first).to_contain_text(name)
            expect(card.locator("dl").first).to_contain_text(value)
        expect(card.locator("svg")).to_have_count(3)
        counts = np.array(exported.manifest["card"]["confusion_matrix"])
        assert [int(cell) for cell in card.locator("td[data-row]").all_inner_texts()] == counts.ravel().tolist()
        page.get_by_role("button", name="Licences").click()
        expect(page.locator("#notices-text")).to_contain_text("MIT License")
        page.keyboard.press("Escape")
        expect(page.locator("#notices")).to_be_hidden()
        page.get_by_role("button", name="What is Rollout?").click()
        expect(page.get_by_text("Multiplies the attention matrices of all blocks")).to_be_visible()
