"""Background work: it runs once, shows its progress, can be stopped, and its errors are shown on the page."""

import threading
import time

import pytest
from streamlit.testing.v1 import AppTest

from pages.ui import background
from pages.ui.background import Task, Tasks

PATIENCE = 20.0


def wait(condition) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_work_runs_once_for_each_key_and_its_result_is_kept():
    tasks, calls = Tasks(), []

    def work(progress):
        calls.append(1)
        return 7

    task = tasks.start("a", work)
    assert tasks.start("a", work) is task
    wait(lambda: task.finished)
    assert (tasks.find("a").result, len(calls)) == (7, 1)
    assert tasks.start("a", work) is task


def test_one_task_runs_at_a_time_and_the_others_show_that_they_wait():
    tasks, gate = Tasks(), threading.Event()
    first = tasks.start("a", lambda progress: gate.wait(PATIENCE))
    second = tasks.start("b", lambda progress: 2)
    wait(lambda: first.begun is not None)
    assert second.begun is None
    assert "Waiting" in second.words
    gate.set()
    wait(lambda: second.finished)
    assert second.result == 2


def test_progress_shows_the_share_and_the_time_left():
    tasks, gate = Tasks(), threading.Event()

    def work(progress):
        progress(1, 4)
        gate.wait(PATIENCE)

    task = tasks.start("a", work)
    wait(lambda: task.share == 0.25)
    assert task.words.startswith("25%, about ")
    gate.set()


def test_a_stop_ends_the_work_at_its_next_progress_call_and_it_can_start_again():
    tasks, seen = Tasks(), []

    def work(progress):
        for index in range(1000):
            progress(index, 1000)
            seen.append(index)
            time.sleep(0.01)

    task = tasks.start("a", work)
    wait(lambda: len(seen) > 2)
    task.stop()
    wait(lambda: task.finished)
    assert task.stopped
    assert len(seen) < 1000
    assert tasks.find("a") is task
    again = tasks.start("a", lambda progress: "done")
    wait(lambda: again.finished)
    assert again.result == "done"


def test_old_results_are_removed_but_running_tasks_are_kept():
    tasks, gate = Tasks(), threading.Event()
    slow = tasks.start("slow", lambda progress: gate.wait(PATIENCE))
    for number in range(background.KEPT_MAX + 5):
        tasks.start(number, lambda progress: 0)
    assert tasks.find("slow") is slow
    gate.set()
    wait(lambda: slow.finished)
    last = [tasks.find(number) for number in range(background.KEPT_MAX + 5)][-1]
    wait(lambda: last.finished)
    tasks.start("one more", lambda progress: 0)
    kept = [key for key in ["slow", *range(background.KEPT_MAX + 5)] if tasks.find(key)]
    assert len(kept) <= background.KEPT_MAX


def test_the_time_left_does_not_count_what_an_earlier_try_has_done():
    times, resumed = [], threading.Event()

    def work(progress):
        resumed.wait(PATIENCE)
        progress(50, 100)
        times.append(task.seconds_left)
        task.begun -= 10
        progress(75, 100)
        times.append(task.seconds_left)

    task = Task(work, resumes=True)
    resumed.set()
    task.wait(PATIENCE)
    assert times[0] is None
    assert times[1] == pytest.approx(10, abs=2)


def test_downloads_run_side_by_side():
    tasks, gate = Tasks(one_at_a_time=False), threading.Event()
    slow = tasks.start("slow", lambda progress: gate.wait(PATIENCE))
    wait(lambda: tasks.start("quick", lambda progress: 2).finished)
    assert not slow.finished
    gate.set()


def script(outcome: str, auto: bool):
    import streamlit as st

    from pages.ui.background import background
    from vit.errors import DataError

    def work(progress):
        if outcome == "fails":
            raise DataError("The images are *gone*.")
        return outcome

    result = background(("test", outcome, auto), work, label="Measure", auto=auto)
    if result is not None:
        st.write(f"result: {result}")


@pytest.mark.parametrize("auto", [False, True])
def test_a_button_starts_the_work_or_it_starts_automatically(auto):
    app = AppTest.from_function(script, args=(f"fine-{time.time()}", auto)).run()
    if not auto:
        assert app.button[0].label == "Measure"
        app.button[0].click().run()
    wait(lambda: app.run().markdown)
    assert app.markdown[0].value.startswith("result: fine")


def test_stopped_work_does_not_start_automatically_again():
    key = ("test", f"stopped-{time.time()}", True)
    gate = threading.Event()
    task = background.tasks().start(key, lambda progress: gate.wait(PATIENCE) and progress(1, 2))
    wait(lambda: task.begun is not None)
    task.stop()
    gate.set()
    wait(lambda: task.finished)
    app = AppTest.from_function(script, args=(key[1], True)).run()
    assert [button.label for button in app.button] == ["Measure"]
    app.button[0].click().run()
    wait(lambda: app.run().markdown)
    assert app.markdown[0].value == f"result: {key[1]}"


def test_an_error_is_shown_as_a_sentence_and_the_work_can_be_started_again():
    background.tasks.clear()
    app = AppTest.from_function(script, args=("fails", False)).run()
    app.button[0].click().run()
    wait(lambda: app.run().error)
    assert "The images are" in app.error[0].value
    assert [button.label for button in app.button] == ["Measure"]
    assert not app.exception


def test_an_error_that_is_a_defect_is_raised():
    tasks = Tasks()
    task = tasks.start("a", lambda progress: 1 / 0)
    wait(lambda: task.finished)
    with pytest.raises(ZeroDivisionError):
        background.show_failure(task)
