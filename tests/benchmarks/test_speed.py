"""The speed benchmark: its sides compute the same, its rounds are fair, its figures are labelled."""

import pytest
import torch

from benchmarks.speed import growth, loops
from benchmarks.speed.rivals import SHAPES, OurSteps, agreement, plain_steps, random_batch, timm_vit
from benchmarks.speed.rounds import in_turns, quartiles, ratios, rounds
from vit.data.records import Split

CPU = torch.device("cpu")


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_ours_and_timm_have_the_same_logits_and_gradients(pool):
    near = agreement(SHAPES["small"], pool, CPU)
    assert near["logits"] < 1e-4 * near["largest_logit"]
    assert near["gradients"] < 1e-4 * near["largest_gradient"]


def test_both_sides_train_on_their_batch():
    images, labels = random_batch(CPU, 16)
    ours, model = OurSteps(SHAPES["small"].config(), images, labels), timm_vit(SHAPES["small"])
    theirs = plain_steps(model, images, labels)
    for steps in (ours, theirs):
        steps(8)
    assert ours.done == 8
    for trained in (ours.stepper.model, model):
        assert (trained(images).argmax(dim=1) == labels).float().mean() > 0.9


def test_sides_take_turns_in_changing_order_within_the_time():
    order = []
    found = rounds({name: lambda name=name: order.append(name) or 1.0 for name in "abc"}, seconds=0, least=6)
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys("abc", 6)
    turns = ["".join(order[start : start + 3]) for start in range(0, 18, 3)]
    assert len(set(turns)) == 6


def test_the_time_of_a_turn_is_per_step():
    taken = []
    times = in_turns({"one": taken.append}, seconds=0)
    assert taken[0] == 1
    assert taken[-1] > 1000, "steps that take no time fill a turn"
    assert max(times["one"]) < 1e-3
    assert ratios([2.0, 6.0, 4.0], [1.0, 2.0, 4.0]) == quartiles([2.0, 3.0, 1.0])


def test_a_subset_is_evenly_spaced_and_repeats_images_if_needed():
    images = torch.arange(10, dtype=torch.uint8).numpy()
    split = Split(images, images, None, ("",) * 10)
    assert loops._thinned(split, 5).images.tolist() == [0, 2, 4, 6, 8]
    assert loops._thinned(split, 15).labels.tolist() == [0, 0, 1, 2, 2, 3, 4, 4, 5, 6, 6, 7, 8, 8, 9]


def test_the_figure_of_growth_has_an_axis_for_each_quantity():
    rows = [
        {"varied": what, "value": value, "base": (what, value) == ("depth", 2), "parameters": 1, "gflop": value}
        | {"ms": {"median": 3.0 * value, "low": 2.0 * value, "high": 4.0 * value}}
        for what in growth.VARIED
        for value in (1, 2, 4)
    ]
    plot = growth.growth_figure(rows, "a device")
    titles = [plot.layout[f"xaxis{number}"].title.text for number in ("", "2", "3", "4")]
    assert titles == list(growth.TITLES.values())
    assert [list(trace.y) for trace in plot.data[:2]] == [[3, 6, 12], [3, 6, 12]]
    assert "a device" in plot.layout.title.text
    assert "| depth | **2** | 1 | 6.0 (4.0 to 8.0) | 1.00 |" in growth.growth_table(rows)
