"""The speed benchmark: its sides compute the same, its rounds are fair, its figures are labelled."""

from types import SimpleNamespace

import pytest
import torch

from benchmarks import precision
from benchmarks.speed import growth, limit, loops
from benchmarks.speed import rounds as rounds_module
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
    for trained in (ours.stepper.objective.model, model):
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


def test_attention_adds_its_two_products_forward_and_four_backward_to_a_step():
    shape, (images, labels) = SHAPES["small"], random_batch(CPU, 2)
    counted, all_products = limit._operations(shape.config("mean"), images, labels)
    assert all_products - counted == shape.depth * 6 * (2 * 2 * 17**2 * shape.embed_dim)


def test_the_shares_of_a_step_are_those_of_the_rate_of_large_products(monkeypatch):
    monkeypatch.setattr(limit, "networks", lambda: {"small": SHAPES["small"].config()})
    monkeypatch.setattr(limit, "SIDE", 64)
    monkeypatch.setattr(rounds_module, "TURN", 0.01)
    found = limit.limit(CPU, 0, ("float32", "bfloat16"))
    assert [row["precision"] for row in found["rows"]] == ["float32", "bfloat16"]
    for row in found["rows"]:
        assert 0 < row["share"]["median"] < row["share_with_attention"]["median"]
    assert "| small | bfloat16 |" in limit.limit_table(found)


def test_the_precisions_are_compared_epoch_by_epoch():
    def training(losses, seconds):
        return precision.Training([SimpleNamespace(train_loss=it, val_accuracy=it / 2) for it in losses], seconds)

    found = {
        "float32": training([1.0, 0.5], 30.0),
        "bfloat16": training([0.99, 0.51], 20.0),
        "control": training([1.0, 0.505], 31.0),
    }
    assert precision.row("tiny", 0, found) == (
        "| tiny | 0 | 0.5000 | 0.5100 | 0.5050 | 2.00% | 1.00% | 0.2500 | 0.2550 | 0.2525 | 1.50 |"
    )
    sentence = precision.summary("tiny", [found, found])
    assert "bfloat16 is 1.50 times as fast; its losses differ by at most 2.00%" in sentence
    assert "those of the control by at most 1.00%" in sentence


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
