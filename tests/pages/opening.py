"""A page of the app in Streamlit's own test harness, always by way of the router."""

from unittest import mock

import streamlit as st
from streamlit.testing.v1 import AppTest

from tests.helpers.serving import ROOT

ROUTER = str(ROOT / "pages" / "_router.py")


def open_page(name: str, **link: str) -> AppTest:
    """The page ``name`` as a link with these query parameters opens it; it must come up without an exception."""
    app = AppTest.from_file(ROUTER, default_timeout=60).run()
    app.switch_page(f"{name}.py" if "/" in name else f"{name}/page.py")
    for key, value in link.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    return app


def router_pages() -> list[st.Page]:
    """Every page that the router knows, those that the sidebar does not list among them."""
    found: list[st.Page] = []
    navigation = st.navigation

    def listen(pages, **options):
        found[:] = [page for group in pages.values() for page in group]
        return navigation(pages, **options)

    with mock.patch.object(st, "navigation", listen):
        AppTest.from_file(ROUTER, default_timeout=60).run()
    return found
