"""Live: the browser runs the network on the camera's frames, which stay in it, and a frozen frame becomes an image."""

import re
from importlib.resources import files

import pytest
from playwright.sync_api import Page, expect

from benchmarks.app.moving_objects import burst, write_video
from pages.server.live_files import PLACE
from tests.browser.conftest import PATIENCE
from tests.browser.test_accessibility import EVERY, JUDGE, SIDEBAR
from tests.helpers.console import Console
from tests.helpers.serving import CHROMIUM_FLAGS, camera_flags, chromium_path

pytestmark = pytest.mark.browser


@pytest.fixture
def page(shared_address, chromium, tmp_path) -> Page:
    """A page of the shared server, in a browser whose camera shows a cup."""
    write_video(tmp_path / "cup.y4m", burst("cup", 1, 30))
    flags = [*CHROMIUM_FLAGS, *camera_flags(tmp_path / "cup.y4m")]
    browser = chromium.browser_type.launch(executable_path=chromium_path(), args=flags)
    page = browser.new_page(viewport={"width": 1400, "height": 1000}, base_url=shared_address)
    page.set_default_timeout(PATIENCE)
    yield page
    browser.close()


@pytest.mark.parametrize("path", ["predict", "attention"])
def test_the_network_runs_in_the_browser_and_a_frozen_frame_becomes_an_image(page: Page, path):
    console = Console(page)
    sent: list[str] = []
    page.goto(f"/{path}?run=tiny-mean&live=true")
    page.on("request", lambda request: sent.append(f"{request.method} {request.url}"))
    page.get_by_role("button", name="Turn the camera on").click(timeout=3 * PATIENCE)  # after the export
    live = page.locator(".live")
    expect(page.locator(".live[data-frames]")).to_be_visible(timeout=3 * PATIENCE)
    expect(live.get_by_role("listitem")).to_have_count(5)
    shares = [float(text.strip("<%")) for text in live.locator(".value").all_inner_texts()]
    assert sum(shares) == pytest.approx(100, abs=3)
    expect(live.locator("figure")).to_have_count(2)
    live.get_by_role("button", name="Layer 1").click()
    expect(live.get_by_role("button", name="Layer 1")).to_have_attribute("aria-pressed", "true")
    assert all(line.startswith("GET ") for line in sent), sent  # no frame is sent
    assert {line.rsplit("/", 2)[-2] for line in sent if PLACE in line}  # the network is run here, by these files

    page.add_style_tag(content="*, *::before, *::after { transition: none !important }")
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text())
    assert page.evaluate(JUDGE, [EVERY, {}, SIDEBAR]) == []

    live.get_by_role("button", name="Freeze").click()
    if path == "predict":
        expect(page.get_by_text("camera frame.png")).to_be_visible()
    else:
        expect(page.get_by_role("textbox", name="Image", exact=True)).to_have_value(re.compile("^pic-"))
    for _ in range(100):  # on Predict the name is shown before the frame is sent
        if any(line.startswith("PUT ") for line in sent):
            break
        page.wait_for_timeout(100)
    assert any(line.startswith("PUT ") for line in sent)
    live.get_by_role("button", name="Turn off").click()
    expect(page.get_by_role("button", name="Turn the camera on")).to_be_visible()
    assert not console.findings, "\n".join(console.findings)
