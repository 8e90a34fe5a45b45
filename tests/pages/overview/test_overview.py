"""Overview: what a first visitor sees."""

import shutil

from streamlit.testing.v1 import AppTest

from tests.pages.opening import ROUTER
from vit import runs


def overview() -> AppTest:
    app = AppTest.from_file(ROUTER, default_timeout=60).run()
    assert not app.exception
    return app


def words(app: AppTest) -> str:
    return "\n".join(element.value for element in [*app.markdown, *app.caption])


def test_without_runs_the_page_says_so_and_links_to_the_other_pages(home):
    app = overview()
    assert "No runs yet" in words(app)
    titles = ("Train", "Runs", "Predict", "Attention", "Evaluate", "Anatomy")
    assert {f"**{title}**" for title in titles} <= {link.value for link in app.page_link}
    assert "All runs and comparisons" not in {link.value for link in app.page_link}


def test_each_run_is_listed_with_its_accuracy(several):
    app = overview()
    scores = [metric.value for metric in app.metric]
    for run in runs.list_runs():
        assert run.name.replace("-", r"\-") in words(app)
        assert f"{run.best['val_accuracy']:.1%}" in scores
    assert "All runs and comparisons" in {link.value for link in app.page_link}


def test_the_shipped_run_shows_its_accuracy(trained):
    shutil.move(trained / "checkpoints" / "tiny", trained / "checkpoints" / runs.SHIPPED_RUN)
    best = runs.find_run(runs.SHIPPED_RUN).best
    assert overview().metric[0].value == f"{best['val_accuracy']:.1%}"


def test_a_folder_that_cannot_be_read_is_named(trained):
    broken = trained / "checkpoints" / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{")
    assert "The folder broken looks like a run but cannot be read" in words(overview())
