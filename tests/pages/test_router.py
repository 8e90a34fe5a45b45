"""The router: it runs first, whatever page is asked for, and what all pages share is there."""

import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pages.ui import page_set
from tests.conftest import tiny_config
from tests.helpers.serving import ROOT, serving
from tests.pages.opening import ROUTER, open_page, router_pages
from vit import runs


@pytest.fixture
def server(home):
    """The address of a freshly started server, which answers as a browser session would through its agent interface."""
    with serving(wait=False, enableAgentApi="true") as address:
        yield address


def first_request(address: str, body: dict) -> dict:
    """The page that the very first request gets."""
    request = urllib.request.Request(
        f"{address}/_stcore/agent/interact", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    for _ in range(300):
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise AssertionError("the server does not answer")


def test_the_router_runs_when_the_first_request_is_a_deep_link(server):
    answer = first_request(server, {"page": "evaluate", "query_params": {"run": ["nothing"]}})
    text = json.dumps(answer)
    assert answer["status"] == "ready", text[:2000]
    assert '"Evaluate"' in text
    assert "CPU, " in text  # the sidebar
    assert all(f'"{name}"' in text for name in ("train", "predict", "attention"))  # the navigation


@pytest.mark.parametrize("state", ["trained", "several", "twenty"])
def test_every_page_works_with_one_run_several_and_twenty(state, request):
    request.getfixturevalue(state)
    pages = router_pages()
    app = AppTest.from_file(ROUTER, default_timeout=60).run()
    for page in pages:
        app.switch_page(str(page._page.relative_to(ROOT / "pages"))).run()
        assert not app.exception, page.title
        assert not app.error, page.title
        assert app.title[0].value, page.title
        assert len(app.caption) >= 1, page.title


def test_the_first_page_imports_no_torch(trained):
    shutil.copytree(ROOT / "checkpoints" / runs.SHIPPED_RUN, trained / "checkpoints" / runs.SHIPPED_RUN)
    script = f"""
import sys
from streamlit.testing.v1 import AppTest
app = AppTest.from_file({ROUTER!r}, default_timeout=60).run()
assert not app.exception and app.title
assert any("attention_lines" in one.proto.component_name for one in app.get("bidi_component"))
app.switch_page("train/page.py").run()
assert not app.exception
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=120)


def test_the_sidebar_shows_a_run_that_waits(home):
    run = runs.create("patient", tiny_config())
    app = AppTest.from_file(ROUTER, default_timeout=60).run()
    assert not app.exception
    assert [link.value for link in app.sidebar.get("page_link")] == [run.name]


BASIC = ["Overview", "Train", "Runs", "Predict", "Evaluate", "Attention", "Lessons"]


def listed(monkeypatch, app: AppTest) -> list[str]:
    """Run a page, and return the titles of the pages that the sidebar lists."""
    sent = {}
    navigation = st.navigation

    def listen(pages, **options):
        sent.update(pages)
        return navigation(pages, **options)

    monkeypatch.setattr(st, "navigation", listen)
    app.run()
    assert not app.exception
    return [page.title for group in sent.values() for page in group if page.visibility == "visible"]


def test_the_sidebar_lists_the_basic_pages_and_the_open_one_until_all_are_asked_for(home, monkeypatch):
    app = AppTest.from_file(ROUTER, default_timeout=60)
    assert listed(monkeypatch, app) == BASIC
    app.switch_page("glossary/page.py")
    assert listed(monkeypatch, app) == [*BASIC, "Glossary"]
    assert app.title[0].value == "Glossary"
    app.toggle(key="all_pages").set_value(True)
    everything = listed(monkeypatch, app)
    assert everything == [page.title for page in router_pages() if page.visibility == "visible"]
    assert {*BASIC, "Relevance", "Glossary"} < set(everything)
    assert app.get("bidi_component")  # the browser keeps the choice
    app.switch_page("train/page.py")
    assert listed(monkeypatch, app) == everything  # the session keeps it, too


def test_a_browser_that_remembers_all_pages_lists_them_in_a_new_session(home, monkeypatch):
    monkeypatch.setattr(page_set, "_remembered", lambda: True)
    assert "Relevance" in listed(monkeypatch, AppTest.from_file(ROUTER, default_timeout=60))


def test_a_link_leads_to_a_page_outside_the_basic_set(home):
    assert open_page("faithfulness").title[0].value == "Faithfulness"
