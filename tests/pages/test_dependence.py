"""Attention dependence on the pages: the line where it is low, the figures, and measuring on demand."""

import time

import pytest

from tests.helpers.dependence import LOW, measured
from tests.helpers.record_tables import cells
from tests.pages.opening import open_page
from vit import runs
from vit.runs.dependence import MEANING, read_dependence, write_dependence

LINE = "This network's answer hardly depends on its attention (98.6% → 89.0% without any head)."
WITH_MAPS = (
    "attention",
    "relevance",
    "intervene",
    "faithfulness",
    "timelapse",
    "compare",
    "heads",
    "tokens",
    "anatomy",
)


def lines(app) -> list[str]:
    return [warning.value for warning in app.warning if "hardly depends" in warning.value]


def said(app) -> str:
    return "\n".join(markdown.value for markdown in app.markdown)


def test_every_page_that_shows_maps_says_where_the_dependence_is_low(trained):
    run = runs.get_run("tiny")
    write_dependence(run.path, LOW)
    for page in (*WITH_MAPS, "evaluate"):
        assert lines(open_page(page)) == [LINE], page
    write_dependence(run.path, measured())
    assert not lines(open_page("attention"))


def test_two_runs_side_by_side_are_named(several):
    write_dependence(runs.get_run("tiny").path, LOW)
    assert lines(open_page("compare", run="tiny", run2="tiny-mean")) == [f"**tiny**: {LINE}"]


def test_the_heads_page_measures_on_demand_and_stores_the_result(trained):
    run = runs.get_run("tiny")
    assert read_dependence(run) is None
    app = open_page("heads", run="tiny", view="Attention dependence")
    end = time.monotonic() + 60
    while not app.dataframe and time.monotonic() < end:  # it starts by itself for a network of this size
        time.sleep(0.2)
        app.run()
    assert not app.exception
    found = read_dependence(run)
    assert found.images == 30
    table = app.dataframe[0].value
    assert list(table["Accuracy lost"]) == pytest.approx([100 * head.lost for layer in found.layers for head in layer])
    assert list(table["On the object"]) == pytest.approx(
        [100 * head.inside for layer in found.layers for head in layer]
    )
    assert f"| Attention dependence | **{found.text}** | {MEANING} |" in said(app)
    assert f"| Accuracy without heads | **{found.without_heads:.1%}** |" in said(app)


def test_runs_and_evaluate_show_the_share_or_that_it_is_not_measured(several):
    write_dependence(runs.get_run("tiny").path, measured(0.9, 0.2, 0.55))
    app = open_page("runs")
    columns = next(one for one in app.get("button_group") if one.label == "Columns of the table")
    columns.set_value(["Attention dependence"]).run()
    shares = {name: line["Attention dependence"] for name, line in cells(app).items()}
    assert shares == {"tiny": "50.0%", "tiny-mean": "–", "tiny-deep": "–"}
    assert "Attention dependence: **50%**" in said(open_page("evaluate", run="tiny"))
    app = open_page("evaluate", run="tiny-mean")
    assert "Attention dependence: **not measured**" in said(app)
    assert "Measure it" in [link.value for link in app.main.get("page_link")]
