"""The exported web page for everyone: keyboard, axe-core, phones, and the camera, with and without one."""

from collections.abc import Iterator
from importlib.resources import files

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.test_accessibility import EVERY, JUDGE
from tests.browser.test_keyboard import has_visible_focus
from tests.helpers.exported_pages import FAKE_CAMERA, opened, redrawn, wait
from tests.helpers.serving import CHROMIUM_FLAGS, chromium_path

pytest.importorskip("onnxscript")
pytestmark = pytest.mark.browser


def test_everything_works_with_the_keyboard(chromium, web_pages):
    with opened(chromium, web_pages["tiny"].file.as_uri()) as page:
        grid, canvas = page.locator(".attention"), page.locator(".attention .large canvas")
        with redrawn(page):
            tab_to(page, page.locator("#samples button").nth(1))
            page.keyboard.press("Enter")
        expect(page.locator("#spoken")).to_contain_text("%")
        tab_to(page, canvas)
        assert has_visible_focus(canvas)
        for key in ("ArrowRight", "ArrowDown", "Enter"):
            page.keyboard.press(key)
        expect(grid).to_have_attribute("data-pinned", "5")
        tab_to(page, page.locator(".attention .tile").first)
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(grid).to_have_attribute("data-layer", "2")
        with redrawn(page):
            tab_to(page, page.locator("#board canvas"))
            page.keyboard.press("ArrowRight")
            page.keyboard.press("Space")
        expect(page.locator("#board .words")).to_contain_text("Patch 2, row 1, column 2: covered")
        with redrawn(page):
            tab_to(page, page.locator("#heads button.head").first)
            page.keyboard.press("ArrowRight")
            page.keyboard.press("Enter")
        expect(page.locator("#heads button.head").nth(1)).to_have_text("off")
        tab_to(page, page.locator("#card td[data-row]").first)
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        expect(page.locator("#card p.quiet")).to_contain_text("classified as bus")


def tab_to(page: Page, element: Locator) -> None:
    """Press the tab key until an element has the focus."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if element.evaluate("one => one.getRootNode().activeElement === one"):
            return
    raise AssertionError(f"{element} cannot be reached with the tab key")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 800, 390])
def test_no_serious_finding_and_nothing_is_cut(chromium, web_pages, theme, width):
    with opened(chromium, web_pages["tiny"].file.as_uri(), color_scheme=theme, has_touch=width == 390) as page:
        page.set_viewport_size({"width": width, "height": 900})
        page.get_by_label("Theme").select_option("")
        page.get_by_role("button", name="Camera", exact=True).click()
        page.wait_for_timeout(200)
        page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text())
        found = page.evaluate(JUDGE, [EVERY, {}, []])
        assert not found, found
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.get_by_label("Theme").select_option("dark" if theme == "light" else "light")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != ground
        if width == 390:
            canvas = page.locator(".attention .large canvas")
            canvas.scroll_into_view_if_needed()
            side = canvas.bounding_box()["width"] / 4
            canvas.tap(position={"x": 1.5 * side, "y": 0.5 * side})
            expect(page.locator(".attention")).to_have_attribute("data-pinned", "2")


@pytest.fixture(scope="module")
def with_camera(chromium) -> Iterator[Browser]:
    browser = chromium.browser_type.launch(executable_path=chromium_path(), args=[*CHROMIUM_FLAGS, *FAKE_CAMERA])
    yield browser
    browser.close()


def test_the_camera_runs_freezes_and_stops(with_camera, web_pages):
    with opened(with_camera, web_pages["tiny"].file.as_uri()) as page:
        camera, text = page.get_by_role("button", name="Camera", exact=True), page.locator("#camera-text")
        camera.click()
        expect(text).to_contain_text("Frames stay in this browser")
        assert page.evaluate("!vitPage.page.camera.stream")  # it asks after the explanation
        page.get_by_role("button", name="Turn the camera on").click()
        expect(text).to_contain_text("Live")
        before = page.evaluate("vitPage.drawn")
        wait(page, f"vitPage.drawn > {before} + 10")
        assert page.evaluate("vitPage.stats.fps") > 0
        page.get_by_role("button", name="Freeze this frame").click()
        wait(page, "!vitPage.page.running && !vitPage.page.stale && !vitPage.page.frame")
        frozen = page.evaluate("vitPage.drawn")
        page.wait_for_timeout(500)
        assert page.evaluate("vitPage.drawn") == frozen
        with redrawn(page):  # a frozen frame is a picture like any other
            page.locator("#heads button.head").first.click()
        expect(page.locator("#compared")).to_contain_text("Without the changes")
        page.get_by_role("button", name="Live again").click()
        wait(page, f"vitPage.drawn > {frozen} + 5")
        with redrawn(page):
            page.locator("#samples button").first.click()  # another picture ends the camera
        wait(page, "vitPage.page.camera.stream === null")
        expect(page.get_by_role("button", name="Turn the camera on")).to_be_visible()
        camera.click()
        expect(text).to_be_hidden()


REFUSE = """name => {
  navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("", name))
}"""


def test_without_a_camera_the_page_says_what_to_do(chromium, web_pages):
    with opened(chromium, web_pages["tiny"].file.as_uri()) as page:
        page.context.grant_permissions(["camera"])
        camera, text = page.get_by_role("button", name="Camera", exact=True), page.locator("#camera-text")
        camera.click()
        page.get_by_role("button", name="Turn the camera on").click()
        expect(text).to_contain_text("No camera was found. Connect one and try again, or choose a picture.")
        for name, sentence in (
            ("NotAllowedError", "does not allow this page to use the camera"),
            ("NotReadableError", "Another program is using the camera"),
            ("AbortError", "The camera did not start"),
        ):
            page.evaluate(REFUSE, name)
            page.get_by_role("button", name="Try again").click()
            expect(text).to_contain_text(sentence)
        page.evaluate("Object.defineProperty(navigator, 'mediaDevices', {value: undefined})")  # as without https
        camera.click()
        expect(text).to_be_hidden()
        camera.click()
        expect(text).to_contain_text("only on https, on localhost and in a file")
        expect(page.locator("#camera-buttons button")).to_have_count(0)
