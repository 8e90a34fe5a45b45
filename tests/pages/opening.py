"""A page of the app in Streamlit's own test harness, always by way of the router."""

from functools import cache
from unittest import mock

import streamlit as st
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from tests.helpers.serving import ROOT

PAGES = ROOT / "pages"
ROUTER = str(PAGES / "_router.py")


def open_page(name: str, **link: str) -> AppTest:
    """The page ``name`` as a link with these query parameters opens it; it must come up without an exception."""
    app = AppTest.from_file(ROUTER, default_timeout=60)
    # As switch_page() does, which needs a run of Overview before it; that takes longer than most pages.
    app._page_hash = calc_hash(_url_paths()[f"{name}.py" if "/" in name else f"{name}/page.py"])
    for key, value in link.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    return app


@cache
def _url_paths() -> dict[str, str]:
    """The address of each page, by its file relative to the folder of pages."""
    return {str(page._page.relative_to(PAGES)): page.url_path for page in router_pages()}


def own_widgets(app: AppTest) -> list:
    """The JavaScript widgets of a page, without those that choose its image."""
    return [
        one for one in app.get("bidi_component") if not one.proto.component_name.rpartition(".")[2].startswith("image_")
    ]


def router_pages() -> list[st.Page]:
    """Every page that the router knows; the sidebar lists the visible ones in its full set."""
    found: list[st.Page] = []
    navigation = st.navigation

    def listen(pages, **options):
        found[:] = [page for group in pages.values() for page in group]
        return navigation(pages, **options)

    with mock.patch.object(st, "navigation", listen):
        app = AppTest.from_file(ROUTER, default_timeout=60)
        app.session_state["all_pages"] = True
        app.run()
    return found
