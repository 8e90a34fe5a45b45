"""Errors that no page handles become a sentence with a reference number; the log has the traceback."""

import re

import pytest
from streamlit import config
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.local_script_runner import LocalScriptRunner

from pages.ui.unexpected import show_unexpected
from tests.helpers.serving import ROOT


@pytest.fixture(autouse=True)
def _handled(monkeypatch):
    """Let the test's script runner use the handler, as the server does."""
    original = LocalScriptRunner.__init__

    def init(self, *arguments, **settings):
        original(self, *arguments, **settings)
        self._on_script_error = show_unexpected

    monkeypatch.setattr(LocalScriptRunner, "__init__", init)


def in_the_page():
    raise KeyError("/srv/secret/models")


def in_a_fragment():
    import streamlit as st

    @st.fragment
    def part():
        st.caption("the fragment")
        if st.button("Break", key="break"):
            raise OSError(2, "No such file", "/srv/secret/models")

    st.caption("the page")
    part()


def refused_in_a_fragment():
    import streamlit as st

    from vit.errors import DataError

    @st.fragment
    def part():
        if st.button("Break", key="break"):
            raise DataError("This image cannot be read.")

    part()


def assert_reference(app: AppTest, log: str) -> None:
    assert not app.exception
    (said,) = app.error
    assert "/srv/secret" not in said.value
    reference = re.search(r"reference \*\*([0-9a-f]{8})\*\*", said.value)[1]
    assert f"Reference {reference}: " in log
    assert "Traceback" in log
    assert "/srv/secret/models" in log


@pytest.fixture
def log(caplog, capfd):
    """Return a function that returns what the server has logged, on its terminal and by its loggers."""
    return lambda: "".join(capfd.readouterr()) + caplog.text


def test_an_error_in_a_page_shows_a_reference_and_no_path(log):
    assert_reference(AppTest.from_function(in_the_page, default_timeout=60).run(), log())


def test_an_error_in_a_fragment_shows_a_reference_within_the_page(log):
    app = AppTest.from_function(in_a_fragment, default_timeout=60).run()
    app.button(key="break").click().run()
    assert_reference(app, log())
    assert [caption.value for caption in app.caption] == ["the page", "the fragment"]


def test_a_mistake_in_a_fragment_is_shown_as_everywhere():
    app = AppTest.from_function(refused_in_a_fragment, default_timeout=60).run()
    app.button(key="break").click().run()
    assert app.error[0].value == "This image cannot be read\\."


def test_the_server_uses_the_handler_and_shows_no_details_without_it():
    settings = (ROOT / ".streamlit" / "config.toml").read_text()
    assert 'showErrorDetails = "none"' in settings
    assert "none" in str(config.get_option("client.showErrorDetails"))
    assert "on_script_error=show_unexpected" in (ROOT / "streamlit_app.py").read_text()
