"""Links to runs and images: what they name in vain is said, and without one the run that was looked at last opens."""

import re

import pytest
from streamlit.testing.v1 import AppTest

from pages.ui.navigation import without_carried
from pages.ui.run_doubts import AT_CHANCE
from tests.helpers.serving import ROOT, waiting_run
from tests.pages.opening import ROUTER, open_page
from tests.runs.test_chance import set_accuracy
from vit import runs

WITH_RUN = ("predict", "evaluate", "attention", "relevance", "tokens", "heads", "compare", "intervene", "timelapse")
WITH_RUN = (*WITH_RUN, "faithfulness", "anatomy")
WITH_IMAGE = ("attention", "relevance", "tokens", "compare", "intervene", "timelapse", "faithfulness")


@pytest.mark.parametrize(
    ("query", "carried", "kept"),
    [
        ("run=a&image=b&run=c", {"run": ["c"]}, "run=a&image=b"),  # the link's run, not that of the page that is left
        ("run=a&layer=2", {"run": ["a"], "layer": ["2"]}, ""),
        ("run=a", {}, "run=a"),
        ("run=a", {"run": ["b"]}, "run=a"),  # nothing was appended
        ("runs=a&runs=b&runs=a&runs=c", {"runs": ["a", "c"], "token": []}, "runs=a&runs=b"),
        ("find=&x=1%202", {}, "find=&x=1+2"),
    ],
)
def test_a_link_keeps_its_own_parameters(query, carried, kept):
    assert without_carried(query, carried) == kept


def test_pages_leave_only_by_the_way_that_works_from_every_state():
    for path in (ROOT / "pages").rglob("*.py"):
        calls = re.findall(r"st\.switch_page\(", path.read_text())
        assert not calls or path.name == "navigation.py", path


def warnings(app: AppTest) -> list[str]:
    return [one.value for one in app.warning if one.value.startswith("There is no")]


def address(app: AppTest, key: str) -> str:
    value = app.query_params[key]
    return value if isinstance(value, str) else value[-1]


def badges(app: AppTest) -> str:
    return "\n".join(one.value for one in app.markdown if "-badge[" in one.value)


def test_every_page_says_what_a_link_names_in_vain_and_shows_the_address_of_what_it_shows(trained):
    app = AppTest.from_file(ROUTER, default_timeout=60).run()
    for page in WITH_RUN:  # in one session, so that each link comes from a page with another run
        app.switch_page(f"{page}/page.py")
        app.query_params.update({"run": "nope", "image": "val-99999"} if page in WITH_IMAGE else {"run": "nope"})
        app.run()
        assert not app.exception, page
        image = ["There is no validation image 99,999 of this run: the last one is 29. Showing **val\\-29** instead."]
        assert warnings(app) == ["There is no run **nope**. Showing **tiny** instead."] + image * (page in WITH_IMAGE)
        assert address(app, "run") == "tiny", page
        assert page not in WITH_IMAGE or address(app, "image") == "val-29", page
        assert AT_CHANCE in badges(app) or not runs.get_run("tiny").best, page
        app.query_params.clear()


def test_a_sentence_stays_until_something_else_is_chosen(several):
    app = open_page("compare", run="tiny", image="val-3", run2="gone", image2="pic-0123456789abcdef")
    said = warnings(app)
    assert [text[:30] for text in said] == [
        "There is no run **gone**. Choose"[:30],
        "There is no uploaded image **pic"[:30],
    ]
    app.number_input(key="token").set_value(3).run()
    assert warnings(app) == said
    app.selectbox(key="run2").set_value("tiny-deep").run()
    assert len(warnings(app)) == 1
    app.switch_page("attention/page.py").run()
    assert not warnings(app)


def test_pages_open_on_the_run_that_was_looked_at_last_else_on_the_best_finished_one(several):
    for name, accuracy in {"tiny": 0.8, "tiny-mean": 0.5, "tiny-deep": 0.2}.items():
        set_accuracy(name, accuracy)
    assert runs.list_runs()[0].name != "tiny"
    app = open_page("attention")
    assert app.selectbox(key="run").value == "tiny"
    assert not badges(app).count(AT_CHANCE)
    app.selectbox(key="run").set_value("tiny-deep").run()
    assert AT_CHANCE in badges(app)
    with waiting_run("begun"):
        app.switch_page("train/page.py")
        app.query_params["follow"] = "begun"  # it has no weights yet
        app.run()
        assert app.selectbox(key="run").value == "begun"
        app.switch_page("evaluate/page.py").run()
        assert app.selectbox(key="run").value == "tiny-deep"
        assert not warnings(app)
    assert AT_CHANCE in badges(app)


def test_a_badge_says_which_epoch_a_training_has_reached(trained):
    run = set_accuracy("tiny", 0.9, state="running", epoch=1)
    with runs.run_lock(run.path):
        for page in ("attention", "predict"):
            assert "training, epoch 2 of 2" in badges(open_page(page, run="tiny")), page
    assert "training, epoch" not in badges(open_page("attention", run="tiny"))


def test_a_link_with_settings_opens_the_form_while_a_run_is_active(several):
    with waiting_run("busy"):
        assert open_page("train").segmented_control(key="show").value == "Follow a run"
        app = open_page("train", depth="3", epochs="4")
        assert app.segmented_control(key="show").value == "New run"
        assert "--depth 3" in app.code[0].value
        assert "--epochs 4" in app.code[0].value
        assert open_page("train", run="busy").segmented_control(key="show").value == "Follow a run"
