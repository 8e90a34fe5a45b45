"""A public demo with two visitors, each in a separate browser."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from pages.server import limits
from tests.browser.conftest import PATIENCE
from tests.browser.test_main_job import settled
from tests.helpers.serving import serving
from vit import jobs, runs
from vit.paths import data_dir

pytestmark = pytest.mark.browser


@pytest.fixture
def demo_address(home, monkeypatch) -> Iterator[str]:
    """Of a fresh demo over empty folders."""
    monkeypatch.setenv(limits.SWITCH, "1")
    with serving() as address:
        yield address
        for run in runs.list_runs():
            if run.active:
                jobs.stop(run)


@pytest.fixture
def visitor(chromium: Browser, demo_address: str) -> Iterator:
    """Opens a page of a new browser, which has no cookies yet."""
    contexts: list[BrowserContext] = []

    def arrive() -> Page:
        context = chromium.new_context(viewport={"width": 1400, "height": 1000}, base_url=demo_address)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        return context.new_page()

    yield arrive
    for context in contexts:
        context.close()


SMALLEST = "heads=1&depth=1&head_dim=8&size=32&patch=16&batch=8&epochs=3&device=cpu"


def train(page: Page, zip_file: Path, name: str) -> runs.Run:
    """Train a tiny network on images of one's own, to its end."""
    page.goto(f"/train?{SMALLEST}")
    page.get_by_text("Upload your own images").click()
    page.locator("input[type=file]").first.set_input_files(zip_file)
    expect(page.get_by_role("combobox", name="Data set")).to_have_value("two-colours")
    settled(page)
    page.get_by_role("textbox", name="Name of the run").fill(name)
    page.get_by_role("textbox", name="Name of the run").press("Enter")
    settled(page)
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_text("Finished all 3 epochs").first).to_be_visible()
    return runs.get_run(name)


def test_only_the_visitor_who_made_a_run_sees_it(visitor, photo_zip):
    first, second = visitor(), visitor()
    run = train(first, photo_zip, "first-of-all")
    assert re.fullmatch("[0-9a-f]{32}", run.config.owner)
    assert run.config.training.max_seconds == limits.DemoLimits().seconds
    link = first.url
    assert "first-of-all" in link

    for page in ("/", "/train", "/runs", "/predict", "/attention"):
        second.goto(page)
        expect(second.get_by_role("heading", level=1)).to_be_visible()
        settled(second)
        assert "first-of-all" not in second.content()
        assert "two-colours" not in second.content()
    second.goto(link)  # links are shared
    expect(second.get_by_text("Nothing has been trained yet")).to_be_visible()
    second.goto(f"/attention?run={run.name}")
    expect(second.get_by_text("No trained run yet")).to_be_visible()
    assert first.context.cookies()[0]["value"] != second.context.cookies()[0]["value"]
    assert first.context.cookies()[0]["httpOnly"]

    first.goto(f"/attention?run={run.name}&image=val-3")
    expect(first.locator(".attention .tile canvas").first).to_be_visible()
    first.goto("/runs")
    delete_by_hand(first, run)
    assert runs.list_runs() == []


def delete_by_hand(page: Page, run: runs.Run) -> None:
    page.get_by_role("button", name="Rename, download or delete").click()
    page.locator(".st-key-delete button").click()
    page.locator(".st-key-delete_surely button").click()
    expect(page.get_by_text("was deleted").first).to_be_visible()
    expect(page.get_by_text("No runs yet")).to_be_visible()


def test_links_beyond_the_bounds_and_into_the_server_open_the_page_within_them(visitor):
    page = visitor()
    page.goto("/train?data=%2Fetc&folder=%2Fetc&epochs=200&size=224&depth=12&heads=12&head_dim=64&patch=4&batch=512")
    expect(page.get_by_text("This is a public demo")).to_be_visible()
    expect(page.get_by_text("30 epochs and 5 min of training").first).to_be_visible()
    settled(page)
    expect(page.get_by_role("combobox", name="Data set")).to_have_value("Scenes")
    expect(page.get_by_role("textbox", name="Path of the folder or file")).to_have_count(0)
    page.get_by_text("Command for a terminal").click()
    command = page.locator("code", has_text="python -m vit train")
    expect(command).to_be_visible()
    text = command.inner_text()
    assert str(data_dir()) not in text
    assert not re.search(r"--epochs (?!30\b)|--depth (?![1-6]\b)|--image-size (?!32|48|64)", text)
    page.get_by_role("button", name="Start training").click()
    expect(page.locator(".st-key-stop")).to_be_visible()
    (run,) = runs.list_runs()
    limits.DemoLimits().check(run.config)
