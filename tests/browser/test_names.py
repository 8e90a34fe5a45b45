"""Names of strangers in a real browser: nothing runs, becomes a link or a picture, or leaves the window."""

import io
import re
from urllib.parse import urlencode

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE
from tests.browser.test_main_job import settled
from tests.helpers import foreign_names
from tests.helpers.serving import serving
from vit.data.files.pictures import save_picture

pytestmark = pytest.mark.browser

WIDTH = 800
IMG, LINK = foreign_names.FOLDER_NAMES[0], foreign_names.FOLDER_NAMES[3]

FOUND = """() => {
  const found = []
  const look = root => {
    for (const it of root.querySelectorAll("*")) {
      if (it.shadowRoot) look(it.shadowRoot)
      const to = it.getAttribute("href") ?? it.getAttribute("xlink:href") ?? ""
      const from = it.getAttribute("src") ?? ""
      const leads = /javascript:|evil/i.test(to) || /^x$|x\\.png|evil/.test(from) || it.hasAttribute("onerror")
      if (leads || (it.tagName === "SCRIPT" && it.textContent.includes("__pwned"))) found.push(it.outerHTML)
    }
  }
  look(document)
  if ("__pwned" in window) found.push(`ran: ${window.__pwned}`)
  const main = document.querySelector("[data-testid=stMain]")
  const wide = Math.max(document.documentElement.scrollWidth - innerWidth, main.scrollWidth - main.clientWidth)
  if (wide > 0) found.push(`${wide} pixels too wide`)
  return found
}"""


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """Serve the runs of :func:`tests.helpers.foreign_names.make_runs`: the address, their images and a picture."""
    with foreign_names.house(tmp_path_factory.mktemp("names")) as photos, serving() as address:
        foreign_names.add_broken(IMG)
        yield address, str(photos), f"pic-{save_picture(Image.new('RGB', (40, 40), 'red'))}"


@pytest.fixture(scope="module")
def page(chromium, house) -> Page:
    context = chromium.new_context(viewport={"width": WIDTH, "height": 1200}, base_url=house[0])
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


VIEWS = {
    "overview": ("", {}),
    "train": ("train", {"data": "Files on this machine", "folder": "PHOTOS"}),
    "follow": ("train", {"show": "Follow a run", "run": "uploaded"}),
    "runs": ("runs", {}),
    "predict": ("predict", {"run": "uploaded", "pictures": "PICTURE"}),
    "predict, its own images": ("predict", {"run": "named", "pictures": "val-3,val-9"}),
    "evaluate": ("evaluate", {"run": "named", "true": IMG, "predicted": LINK}),
    "attention": ("attention", {"run": "named", "image": "val-9"}),
    "relevance": ("relevance", {"run": "uploaded", "image": "PICTURE", "against": LINK}),
    "tokens": ("tokens", {"run": "uploaded", "image": "PICTURE", "aspect": "Logit lens"}),
}


@pytest.mark.parametrize("view", VIEWS)
def test_a_page_shows_such_names_and_does_nothing_else(page, house, view):
    problems = []
    page.once("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
    page.on("pageerror", lambda error: problems.append(str(error)))
    path, query = VIEWS[view]
    swaps = {"PHOTOS": house[1], "PICTURE": house[2]}
    page.goto(f"/{path}?" + urlencode({key: swaps.get(value, value) for key, value in query.items()}))
    expect(page.get_by_role("heading", level=1).first).to_be_visible()
    settled(page)
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
    shown = foreign_names.MESSAGE[:40] if view == "follow" else IMG
    if view in ("evaluate", "overview", "predict", "follow", "relevance", "tokens"):
        expect(page.get_by_text(shown).first).to_be_attached()
    if view in ("predict", "tokens"):  # in the figure, too
        expect(page.locator(".js-plotly-plot text", has_text="<img src=x").first).to_be_attached()
    assert page.evaluate(FOUND) == []
    assert problems == []


def test_uploads_are_called_as_they_are_named_whatever_that_is(page, house):
    contents = {}
    for name, colour in {IMG: "blue", "w" * 240: "green"}.items():
        picture = io.BytesIO()
        Image.new("RGB", (40, 40), colour).save(picture, "PNG")
        contents[name] = picture.getvalue()
    page.goto("/predict?run=uploaded")
    settled(page)
    contents["\u202e" + LINK] = b"no picture"
    page.locator("[data-testid=stFileUploaderDropzoneInput]").set_input_files(
        [{"name": f"{name}.png", "mimeType": "image/png", "buffer": content} for name, content in contents.items()]
    )
    expect(page.get_by_test_id("stAlertContentError")).to_contain_text(LINK.partition(":")[0])
    expect(page.get_by_text(IMG + ".png")).to_be_visible()
    settled(page)
    assert page.evaluate(FOUND) == []


def test_the_confusion_matrix_stays_a_table_beside_a_name_of_two_hundred_letters(page, house):
    page.goto("/evaluate?run=named")
    cell = page.locator("td[data-row='0'][data-column='0']")
    expect(cell).to_be_visible()
    head = page.locator("th[scope=col]").last.bounding_box()
    assert head["height"] < 200
    assert cell.bounding_box()["y"] - head["y"] < 250
    titles = page.locator("th[scope=col]").evaluate_all("cells => cells.map(cell => cell.title)")
    assert "w" * 190 in titles, "the whole name is told on hover"


PASTE = """kind => new Promise(done => {
  const canvas = document.createElement("canvas")
  canvas.width = canvas.height = 40
  canvas.toBlob(blob => {
    const data = new DataTransfer()
    data.items.add(new File([blob], "<b>my cat<b>.png", {type: "image/png"}))
    const target = document.querySelector("h1")
    if (kind === "paste") target.dispatchEvent(new ClipboardEvent(kind, {bubbles: true, clipboardData: data}))
    else target.dispatchEvent(new DragEvent(kind, {bubbles: true, cancelable: true, dataTransfer: data}))
    done()
  })
})"""


def test_an_image_is_chosen_by_keyboard_pasted_or_dropped_and_its_link_is_copied(page, house):
    page.goto("/tokens?run=named&image=val-3")
    settled(page)
    card = page.get_by_role("button", name="Open the gallery")
    card.press("Enter")
    expect(page.locator(".thumbnail.right, .thumbnail.wrong").nth(4)).to_be_visible()  # without a click
    expect(page.get_by_role("option", name=re.compile("val-3, .+, answer .+, (right|wrong)$"))).to_be_focused()
    assert page.evaluate(FOUND) == []
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"image=val-4\b"))
    expect(card).to_contain_text("val-4")
    expect(page.get_by_role("textbox", name="Image", exact=True)).to_have_value("val-4")
    for event in ("paste", "drop"):
        page.goto("/tokens?run=named&image=val-3")
        expect(card).to_contain_text("val-3")
        settled(page)
        page.evaluate(PASTE, event)
        expect(card).to_contain_text("<b>my cat<b>.png")
        page.wait_for_url(re.compile(r"image=pic-[0-9a-f]{16}\b"))
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == page.url
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject() }")
    page.get_by_role("button", name="Cop").click()
    expect(page.get_by_label("The address of this view")).to_have_value(page.url)
