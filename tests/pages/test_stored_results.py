"""Results of long computations survive a restart of the server; visitors store only those of their own runs."""

import time

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pages import access
from tests.pages.opening import open_page
from vit import runs

WORK = {
    "portraits": "vit.explain.heads.portraits.portraits",
    "importance": "pages.heads.importance.head_importance",
    "pruning": "pages.heads.pruning.pruning",
    "similarity": "vit.explain.heads.layer_similarity.grams",
    "faithfulness": "vit.explain.measure_faithfulness",
    "answers": "vit.evaluation.evaluate",
}
"""The function that computes each kind of result."""

VIEWS = {
    "portraits": ("heads", {"view": "Portraits"}, "plotly_chart"),
    "pruning": ("heads", {"view": "Importance"}, "plotly_chart"),  # it needs the importance, too
    "similarity": ("heads", {"view": "Similarity of layers"}, "plotly_chart"),
    "faithfulness": ("faithfulness", {"n": "25"}, "dataframe"),
    "answers": ("evaluate", {}, "metric"),
}
"""The page, its link, and an element that it shows with the result."""


def restart() -> None:
    """Forget what a server has in memory."""
    st.cache_resource.clear()
    st.cache_data.clear()


def shown(name: str, link: dict[str, str], element: str) -> AppTest:
    """Open a page, and wait until it shows the result."""
    app = open_page(name, **link)
    end = time.monotonic() + 60
    while not app.get(element):
        assert time.monotonic() < end
        if buttons := [one for one in app.button if one.label.startswith(("Measure", "Evaluate"))]:
            buttons[0].click()
        app.run()
        assert not app.exception
        time.sleep(0.1)
    return app


def said(app: AppTest) -> list[str]:
    return [one.value for kind in ("markdown", "caption", "metric", "dataframe") for one in app.get(kind)]


def has_names(app: AppTest) -> bool:
    """Return whether the tiles of the heads have names."""
    return any("what patches attend to in 30 images" in str(one.proto) for one in app.get("bidi_component"))


@pytest.mark.parametrize("kind", VIEWS)
def test_a_result_is_shown_at_once_after_a_restart(trained, monkeypatch, kind):
    name, link, element = VIEWS[kind]
    before = said(shown(name, link, element))
    restart()
    for work in WORK.values():
        monkeypatch.setattr(work, None)
    app = open_page(name, **link)
    assert app.get(element)
    assert [str(one) for one in said(app)] == [str(one) for one in before]


def test_the_names_of_heads_on_attention_survive_a_restart(trained):
    shown("heads", {"view": "Portraits"}, "plotly_chart")
    restart()
    app = open_page("attention", run="tiny")
    assert has_names(app)
    assert not [one for one in app.button if one.label.startswith("Name the heads")]


def test_a_result_is_not_shown_for_other_weights(trained):
    shown("heads", {"view": "Portraits"}, "plotly_chart")
    restart()
    with (runs.get_run("tiny").path / runs.MODEL).open("r+b") as file:
        file.seek(-4, 2)
        file.write(b"\0\0\0\x3f")
    app = open_page("attention", run="tiny")
    assert not has_names(app)


def test_a_visitor_stores_nothing_in_the_run_of_another(trained, monkeypatch):
    monkeypatch.setattr(access, "may_change", lambda run: False)
    shown("evaluate", {}, "metric")
    assert not (runs.get_run("tiny").path / "results").exists()
