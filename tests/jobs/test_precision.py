"""A job chooses the precision once, records it, and resumes in it."""

import os
import signal

import pytest

from tests.helpers.outcomes import outcome
from tests.jobs.test_resume import config
from vit import jobs, runs, trainer
from vit.config import Environment, TrainingConfig
from vit.jobs.environment import recorded_precision
from vit.trainer import precision


@pytest.fixture
def measured(monkeypatch) -> list[float]:
    """The results of the measurements to come; a measurement more is an error."""
    results: list[float] = []
    monkeypatch.setattr(precision, "should_measure", lambda *_: True)
    monkeypatch.setattr(precision, "bfloat16_speedup", lambda *_: results.pop(0))
    return results


def test_a_resume_goes_on_in_the_measured_precision_without_another_measurement(home, measured):
    measured += [1.6, 1.6]
    whole, halved = runs.create("whole", config()), runs.create("halved", config())
    jobs.execute(whole)
    assert whole.config.environment.precision == "bfloat16"
    assert "computed in bfloat16: measured, a step is 1.60 times as fast" in whole.log()

    def stop_after_an_epoch(event: object) -> None:
        if isinstance(event, trainer.Epoch):
            os.kill(os.getpid(), signal.SIGTERM)

    assert jobs.execute(halved, report=stop_after_an_epoch).state == "stopped"
    runs.update_status(halved.path, state="queued")
    jobs.execute(halved, resume=True)
    assert not measured
    assert halved.config.environment.precision == "bfloat16"
    assert outcome(halved) == outcome(whole)


def test_float32_stays_where_bfloat16_is_hardly_faster(home, measured):
    measured.append(precision.MARGIN - 0.01)
    run = runs.create("close", config(epochs=1))
    jobs.execute(run)
    assert run.config.environment.precision == "float32"
    assert run.config.training.precision == "auto"


@pytest.mark.parametrize(
    ("begun", "now", "expected"),
    [
        ({"device": "cpu", "precision": "bfloat16"}, {"device": "cpu"}, "bfloat16"),
        ({"device": "cpu", "precision": "bfloat16", "processor": "other"}, {"device": "cpu"}, "float32"),
        ({"device": "cpu"}, {"device": "cpu"}, "float32"),  # from before the setting
        ({"device": "NVIDIA"}, {"device": "NVIDIA"}, "bfloat16"),
    ],
)
def test_a_resume_on_the_same_device_takes_the_recorded_precision(begun, now, expected):
    assert recorded_precision(TrainingConfig(), Environment(**begun), Environment(**now)) == expected
