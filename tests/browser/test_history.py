"""Ways between the pages: links, the browser's Back button, and addresses that name what does not exist."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Response, expect

from tests.browser.conftest import PATIENCE, list_all_pages
from tests.helpers.console import of_a_page_that_was_left
from tests.helpers.serving import serving, waiting_run
from vit import jobs, runs

pytestmark = pytest.mark.browser


def failure_of(answer: Response) -> list[str]:
    """Return the status and address of a failed response in a list; an empty list otherwise."""
    failed = answer.status >= 400 and not of_a_page_that_was_left(answer.url)
    return [f"{answer.status} {answer.url}"] if failed else []


@pytest.fixture
def walk(several, chromium, tmp_path) -> Iterator[Page]:
    """A page on a server with the runs "scenes", "tiny-mean" and "tiny-deep", in which nothing may fail."""
    shutil.move(several / "checkpoints" / "tiny", several / "checkpoints" / runs.SHIPPED_RUN)
    log, problems = tmp_path / "server.log", []
    with serving(log=log) as address:
        context = chromium.new_context(viewport={"width": 1400, "height": 1000}, base_url=address)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("response", lambda answer: problems.extend(failure_of(answer)))
        yield page
        context.close()
    for run in runs.list_runs():
        jobs.stop(run)
    assert not problems
    assert "Traceback" not in Path(log).read_text()


def arrived(page: Page, title: str) -> None:
    """Wait until a page is open and its script is through."""
    expect(page.get_by_role("heading", level=1, name=title)).to_be_visible()
    page.wait_for_timeout(200)
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)


def entries(page: Page) -> int:
    return page.evaluate("history.length")


def go_back(page: Page, title: str) -> None:
    page.go_back()
    arrived(page, title)


def sidebar(page: Page, name: str, title: str | None = None) -> None:
    page.get_by_test_id("stSidebarNav").get_by_role("link", name=name).click()
    arrived(page, title or name)


def test_links_and_back_lead_from_view_to_view(walk):
    page = walk
    say_what_a_link_names_in_vain(page)
    choose_what_the_sidebar_lists(page)
    come_back_to_the_run_the_image_and_the_patch(page)
    follow_a_link_to_another_run(page)
    walk_the_tour_and_back(page)
    answer_and_open_in_train(page)
    with waiting_run("busy"):
        open_the_form_and_start_a_minute(page)


def say_what_a_link_names_in_vain(page: Page) -> None:
    page.goto("/attention?run=nope&image=val-99999")
    arrived(page, "Attention")
    expect(page.get_by_role("alert")).to_contain_text(["no run nope", "no validation image 99,999"])
    page.wait_for_url(re.compile(r"/attention\?run=[a-z-]+&image=val-29$"))
    assert "nope" not in page.url
    expect(page.get_by_role("textbox", name="Image", exact=True)).to_have_value("val-29")
    page.get_by_role("button", name="Next", exact=True).click()
    expect(page.get_by_role("alert")).to_have_count(1)


def choose_what_the_sidebar_lists(page: Page) -> None:
    listed = page.get_by_test_id("stSidebarNavLink")
    expect(listed).to_have_count(7)
    list_all_pages(page)
    page.wait_for_function("document.cookie.includes('vit_pages=all')")
    page.reload()  # a new session in the same browser
    arrived(page, "Attention")
    expect(listed).to_have_count(17)
    page.set_viewport_size({"width": 800, "height": 1000})
    expect(listed.first).not_to_be_in_viewport()  # the sidebar is folded
    page.set_viewport_size({"width": 1400, "height": 1000})
    expect(listed.first).to_be_in_viewport()


def come_back_to_the_run_the_image_and_the_patch(page: Page) -> None:
    before = entries(page)
    picker = page.locator(".attention .picker canvas")
    for key in ("ArrowRight", "ArrowDown", "Enter"):
        picker.press(key)
    page.wait_for_url(re.compile("token=5"))
    arrived(page, "Attention")
    sought = page.url
    sidebar(page, "Tokens")
    assert entries(page) == before + 1  # choosing a patch is no entry, and a page is one
    sidebar(page, "Relevance")
    page.wait_for_url(re.compile("/relevance.*method="))
    assert entries(page) == before + 2
    assert "token=" not in page.url
    go_back(page, "Tokens")
    go_back(page, "Attention")
    assert page.url == sought
    expect(page.locator(".attention")).to_have_attribute("data-pinned", "5")


def follow_a_link_to_another_run(page: Page) -> None:
    """The run of a link counts, not the one that was looked at before; afterwards it is the one looked at last."""
    sidebar(page, "Overview", "Attention explorer")
    page.locator("[data-testid=stMain] a[href*='train?run=tiny-deep']").click()
    arrived(page, "Train")
    sought = page.url
    page.get_by_role("link", name="Look into its heads").click()  # both pages have bound the run
    arrived(page, "Attention")
    expect(page.get_by_role("combobox", name="Run", exact=True)).to_have_value("tiny-deep")
    go_back(page, "Train")
    assert page.url == sought
    sidebar(page, "Evaluate")
    page.wait_for_url(re.compile("run=tiny-deep"))
    expect(page.get_by_role("combobox", name="Run", exact=True)).to_have_value("tiny-deep")


def walk_the_tour_and_back(page: Page) -> None:
    sidebar(page, "Overview", "Attention explorer")
    before = entries(page)
    page.get_by_role("button", name="Take the tour").click()
    for step in range(1, 4):
        expect(page.get_by_role("heading", level=3, name=re.compile(rf"^{step}\."))).to_be_visible()
        arrived(page, "From an image")
        assert entries(page) == before + step
        page.get_by_role("button", name=re.compile("^Next")).click()
    expect(page.get_by_role("heading", level=3, name=re.compile(r"^4\."))).to_be_visible()
    for step in (3, 2, 1):
        go_back(page, "From an image")
        expect(page.get_by_role("heading", level=3, name=re.compile(rf"^{step}\."))).to_be_visible()
    go_back(page, "Attention explorer")


def answer_and_open_in_train(page: Page) -> None:
    page.goto("/lesson-heads")
    page.get_by_role("radiogroup").locator("label").nth(1).click()
    expect(page.get_by_text("What was measured")).to_be_visible()
    page.wait_for_url(re.compile("guess_heads="))
    sought, before = page.url, entries(page)
    page.get_by_role("button", name="Open in Train").first.click()
    arrived(page, "Train")
    assert entries(page) == before + 1
    page.go_back()
    page.wait_for_url(sought)
    expect(page.get_by_text("Answer above")).to_have_count(0)


def open_the_form_and_start_a_minute(page: Page) -> None:
    """The form opens although a run is active, and the button works from there; the run waits for the active one."""
    page.goto("/train?depth=3&epochs=4")
    arrived(page, "Train")
    expect(page.get_by_role("button", name="Start training")).to_be_visible()
    expect(page.get_by_text("python -m vit train")).to_contain_text("--depth 3")
    page.locator(".st-key-depth input[type=range]").press("ArrowLeft")
    page.wait_for_url(re.compile("depth=2"))
    arrived(page, "Train")
    before = entries(page)
    page.locator(".st-key-train_minute button").click()
    expect(page.locator(".st-key-stop")).to_be_visible()
    page.wait_for_url(re.compile("run=minute"))
    assert entries(page) == before
    assert [run.name for run in runs.list_runs() if run.active] == ["minute", "busy"]
