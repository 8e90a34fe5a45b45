"""What queued runs wait for: the run ahead, and the time until they start."""

from contextlib import ExitStack

import pytest

from tests.conftest import tiny_config
from vit import runs
from vit.cost.estimate import estimate
from vit.jobs import queue, waits
from vit.runs.speeds import measured_speeds


@pytest.fixture
def at_work(trained):
    """The run "busy", which trains at 2 s a step and has 50 steps left, before "first" and "second" in the queue."""
    with ExitStack() as held:
        for name in ("busy", "first", "second"):
            run = runs.create(name, tiny_config())
            held.enter_context(runs.run_lock(run.path))
        busy = runs.get_run("busy")
        runs.update_status(busy.path, state="running", device="cpu", step=50, steps_total=100)
        runs.append_metrics(busy.path, [{"event": "step", "step": 50, "epoch": 1, "seconds": 100.0}])
        yield busy


def test_a_waiting_run_waits_for_the_rest_of_the_run_at_work_and_for_all_of_those_before_it(at_work):
    found = waits.waits()
    assert queue.positions() == {"first": 1, "second": 2}
    assert {name: wait.ahead.name for name, wait in found.items()} == {"first": "busy", "second": "first"}
    assert found["first"].seconds == pytest.approx(100.0)
    own = estimate(tiny_config(), train_count=60, val_count=30, speeds=measured_speeds("cpu")).seconds
    assert own > 0
    assert found["second"].seconds == pytest.approx(100.0 + own)
    new = waits.wait_of_new_run("cpu")
    assert (new.ahead.name, new.seconds) == ("second", pytest.approx(100.0 + 2 * own))
    assert waits.wait_of_new_run("cuda") == waits.Wait(None, 0.0)


def test_the_time_is_unknown_where_a_run_ahead_tells_none(at_work):
    config = tiny_config()
    gone = config.data.model_copy(update={"source": "/gone", "train_images": None})
    runs.write_config(runs.get_run("first").path, config.model_copy(update={"data": gone}))
    found = waits.waits()
    assert found["first"].seconds == pytest.approx(100.0)
    assert (found["second"].ahead.name, found["second"].seconds) == ("first", None)


def test_the_first_run_of_a_free_device_waits_for_nothing(home):
    runs.create("alone", tiny_config())
    assert waits.waits() == {"alone": waits.Wait(None, 0.0)}
