"""The attention dependence at the end of a training: measured if it is cheap, and never a reason to fail."""

import pytest

from tests.conftest import tiny_config
from tests.helpers.dependence import measured
from tests.helpers.working import config
from vit import jobs, runs
from vit.config import CNNConfig, ViTConfig
from vit.explain.heads import dependence as measuring
from vit.explain.heads.dependence import IMAGES, measure_run, passes
from vit.jobs import measurements
from vit.jobs.measurements import affordable_images
from vit.runs.dependence import read_dependence, write_dependence


@pytest.fixture
def cheap(monkeypatch):
    """As if the tiny trainings were long enough."""
    monkeypatch.setattr(measurements, "BUDGET", 100.0)


def test_it_is_measured_on_the_kept_weights_and_stored(home, cheap):
    run = runs.create("one", tiny_config())
    reported = []
    assert jobs.execute(run, report=reported.append).state == "finished"
    stored, again = read_dependence(run), measure_run(run, count=IMAGES)
    assert stored.images == 30
    assert stored.model_copy(update={"seconds": 0}) == again.model_copy(update={"seconds": 0})
    assert stored.accuracy == run.best["val_accuracy"]
    assert stored.best_inside is not None  # the scenes have masks
    assert "Measuring the attention dependence." in reported
    assert "measured the attention dependence on 30 images" in run.log()
    assert run.status.message == "Finished all 2 epochs."


def test_the_number_of_images_follows_the_length_of_the_training():
    small = ViTConfig(depth=2, num_heads=4)
    assert passes(small) == 10
    assert affordable_images(small, 28 * 5000) == IMAGES
    assert affordable_images(small, 3 * 5000) == 135
    deep = ViTConfig(depth=12, num_heads=12, embed_dim=768)
    assert affordable_images(deep, 28 * 5000) < affordable_images(small, 28 * 5000)


def test_a_short_training_is_not_measured(home):
    run = runs.create("one", config())
    assert jobs.execute(run).state == "finished"
    assert read_dependence(run) is None
    assert "not measured, because the training was too short" in run.log()


def test_a_network_without_heads_is_not_measured(home, cheap):
    run = runs.create("one", config().model_copy(update={"model": CNNConfig(image_size=32)}))
    assert jobs.execute(run).state == "finished"
    assert "dependence" not in run.log()


def test_a_failure_to_measure_does_not_fail_the_training(home, cheap, monkeypatch):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(measuring, "measure_run", fail)
    run = runs.create("one", config())
    assert jobs.execute(run).state == "finished"
    assert read_dependence(run) is None
    assert "was not measured: MemoryError" in run.log()


def test_a_resume_removes_the_measurement_of_the_earlier_weights(home):
    run = runs.create("one", config(epochs=1))
    jobs.execute(run)
    write_dependence(run.path, measured(depth=1, heads=1))
    runs.write_config(run.path, config(epochs=2).model_copy(update={"created": run.config.created}))
    runs.update_status(run.path, state="stopped")
    jobs.prepare_resume(run)
    assert jobs.execute(run, resume=True).state == "finished"
    assert read_dependence(run) is None


def test_a_run_at_its_limit_is_measured_and_a_stopped_one_is_not(home, cheap):
    limited = runs.create("limited", config(epochs=5000, max_seconds=1.0))
    assert jobs.execute(limited).state == "stopped"
    assert limited.at_limit
    assert read_dependence(limited) is not None
    journal = measurements.Journal(limited, None)
    limited.path.joinpath(runs.DEPENDENCE).unlink()
    measurements.measure_after_training(limited, journal, lambda: True)
    assert read_dependence(limited) is None


def test_starting_over_deletes_it(home):
    run = runs.create("one", config())
    runs.update_status(run.path, state="stopped")
    write_dependence(run.path, measured(depth=1, heads=1))
    runs.start_over(run)
    assert read_dependence(run) is None
