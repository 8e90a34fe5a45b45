"""Overview: what a first visitor sees."""

import re
import shutil
import time
from datetime import UTC, datetime

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from pages.ui.wording import age
from tests.pages.opening import ROUTER, router_pages
from vit import runs


def overview() -> AppTest:
    app = AppTest.from_file(ROUTER, default_timeout=60).run()
    assert not app.exception
    return app


def words(app: AppTest) -> str:
    return "\n".join(element.value for element in [*app.markdown, *app.caption])


def labels(app: AppTest) -> set[str]:
    return {link.value for link in app.main.get("page_link")}


def test_without_runs_the_page_says_so_and_links_to_the_other_pages(home):
    app = overview()
    assert "No runs yet" in words(app)
    assert {"Published models", "Classify your own picture", "Glossary", "Choose images, heads and depth"} <= labels(
        app
    )
    assert "All runs" not in labels(app)


def test_every_page_of_the_sidebar_is_linked(home):
    listed = [page for page in router_pages() if page.visibility == "visible" and page.url_path]
    assert len(listed) > 12
    linked = {link.proto.page for link in overview().main.get("page_link")}
    assert {page.url_path for page in listed} <= linked


def test_each_run_is_listed_with_its_accuracy(several):
    app = overview()
    scores = [metric.value for metric in app.metric]
    for run in runs.list_runs():
        assert run.name.replace("-", r"\-") in words(app)
        assert f"{run.best['val_accuracy']:.1%}" in scores
    assert "All runs" in labels(app)


def test_the_map_of_each_run_is_drawn_beside_it(several):
    app = overview()
    end = time.monotonic() + 60
    while len(app.get("image")) < 3 and time.monotonic() < end:
        time.sleep(0.1)
        app.run()
    assert len(app.get("image")) == 3
    assert not app.exception


def test_only_the_newest_five_of_twenty_runs_are_listed_with_their_age_and_a_picture_if_there_is_one(twenty):
    newest = runs.list_runs()[0]
    for run in runs.list_runs():
        (run.path / runs.MODEL).unlink()  # without weights, a run has only the picture in its folder
    Image.new("RGB", (600, 400), "red").save(newest.path / runs.PICTURE)
    app = overview()
    assert len(app.metric) == 5
    assert "All 20 runs" in labels(app)
    assert len(app.get("image")) == 1
    assert any(
        re.search(r"2 heads, depth 2, 2 epochs, trained for \d+ s, (just now|\d+ (minute|hour)s? ago)$", one.value)
        for one in app.caption
    )
    (newest.path / runs.PICTURE).write_bytes(b"no picture")
    app = overview()
    assert not app.get("image")
    assert not app.error


def test_the_shipped_run_shows_its_accuracy(trained):
    shutil.move(trained / "checkpoints" / "tiny", trained / "checkpoints" / runs.SHIPPED_RUN)
    best = runs.find_run(runs.SHIPPED_RUN).best
    app = overview()
    assert f"It is right on **{best['val_accuracy']:.1%}** of its validation images." in words(app)
    assert {"See its attention", "Classify your own picture", "See its mistakes"} <= labels(app)


def test_a_folder_that_cannot_be_read_is_named(trained):
    broken = trained / "checkpoints" / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{")
    assert "The folder broken looks like a run but cannot be read" in words(overview())


@pytest.mark.parametrize(
    ("created", "words"),
    [
        ("2026-03-04T11:59:30+00:00", "just now"),
        ("2026-03-04T11:58:00", "2 minutes ago"),
        ("2026-03-04T12:30:00+02:00", "1 hour ago"),
        ("2026-03-01T12:00:00+00:00", "3 days ago"),
        ("2026-03-05T12:00:00+00:00", ""),
        ("yesterday", ""),
        ("", ""),
    ],
)
def test_an_age_is_said_in_whole_units(created, words):
    assert age(created, datetime(2026, 3, 4, 12, tzinfo=UTC)) == words
