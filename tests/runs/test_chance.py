"""Whether an accuracy can be told from guessing, and which run is opened first."""

import json

import pytest
from scipy.stats import binomtest

from tests.helpers.dependence import measured as dependence
from vit import runs
from vit.runs.chance import best_run, measured
from vit.runs.dependence import write_dependence


def set_accuracy(name: str, accuracy: float, **changes) -> runs.Run:
    """Give a finished run this accuracy on its 30 validation images, and no measured dependence."""
    run = runs.get_run(name)
    (run.path / runs.DEPENDENCE).unlink(missing_ok=True)
    runs.update_status(run.path, best=runs.read_status(run.path).best | {"val_accuracy": accuracy}, **changes)
    return run


def no_count(run: runs.Run) -> int | None:
    return run.config.data.val_images


@pytest.mark.parametrize("right", [0, 6, 9, 10, 11, 12, 30])
def test_an_accuracy_is_at_chance_if_its_interval_reaches_guessing(trained, right):
    found = measured(set_accuracy("tiny", right / 30), no_count)
    interval = binomtest(right, 30).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-9)
    assert found.at_chance == (interval.low <= 1 / 5)


def test_chance_is_the_share_of_the_most_frequent_class_where_it_was_measured(trained):
    run = set_accuracy("tiny", 0.6)
    assert not measured(run, no_count).at_chance
    write_dependence(run.path, dependence(0.6, chance=0.58))  # always one class is nearly as good
    found = measured(run, no_count)
    assert (found.images, found.chance, found.at_chance) == (500, 0.58, True)


def test_nothing_is_said_of_an_accuracy_that_does_not_exist(trained):
    run = set_accuracy("tiny", 0.2)
    assert measured(run, lambda run: None) is None
    runs.update_status(run.path, validated=False)
    assert measured(run, no_count) is None


def test_the_best_finished_run_above_chance_opens_first(several):
    names = ("tiny", "tiny-mean", "tiny-deep")
    for name, accuracy in zip(names, (0.5, 0.8, 0.2), strict=True):
        set_accuracy(name, accuracy)

    def first() -> str:
        return best_run([runs.get_run(name) for name in names], no_count).name

    assert first() == "tiny-mean"
    set_accuracy("tiny-mean", 0.8, state="stopped")
    assert first() == "tiny"
    set_accuracy("tiny", 0.3)  # its interval reaches 20 %
    assert first() == "tiny-mean"
    set_accuracy("tiny", 0.4)
    set_accuracy("tiny-mean", 0.9, state="finished", message="Diverged: the training loss is high.")
    assert first() == "tiny"
    set_accuracy("tiny", 0.2)
    config = json.loads((runs.get_run("tiny-deep").path / runs.CONFIG).read_text())
    (runs.get_run("tiny-deep").path / runs.CONFIG).write_text(json.dumps(config | {"published": "someone/else"}))
    assert first() == "tiny-deep"
