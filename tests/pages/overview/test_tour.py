"""The guided tour on Overview, and the training that it ends with."""

import shutil

import pytest
from streamlit.testing.v1 import AppTest

from pages.overview.tour.tour import FIRST_MAP, STEPS
from tests.helpers.dependence import LOW
from tests.pages.opening import open_page
from vit import runs
from vit.jobs import control
from vit.runs.dependence import write_dependence


@pytest.fixture
def shipped(several):
    """The runs "scenes", as the included model, which reads the mean of the patches, and "tiny-deep"."""
    shutil.rmtree(several / "checkpoints" / "tiny")
    shutil.move(several / "checkpoints" / "tiny-mean", several / "checkpoints" / runs.SHIPPED_RUN)
    return several


def heading(app: AppTest) -> str:
    return app.subheader[0].value


def words(app: AppTest) -> str:
    return "\n".join(element.value for element in [*app.markdown, *app.caption])


@pytest.mark.parametrize("step", range(1, len(STEPS) + 1))
def test_a_link_opens_each_step(shipped, step):
    write_dependence(runs.get_run(runs.SHIPPED_RUN).path, LOW)
    app = open_page("overview", tour=str(step))
    assert [warning.value for warning in app.warning] == ([LOW.warning] if step >= FIRST_MAP else [])
    assert heading(app) == f"{step}. {STEPS[step - 1]}"
    assert not app.error
    assert any(link.icon for link in app.get("page_link"))  # the link to the page on this topic


def test_the_tour_goes_forward_and_back_and_is_continued_after_leaving(shipped):
    app = open_page("overview")
    app.button(key="tour_begin").click().run()
    assert heading(app).startswith("1.")
    app.button(key="tour_next").click().run()
    app.button(key="tour_next").click().run()
    assert heading(app).startswith("3.")
    app.button(key="tour_back").click().run()
    assert heading(app).startswith("2.")
    app.button(key="tour_leave").click().run()
    assert "Start here" in [element.value for element in app.subheader]
    assert app.button(key="tour_begin").label == f"Continue the tour at step 2 of {len(STEPS)}"
    app.button(key="tour_begin").click().run()
    assert heading(app).startswith("2.")
    assert not app.exception


@pytest.mark.parametrize("asked", ["0", "7", "many", ""])
def test_an_unknown_step_opens_the_overview(shipped, asked):
    assert "Start here" in [element.value for element in open_page("overview", tour=asked).subheader]


def test_another_scene_begins_with_the_middle_of_its_object(shipped):
    app = open_page("overview", tour="3", patch="1", scene="Cat")
    assert app.number_input(key="tour_patch").value == 1
    app.pills(key="tour_scene").set_value("Dog").run()
    assert not app.exception
    assert 1 < app.number_input(key="tour_patch").value < 16
    app.number_input(key="tour_patch").set_value(16).run()
    assert "Patch 16 divides 100% of its attention over 17 tokens: the shares sum to **1.0000**" in words(app)


def test_step_five_names_the_mean_of_a_mean_pooling_model(shipped):
    assert "takes the **mean of all patch tokens**" in words(open_page("overview", tour="5"))


def test_step_five_names_the_class_token_of_a_model_that_has_one(trained):
    shutil.move(trained / "checkpoints" / "tiny", trained / "checkpoints" / runs.SHIPPED_RUN)
    run = runs.find_run(runs.SHIPPED_RUN)
    config = run.config
    runs.write_config(run.path, config.model_copy(update={"model": config.model.model_copy(update={"pool": "cls"})}))
    assert "the **class token**, belongs to no patch" in words(open_page("overview", tour="5"))


def test_without_the_included_model_the_page_says_what_to_do(home):
    app = open_page("overview", tour="3")
    assert "The included model is missing" in app.info[0].value
    assert app.button(key="train_minute")
    assert "tour_begin" not in [button.key for button in app.button]


def test_one_click_starts_the_run_and_follows_it(home, monkeypatch):
    begun = []
    monkeypatch.setattr(control, "_launch", lambda run, command: begun.append((run.name, command)))
    app = open_page("overview")
    assert "6,000 scenes are drawn first" in words(app)
    app.button(key="train_minute").click().run()
    assert begun == [("minute", "train")]
    assert not app.exception
    assert app.title[0].value == "Train"
    assert app.selectbox(key="run").value == "minute"
