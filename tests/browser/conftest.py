"""A real Chromium against a real server; without a Chromium these tests skip, except in continuous integration."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.helpers.exported_pages import Exported, make_exports
from tests.helpers.serving import PATIENCE, chromium_path, launch, serving


@pytest.fixture(scope="module")  # it ends with these tests: others look at what processes are left
def chromium() -> Browser:
    if chromium_path() is None:
        if os.environ.get("CI"):
            pytest.fail("continuous integration must run the browser tests, but there is no Chromium here")
        pytest.skip("no Chromium on this machine: install it (apt-get install chromium) to run the browser tests")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


def visit(page: Page, path: str) -> None:
    """Go to a page of the app as the Back button does: faster than ``page.goto``, which loads the whole app again."""
    page.evaluate(
        "path => { history.pushState({}, '', path); dispatchEvent(new PopStateEvent('popstate', {state: {}})) }", path
    )


@pytest.fixture
def address(home) -> str:
    """The address of a new server over the empty folders of ``home``."""
    with serving() as address:
        yield address


@pytest.fixture(scope="session")
def shared_server(workshop, tmp_path_factory) -> Iterator[tuple[Path, str]]:
    """One server over the three trained runs, for all tests that change no run: its folder and its address."""
    folder = tmp_path_factory.mktemp("shared_server")
    shutil.copytree(workshop, folder, dirs_exist_ok=True)
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            _use(folder, patch)
            address = stack.enter_context(serving())
        yield folder, address


@pytest.fixture
def shared_address(shared_server, monkeypatch) -> str:
    """The address of the shared server; the test itself uses the same folders."""
    folder, address = shared_server
    _use(folder, monkeypatch)
    return address


def _use(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("VIT_CHECKPOINTS", str(folder / "checkpoints"))
    patch.setenv("VIT_DATA", str(folder / "data"))


@pytest.fixture(scope="session")
def web_pages(workshop, tmp_path_factory) -> dict[str, Exported]:
    """The exported pages of three runs."""
    return make_exports(workshop, tmp_path_factory.mktemp("web_pages"))


@pytest.fixture
def page(chromium, address) -> Page:
    context = chromium.new_context(viewport={"width": 1400, "height": 1000}, base_url=address)
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


def list_all_pages(page: Page) -> None:
    """Let the sidebar list every page; the browser remembers it."""
    page.get_by_test_id("stSidebar").get_by_text("All pages", exact=True).click()
    expect(page.get_by_test_id("stSidebarNav").get_by_role("link", name="Side by side")).to_be_visible()
