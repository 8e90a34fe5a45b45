"""Times that pages state: from one measured speed of this machine, or not stated."""

import ast
import re
import shutil
from pathlib import Path

import pytest

from pages.lessons.lesson_list import LESSONS
from pages.ui import waiting
from pages.ui.wording import about
from tests.helpers.serving import ROOT, waiting_run
from tests.pages.opening import open_page
from vit import data, runs
from vit.cost.estimate import Speed, estimate
from vit.flags import configure
from vit.runs import speeds

MINUTE = "drawn scenes from scratch"


def words_of_the_button() -> str:
    return next(text.value for text in open_page("overview").caption if MINUTE in text.value)


def expected_time() -> tuple[str, str]:
    (metric,) = [metric for metric in open_page("train", show="New run").metric if metric.label == "Expected time"]
    return metric.value, metric.help


def test_no_time_is_stated_before_one_was_measured_on_this_machine(home):
    value, explained = expected_time()
    assert value == "—"
    assert explained.startswith("Known after the first steps")
    assert not any("on this machine" in text.value for text in open_page("lessons").caption)
    assert "takes" not in words_of_the_button()


def test_train_lessons_and_button_state_times_from_the_same_speed(home, monkeypatch):
    speed = Speed("", 1e9, 1e10)
    monkeypatch.setattr(speeds, "_brief", {"cpu": speed})
    config, info = configure(preset="minute"), data.describe("scenes")
    seconds = estimate(config, train_count=info.train_count, val_count=info.val_count, speeds=(speed,)).seconds
    assert f"takes {about(seconds)} on this machine" in words_of_the_button()
    assert expected_time()[0] != "—"
    lessons = [text.value for text in open_page("lessons").caption if "on this machine" in text.value]
    assert len(lessons) == sum(bool(lesson.experiment) for lesson in LESSONS)


def test_the_button_names_the_time_until_the_device_is_free(trained):
    assert "It starts when" not in words_of_the_button()
    with waiting_run("live") as run:
        runs.update_status(run.path, state="running", device="cpu", step=10, steps_total=110)
        runs.append_metrics(run.path, [{"event": "step", "step": 10, "epoch": 1, "seconds": 20.0}])
        assert "It starts when the runs before it have ended, in about 3 min 20 s." in words_of_the_button()


def sentences(path: Path) -> list[str]:
    """The strings of a module that are not docstrings."""
    tree = ast.parse(path.read_text())
    bodies = [node.body for node in ast.walk(tree) if isinstance(getattr(node, "body", None), list)]
    apart = {id(line.value) for body in bodies for line in body if isinstance(line, ast.Expr)}
    strings = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return [node.value for node in strings if id(node) not in apart]


def test_no_sentence_states_a_time_that_was_not_measured_here():
    stated = re.compile(
        r"\b(a|an|one|two|three|four|five|ten|few|several|some|\d+) (seconds|minutes?|hours?)\b|of an hour|a while",
        re.I,
    )
    files = [path for folder in ("pages", "vit") for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 300
    assert [text for path in files for text in sentences(path) if stated.search(text)] == []
    assert not stated.search((ROOT / "README.md").read_text())


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "about 5 s"), (57.6, "about 1 min"), (84, "about 1 min 20 s"), (597, "about 10 min"), (3190, "about 53 min")],
)
def test_an_estimate_is_rounded(seconds, words):
    assert about(seconds) == words


def test_the_sidebar_names_the_run_ahead_and_the_time_as_far_as_it_is_known(trained):
    with waiting_run("live") as live, waiting_run("next"), waiting_run("last"):
        runs.update_status(live.path, state="running", device="cpu", step=10, steps_total=110)
        runs.append_metrics(live.path, [{"event": "step", "step": 10, "epoch": 1, "seconds": 20.0}])
        for known in (True, False):
            if not known:  # it has not taken a step, and no other run tells a speed
                (live.path / runs.METRICS).unlink()
                shutil.rmtree(runs.get_run("tiny").path)
            waiting.all_waits.clear()
            app = open_page("train", show="Follow a run", run="next")
            first, second = (text.value.split(": ")[1] for text in app.sidebar.caption if "queue" in text.value)
            start = "next in the queue, after **live**"
            assert first == (f"{start}; starts in about 3 min 20 s" if known else start)
            assert second.startswith("number 2 in the queue, after **next**")
            assert ("starts in about" in second) is known
            assert any(
                f"after **live**{'; starts in about 3 min' if known else '.'}" in it.value for it in app.markdown
            )
