"""Signing in, as people do it, with a provider of our own."""

import re
import socket

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from pages.server.limits import owner_mark
from tests.browser.conftest import PATIENCE
from tests.helpers.openid import providing, write_secrets
from tests.helpers.serving import serving, waiting_run

pytestmark = pytest.mark.browser

USERS = {
    "ada": {"name": "Ada *L.* <b>", "email": "Ada@Uni.example", "email_verified": True},
    "bob": {"name": "Bob", "email": "bob@uni.example", "email_verified": True},
    "eve": {"name": "Eve", "email": "eve@elsewhere.example", "email_verified": True},
    "mal": {"name": "Mal", "email": "mal@uni.example", "email_verified": False},
}


@pytest.fixture(scope="module")
def provider():
    with providing(USERS) as provider:
        yield provider


@pytest.fixture(scope="module")
def address(provider, tmp_path_factory) -> str:
    """A demo for addresses of uni.example, with a run for all visitors, one of Ada's and one of Bob's."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIT_DEMO", "1")
        patch.setenv("VIT_CHECKPOINTS", str(folder / "checkpoints"))
        patch.setenv("VIT_DATA", str(folder / "data"))
        ada, bob = (owner_mark("account", provider.address, f"number of {user}") for user in ("ada", "bob"))
        rules = 'allowed = ["*@uni.example"]'
        secrets = write_secrets(folder / "secrets.toml", provider.address, sign_in=rules)
        with (
            waiting_run("of-all"),
            waiting_run("of-ada", ada),
            waiting_run("of-bob", bob),
            serving(secrets=secrets) as address,
        ):
            yield address


def visit(chromium: Browser, address: str) -> Page:
    context = chromium.new_context(viewport={"width": 1400, "height": 800}, base_url=address)
    context.set_default_timeout(PATIENCE)
    return context.new_page()


def sign_in(page: Page, user: str) -> None:
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name=user, exact=True).click()


def sign_out(page: Page) -> None:
    """Out of this server and of the provider, and back to the first page."""
    with page.expect_request(re.compile("/sign-out")):
        page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(re.compile("127.0.0.1:[0-9]+/$"))
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def cookies(context: BrowserContext) -> dict[str, dict]:
    return {cookie["name"]: cookie for cookie in context.cookies()}


def test_people_sign_in_see_their_link_and_their_own_runs_and_sign_out(chromium, address, provider):
    page = visit(chromium, address)
    page.goto("/runs?runs=of-all")
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    assert page.get_by_role("heading").all_inner_texts() == ["Attention explorer"]
    expect(page.get_by_test_id("stSidebarNav")).to_have_count(0)
    expect(page.get_by_text("of-all")).to_have_count(0)

    sign_in(page, "ada")
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    assert re.search(r"/runs\?runs=of-all$", page.url)  # the link that was asked for
    expect(page.get_by_text("Signed in as Ada *L.* <b>")).to_be_visible()
    expect(page.get_by_test_id("stSidebar").get_by_text("of-ada")).to_be_visible()
    expect(page.get_by_text("of-bob")).to_have_count(0)
    held = cookies(page.context)["_streamlit_user"]
    assert held["httpOnly"]
    assert held["sameSite"] == "Lax"
    page.reload()
    expect(page.get_by_text("Signed in as")).to_be_visible()

    other = visit(chromium, address)
    other.goto("/runs")
    sign_in(other, "bob")
    expect(other.get_by_test_id("stSidebar").get_by_text("of-bob")).to_be_visible()
    expect(other.get_by_text("of-ada")).to_have_count(0)
    other.context.close()

    sign_out(page)
    assert provider.signed_out == [f"{address}/oauth2callback"]
    assert "_streamlit_user" not in cookies(page.context)
    page.goto("/attention?run=of-all")
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    page.context.close()


def test_who_is_not_on_the_list_stays_outside_with_a_sentence_and_a_way_out(chromium, address):
    for user, sentence in (("eve", "not on the list"), ("mal", "has not verified")):
        page = visit(chromium, address)
        page.goto("/train")
        sign_in(page, user)
        expect(page.get_by_text(sentence)).to_be_visible()
        expect(page.get_by_test_id("stSidebarNav")).to_have_count(0)
        expect(page.get_by_test_id("stButton")).to_have_count(1)
        sign_out(page)
        page.context.close()


def test_who_says_no_to_the_provider_comes_back_to_a_sentence(chromium, address):
    page = visit(chromium, address)
    page.goto("/heads?run=of-all")
    sign_in(page, "nobody")
    expect(page.get_by_text("You are not signed in")).to_be_visible()
    assert page.url.endswith("/heads?run=of-all")
    page.context.close()


def test_a_provider_that_cannot_be_reached_is_one_line_in_the_log_and_a_sentence_on_the_page(chromium, home):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nowhere = f"http://127.0.0.1:{listener.getsockname()[1]}"
    log = home / "log.txt"
    with serving(secrets=write_secrets(home / "secrets.toml", nowhere), log=log) as address:
        page = visit(chromium, address)
        page.goto("/evaluate")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("You are not signed in")).to_be_visible()
        assert page.url.endswith("/evaluate")
        page.context.close()
    (line,) = (line for line in log.read_text().splitlines() if "ConnectError" in line)
    assert "Check [auth]" in line
    assert "Traceback" not in log.read_text()
