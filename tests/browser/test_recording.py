"""Record classes with a camera that plays a drawn video, train on them, and look at the result."""

import re
import shutil
from importlib.resources import files
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from benchmarks.app.moving_objects import burst, write_video
from tests.browser.conftest import PATIENCE
from tests.browser.test_accessibility import EVERY, JUDGE, SIDEBAR
from tests.browser.test_main_job import settled
from tests.helpers.console import Console
from tests.helpers.serving import CHROMIUM_FLAGS, camera_flags, chromium_path, serving
from vit import runs
from vit.config.presets import RECORDED

pytestmark = pytest.mark.browser

RECORDER = "/train?show=Record+classes"


@pytest.fixture
def page(trained, chromium, tmp_path) -> Page:
    """A page of a server that starts from a tiny run, in a browser whose camera shows a cup."""
    shutil.copytree(trained / "checkpoints" / "tiny", trained / "checkpoints" / RECORDED["start"])
    write_video(tmp_path / "cup.y4m", burst("cup", 1, 30))
    with serving() as address:
        flags = [*CHROMIUM_FLAGS, *camera_flags(tmp_path / "cup.y4m")]
        browser = chromium.browser_type.launch(executable_path=chromium_path(), args=flags)
        page = browser.new_page(viewport={"width": 1400, "height": 1000}, base_url=address)
        page.set_default_timeout(PATIENCE)
        yield page
        browser.close()


def hold(page: Page, name: str, seconds: float = 2.5) -> None:
    """Hold the button of a class with the mouse."""
    button = page.get_by_role("button", name=f"Hold to record: {name}")
    button.hover()
    page.mouse.down()
    page.wait_for_timeout(1000 * seconds)
    page.mouse.up()


def card(page: Page, name: str) -> Locator:
    """What is recorded of a class."""
    return page.get_by_role("listitem").filter(has=page.get_by_role("button", name=f"Hold to record: {name}"))


def test_classes_are_recorded_and_trained_on(trained: Path, page: Page):
    console = Console(page)
    page.goto(RECORDER)
    train = page.get_by_role("button", name="Train on these frames")
    expect(train).to_be_disabled()
    page.get_by_role("textbox", name="Name of the class").nth(0).fill("cup")
    page.get_by_role("textbox", name="Name of the class").nth(1).fill("CUP")
    expect(page.get_by_text("Two classes have the name")).to_be_visible()
    page.get_by_role("textbox", name="Name of the class").nth(1).fill("no/name")
    expect(page.get_by_text("A name has 1 to 40 characters")).to_be_visible()
    page.get_by_role("textbox", name="Name of the class").nth(1).fill("nothing")
    expect(page.get_by_role("button", name="Hold to record: cup")).to_be_disabled()
    page.get_by_role("button", name="Turn the camera on").click()
    expect(page.get_by_role("button", name="Hold to record: cup")).to_be_enabled()

    hold(page, "cup")
    expect(card(page, "cup")).to_contain_text("1 burst")
    expect(card(page, "cup")).to_contain_text("A single burst")
    hold(page, "cup")
    expect(card(page, "cup")).to_contain_text("2 bursts")
    expect(card(page, "cup").get_by_text("A single burst")).to_be_hidden()
    card(page, "cup").get_by_role("button", name="Delete: Burst 1 of cup").click()
    expect(card(page, "cup")).to_contain_text("1 burst")
    page.get_by_role("button", name="Undo").click()
    expect(card(page, "cup")).to_contain_text("2 bursts")

    hold(page, "nothing")  # right after the other button, which loses the focus
    expect(card(page, "nothing")).to_contain_text("1 burst")
    page.get_by_role("button", name="Hold to record: nothing").focus()
    page.keyboard.down(" ")
    page.wait_for_timeout(2500)
    page.keyboard.up(" ")
    expect(card(page, "nothing")).to_contain_text("2 bursts")
    page.get_by_text("Click to start and to stop").click()
    page.get_by_role("button", name="Record: nothing").click()
    page.wait_for_timeout(2500)
    page.get_by_role("button", name="Stop: nothing").click()
    expect(page.get_by_role("button", name=re.compile("Delete: Burst . of nothing"))).to_have_count(3)

    page.add_style_tag(content="*, *::before, *::after { transition: none !important }")
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text())
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        page.wait_for_timeout(500)
        assert page.evaluate(JUDGE, [EVERY, {}, SIDEBAR]) == []

    expect(train).to_be_enabled()
    train.click()
    expect(page.get_by_role("link", name="Predict with it")).to_be_visible(timeout=3 * PATIENCE)
    (run,) = (run for run in runs.list_runs() if run.config.start)
    assert run.config.data.class_names == ("cup", "nothing")
    source = Path(run.config.data.source)
    for name in ("cup", "nothing"):
        bursts = [{path.name for path in source.glob(f"{split}/{name}/*")} for split in ("train", "val")]
        assert [len(one) for one in bursts] == [{"cup": 1, "nothing": 2}[name], 1]
        assert bursts[0].isdisjoint(bursts[1])
    page.get_by_role("link", name="Predict with it").click()
    expect(page.get_by_role("heading", name="Predict", level=1)).to_be_visible()
    settled(page)
    assert not console.findings, "\n".join(console.findings)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        ("NotAllowedError", "The browser did not allow the camera."),
        ("NotFoundError", "This device has no camera that the browser can use."),
        ("NotReadableError", "The camera is used by another program."),
        ("UnknownError", "The camera could not be started."),
    ],
)
def test_the_page_says_what_to_do_without_a_camera(page: Page, error, sentence):
    page.add_init_script(
        f"navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', '{error}'))"
    )
    page.goto(RECORDER)
    page.get_by_role("button", name="Turn the camera on").click()
    expect(page.get_by_text(sentence)).to_be_visible()
    expect(page.get_by_role("button", name="Turn the camera on")).to_be_enabled()


def test_a_page_on_http_says_that_it_gets_no_camera(page: Page):
    page.add_init_script("Object.defineProperty(window, 'isSecureContext', { value: false })")
    page.goto(RECORDER)
    page.get_by_role("button", name="Turn the camera on").click()
    expect(page.get_by_text("Browsers give a camera only to pages on https or on localhost.")).to_be_visible()
