"""The stored attention dependence: its rule, its sentences, and files that do not belong to the run."""

import pytest

from tests.helpers.dependence import measured
from vit.errors import SettingsError
from vit.runs import DEPENDENCE, get_run
from vit.runs.dependence import BYTES_MAX, Dependence, read_dependence, write_dependence


@pytest.mark.parametrize(
    ("accuracies", "low", "says"),
    [
        ((0.986, 0.890, 0.762), True, "hardly depends on its attention (98.6% → 89.0% without any head)."),
        ((0.972, 0.200, 0.726), False, ""),
        # All heads zeroed give chance in any network with a class token; uniform attention tells more.
        ((0.900, 0.200, 0.800), True, "where its heads look (90.0% → 80.0% with uniform attention in every head)."),
        ((0.900, 0.730, 0.300), True, "(90.0% → 73.0% without any head)."),
        ((0.900, 0.720, 0.300), False, ""),
        ((0.900, 0.950, 0.300), True, "(90.0% → 95.0% without any head)."),
        ((0.210, 0.200, 0.210), False, ""),  # hardly better than guessing: nothing can be lost
    ],
)
def test_the_dependence_is_low_if_less_than_a_quarter_above_chance_is_lost(accuracies, low, says):
    found = measured(*accuracies)
    assert found.low is low
    assert found.warning.endswith(says)
    assert bool(found.warning) is low


def test_a_network_no_better_than_guessing_has_no_dependence():
    assert measured(0.23, 0.2, 0.2).lost_share is None
    assert measured(0.25, 0.2, 0.2).lost_share == pytest.approx(1.0)


def test_a_stored_measurement_is_read_back_as_it_was(trained):
    run, found = get_run("tiny"), measured(object_area=0.25, variety=(0.5, None))
    assert read_dependence(run) is None
    write_dependence(run.path, found)
    assert read_dependence(run) == found
    write_dependence(run.path, measured(0.8))
    assert read_dependence(run).accuracy == 0.8


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-20],
        lambda text: text.replace('"accuracy":0.9', '"accuracy":1e999'),
        lambda text: text.replace('"accuracy":0.9', '"accuracy":90'),
        lambda text: text.replace('"images":500', '"images":0'),
        lambda text: text.replace('"variety":[0.5,0.5]', '"variety":[0.5]'),
        lambda text: text.replace('"lost":0.1', '"lost":"<b>"'),
        lambda text: text + " " * BYTES_MAX,
        lambda text: "[" * 100_000,
    ],
)
def test_a_file_that_is_not_a_measurement_is_not_read(trained, change):
    run, text = get_run("tiny"), measured().model_dump_json()
    assert change(text) != text
    (run.path / DEPENDENCE).write_text(change(text))
    assert read_dependence(run) is None


def test_a_measurement_of_another_network_is_not_read(trained):
    run = get_run("tiny")
    write_dependence(run.path, measured(depth=3))
    assert read_dependence(run) is None


def test_layers_without_heads_are_refused():
    for layers in ((), ((),)):
        with pytest.raises(SettingsError, match="layers"):
            Dependence(**measured().model_dump(exclude={"layers"}), layers=layers)


def test_a_measurement_of_a_later_version_may_have_more_fields():
    found = measured()
    assert Dependence.from_json(found.model_dump_json().replace("{", '{"new":1,', 1)) == found


def test_values_over_all_heads_leave_out_what_was_not_measured():
    found = measured(variety=(0.5, None))
    assert found.mean_variety == 0.5
    assert found.best_inside is None
    assert measured(variety=(None, None)).mean_variety is None
    assert (found.heads, found.needed_heads) == (4, 4)
