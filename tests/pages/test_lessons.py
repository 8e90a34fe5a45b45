"""The lessons' pages: a guess first, then the measured answer; links that set up what they promise; one's own runs."""

import json
import re
from urllib.parse import parse_qs

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages import access
from pages.lessons import experiment, picture
from pages.lessons.lesson_list import LESSONS
from pages.server.limits import DemoLimits
from pages.train.choices import RECIPE_FIELDS, ViTSpace
from pages.ui import cached_models
from tests.helpers.serving import ROOT
from tests.pages.opening import open_page
from vit import data, lessons, runs
from vit.config import MODELS
from vit.jobs import control
from vit.lessons import EXPERIMENTS, Stored
from vit.support import hardware
from vit.support.intervals import wilson_interval

TRAINED = [lesson for lesson in LESSONS if lesson.experiment]


def words(app: AppTest) -> str:
    return "\n".join(element.value for element in [*app.markdown, *app.caption, *app.success, *app.warning, *app.info])


def guessed(name: str, option: int = -1) -> AppTest:
    app = open_page(f"lessons/lesson_{name}")
    app.radio[0].set_value(app.radio[0].options[option]).run()
    assert not app.exception
    return app


def queries(app: AppTest, label: str) -> list[dict[str, str]]:
    """What the links of this label say."""
    found = [link.proto.query_string for link in app.page_link if link.value == label]
    return [{key: value[0] for key, value in parse_qs(query).items()} for query in found]


@pytest.fixture
def launched(monkeypatch) -> list[str]:
    """Jobs that were started, without their processes."""
    names = []
    monkeypatch.setattr(control, "_launch", lambda run, command: names.append(run.name))
    return names


def finished(name: str, config, accuracy: float) -> runs.Run:
    run = runs.create(name, config)
    best = {"val_accuracy": accuracy, "epoch": 1}
    runs.update_status(run.path, state="finished", best=best, validated=True, message="It was so.")
    (run.path / runs.MODEL).write_bytes(b"")
    return run


# Guess and answer


def test_the_index_leads_to_every_lesson(home):
    links = [link.value for link in open_page("lessons").page_link]
    titles = [f"**{number}. {lesson.title}**" for number, lesson in enumerate(LESSONS, 1)]
    assert links == [*titles, "Open or join a board"]


def test_every_lesson_begins_with_a_picture_and_has_a_sheet(home):
    assert len(open_page("lessons").get("image")) == 3  # two pictures need the included model, which is not here
    for lesson in LESSONS:
        app = open_page(f"lessons/lesson_{lesson.name}")
        assert bool(app.get("image")) == (lesson.name in ("depth", "patches", "little"))
        assert [button.label for button in app.get("download_button")] == ["Sheet to print"]


def test_the_pictures_of_the_included_model_show_its_heads_and_what_is_covered(home, monkeypatch):
    monkeypatch.setenv("VIT_CHECKPOINTS", str(ROOT / "checkpoints"))
    heads, evidence = (picture.panels(lesson) for lesson in (LESSONS[0], LESSONS[-1]))
    assert [panel.title for panel in heads] == ["The image", *(f"Head {n}" for n in range(1, 5)), "Mean of the heads"]
    plain, _, covered, _ = (np.asarray(panel.image.convert("RGB")).astype(int) for panel in evidence)
    changed = (plain != covered).any(axis=-1).mean()
    assert 0.2 < changed <= 0.25


def test_progress_is_marked_on_the_list(home, launched):
    finished("mine", EXPERIMENTS["heads-short"][1].seeded(4), 0.42)
    app = guessed("heads", option=0)
    app.switch_page("lessons/page.py").run()
    marks = [badge.value for badge in app.markdown if "badge[" in badge.value]
    assert sum("Guessed" in mark for mark in marks) == 1
    assert sum("Runs 1 of 4" in mark for mark in marks) == 1
    assert sum("Answer seen" in mark for mark in marks) == 1


@pytest.mark.parametrize("lesson", LESSONS, ids=[lesson.name for lesson in LESSONS])
def test_the_answer_is_told_after_the_guess_and_not_before(home, lesson):
    app = open_page(f"lessons/lesson_{lesson.name}")
    assert app.title[0].value == lesson.title
    assert not app.error
    assert app.radio[0].value is None
    assert "Answer above (or skip the guess)" in words(app)
    assert not [*app.success, *app.warning, *app.info, *app.get("plotly_chart")]
    right = 0
    for option in app.radio[0].options:
        app.radio[0].set_value(option).run()
        assert not app.exception
        assert not app.error
        assert len([*app.success, *app.warning, *app.info]) == 1
        right += len(app.success)
    assert 1 <= right < len(app.radio[0].options) - 1  # two that are not told apart are both right
    assert app.get("plotly_chart")
    assert "python -m benchmarks.lessons --only" in words(app)


@pytest.mark.parametrize("lesson", TRAINED, ids=[lesson.name for lesson in TRAINED])
def test_the_numbers_in_the_answer_are_the_measured_ones(home, lesson):
    told = guessed(lesson.name).info[0].value
    means = {
        f"{lessons.stored().of(lesson.experiment, variant.name).mean():.1%}"
        for variant in EXPERIMENTS[lesson.experiment]
    }
    said = re.findall(r"\d+\.\d%", told)
    assert said
    assert set(said) <= means


def test_other_figures_give_another_answer(home, monkeypatch):
    stored = lessons.stored()

    def shifted(better: str) -> Stored:
        of = {
            name: tuple(it.model_copy(update={"accuracy": 0.9 if name == better else 0.3}) for it in trainings)
            for name, trainings in stored.trainings["heads"].items()
        }
        return stored.model_copy(update={"trainings": {**stored.trainings, "heads": of}})

    rights = []
    for better in ("h1", ""):
        found = shifted(better)
        monkeypatch.setattr(lessons, "stored", lambda found=found: found)
        app = open_page("lessons/lesson_heads")
        for option in app.radio[0].options[:-1]:
            app.radio[0].set_value(option).run()
            rights += [option] if app.success else []
    assert rights == [app.radio[0].options[0], app.radio[0].options[2]]


# Links


@pytest.mark.parametrize("name", ["heads", "patches"])
def test_train_opens_with_the_controls_of_the_run_wherever_they_stood(home, name):
    app = open_page("train")
    app.select_slider(key="heads").set_value(7).run()
    app.select_slider(key="depth").set_value(5).run()
    app.switch_page(f"lessons/lesson_{name}.py").run()
    variant = EXPERIMENTS[f"{name}-short"][2]
    app.button(key=f"set_{variant.name}").click().run()
    assert not app.exception
    assert app.title[0].value == "Train"
    assert app.code[0].value == access.command(variant.config, None)
    assert set(experiment.train_values(variant.config)) >= set(own_controls(variant))


def own_controls(variant) -> dict:
    space = ViTSpace(MODELS["vit"], data.describe("scenes"), tuple(hardware.devices()))
    return space.own_defaults() | dict.fromkeys(RECIPE_FIELDS)


def test_links_carry_names_that_the_pages_they_lead_to_understand(home, launched):
    for lesson in TRAINED:
        finished(lesson.name, EXPERIMENTS[lesson.experiment][-1].config, 0.5)
    for lesson in LESSONS:
        for link in guessed(lesson.name).page_link:
            page, names = link.proto.page, parse_qs(link.proto.query_string)
            for name in names:
                assert understood(page, name), (lesson.name, page, name)


def understood(page: str, name: str) -> bool:
    """Whether the page, or what it is made of, has a control of this name, or asks the address for it."""
    rooms = (page.replace("-", "_"), "ui", "relevance", "train", "lessons")
    files = [file for room in rooms for file in (ROOT / "pages" / room).rglob("*.py")]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    made = r"(?:key=|query_params\.get\(|(?:slider|choice|number|complete)\(\s*)"
    return re.search(rf'{made}"{name}"', text) is not None


# One's own runs


def test_the_button_queues_what_is_missing_as_ordinary_runs(home, launched):
    lesson = LESSONS[0]
    experiment = f"{lesson.experiment}-short"
    mine = finished("mine", EXPERIMENTS[experiment][1].seeded(4), 0.42)
    app = open_page(f"lessons/lesson_{lesson.name}")
    app.button(key=f"queue_{lesson.name}").click().run()
    assert not app.exception
    found = lessons.own_runs(experiment, runs.list_runs())
    assert set(found) == {variant.name for variant in EXPERIMENTS[experiment]}
    assert len(launched) == len(found) - 1
    assert mine.name not in launched
    assert "You have trained, or are training, all of these runs." in words(app)


def test_ones_own_run_stands_beside_the_measured_figures(home, launched):
    finished("mine", EXPERIMENTS["heads"][2].seeded(4), 0.4242)
    app = open_page("lessons/lesson_heads")
    app.session_state["version"] = experiment.FULL
    app.radio[0].set_value(app.radio[0].options[-1]).run()
    assert '"Your runs"' in app.get("plotly_chart")[0].proto.spec
    assert "42.4%" in app.table[0].value.to_string()
    assert queries(app, "See your run") == [{"runs": "mine"}]
    assert queries(app, "Attention of the class token") == [{"run": "mine", "token": "0"}]


def charts(app: AppTest) -> list[dict]:
    return [json.loads(chart.proto.spec) for chart in app.get("vega_lite_chart")]


def test_charts_show_each_run_with_its_interval_and_what_can_be_told_apart(home, launched):
    one, _, four, eight = EXPERIMENTS["heads-short"]
    for variant, accuracy in ((one, 0.3), (four, 0.5), (eight, 0.51)):
        run = finished(variant.name, variant.seeded(4), accuracy)
        lines = [{"event": "epoch", "epoch": n, "step": n, "val_accuracy": 0.1 * n} for n in (1, 2)]
        runs.append_metrics(run.path, [*lines, {"event": "step", "step": 3, "loss": 1.0}])
    app = open_page("lessons/lesson_heads")
    assert len(charts(app)) == 2
    mine = {"h1": [run for run in runs.list_runs() if run.name == "h1"]}
    (point,) = experiment.reached("heads-short", mine)
    assert (point.value, point.low, point.high) == pytest.approx((0.3, *wilson_interval(300, 1000)))
    said = words(app)
    assert f"**{four.title}** against **{one.title}**: +20.0 points" in said
    assert re.search(rf"{eight.title}\*\* against \*\*{four.title}\*\*: \+1.0 points \(.*\), not distinguishable", said)
    assert "3 of 3 runs have ended" in [bar.proto.text for bar in app.get("progress")]


def test_a_run_of_equal_seed_counts_once(home):
    variant = EXPERIMENTS["heads-short"][0]
    found = [finished(f"run-{n}", variant.seeded(seed), 0.3 + 0.1 * seed) for n, seed in enumerate((0, 0, 1))]
    assert sorted(experiment.accuracies({variant.name: found}, variant)) == [0.3, 0.4]


def test_the_epochs_of_a_run_are_read_once_and_again_after_a_restart(home):
    run = finished("mine", EXPERIMENTS["heads-short"][0].config, 0.5)
    runs.append_metrics(run.path, [{"event": "epoch", "epoch": n, "step": n} for n in (1, 2)])
    assert [line["epoch"] for line in cached_models.epochs_of(run)] == [1, 2]
    runs.append_metrics(run.path, [{"event": "epoch", "epoch": 3, "step": 3}])
    assert [line["epoch"] for line in cached_models.epochs_of(run)] == [1, 2, 3]
    (run.path / runs.METRICS).write_text('{"event": "epoch", "epoch": 1, "step": 1}\n')
    assert [line["epoch"] for line in cached_models.epochs_of(run)] == [1]


def test_a_demo_takes_the_runs_of_every_short_version():
    demo = DemoLimits()
    for lesson in TRAINED:
        variants = EXPERIMENTS[lessons.short_version(lesson.experiment)]
        assert len(variants) <= demo.runs
        for variant in variants:
            demo.check(variant.config)
