"""A real Chromium against a real server; where there is no Chromium these tests skip, except in continuous integration."""

import os
import shutil

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.serving import serving

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def chromium() -> Browser:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("continuous integration must run the browser tests, but there is no Chromium here")
        pytest.skip("no Chromium on this machine: install it (apt-get install chromium) to run the browser tests")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def address(home) -> str:
    """Of a fresh server over the empty folders of ``home``."""
    with serving() as address:
        yield address


@pytest.fixture
def page(chromium, address) -> Page:
    context = chromium.new_context(viewport={"width": 1400, "height": 1000}, base_url=address)
    context.set_default_timeout(60_000)
    yield context.new_page()
    context.close()
