"""A page of the app in Streamlit's own test harness, always by way of the router."""

from streamlit.testing.v1 import AppTest

from tests.serving import ROOT

ROUTER = str(ROOT / "pages" / "_router.py")


def open_page(name: str, **link: str) -> AppTest:
    """The page ``name`` as a link with these query parameters opens it; it must come up without an exception."""
    app = AppTest.from_file(ROUTER, default_timeout=60).run()
    app.switch_page(f"{name}.py")
    for key, value in link.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    return app
