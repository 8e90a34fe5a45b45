"""What holds for every page of the router: what it is called, what it says where there is nothing to show, what it
tells those who do not see."""

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.helpers.serving import ROOT
from tests.pages.opening import ROUTER, router_pages
from vit import runs

PICTURES = {"image", "plotly_chart", "vega_lite_chart", "echarts_chart", "dataframe", "data_editor"}
"""Elements that need ``alt`` for screen readers."""

EMPTY = "No trained run yet"


@pytest.fixture(scope="module")
def pages():
    return router_pages()


def file_of(page) -> Path:
    return page._page


def test_pages_have_names_of_their_own(pages):
    assert len({page.title for page in pages}) == len({page.url_path for page in pages}) == len(pages)


def test_no_page_shows_a_string_that_is_meant_as_a_comment(pages):
    # Streamlit writes out every expression that stands alone in a page's main script.
    for page in pages:
        for node in ast.parse(file_of(page).read_text()).body[1:]:
            shown = isinstance(node, ast.Expr) and not isinstance(node.value, ast.Call)
            assert not shown, f"{file_of(page).name}, line {node.lineno}"


def calls(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in PICTURES:
            yield node


def test_every_picture_chart_and_table_has_words_in_its_place():
    found = [(path, call) for path in (ROOT / "pages").rglob("*.py") for call in calls(path)]
    assert len(found) > 30, "the search finds the pages' pictures"
    silent = [
        f"{path.name}:{call.lineno}"
        for path, call in found
        if not any(keyword.arg in ("alt", None) for keyword in call.keywords)
    ]
    assert not silent


@pytest.mark.parametrize("state", ["no run", "a run without weights", "a run whose images are gone"])
def test_every_page_says_what_to_do_where_there_is_nothing_to_show(state, trained, pages):
    run = runs.find_run("tiny")
    if state == "no run":
        shutil.rmtree(run.path)
    elif state == "a run without weights":
        for file in run.path.rglob("*.safetensors"):
            file.unlink()
    else:
        missing = run.config.data.model_copy(update={"source": str(trained / "elsewhere")})
        runs.write_config(run.path, run.config.model_copy(update={"data": missing}))
    app = AppTest.from_file(ROUTER, default_timeout=60).run()
    for page in pages:
        name = str(file_of(page).relative_to(ROOT / "pages"))
        app.switch_page(name).run()
        assert not app.exception, name
        assert app.title, name
        if state == "a run whose images are gone":
            assert all(
                "choose an existing folder, zip or table of images" in error.value.replace("\\", "")
                for error in app.error
            ), name
            continue
        assert not app.error, name
        if any(EMPTY in one.value for one in app.markdown):
            assert "Train a model" in [link.label for link in app.main.get("page_link")], name
            assert (state == "no run") != any("no weights yet" in one.value for one in app.caption), name
