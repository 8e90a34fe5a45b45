"""Anatomy: every part of the page for every kind of run, from controls and from links."""

import json

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from tests.conftest import tiny_config
from tests.pages.opening import open_page, own_widgets
from vit import jobs, runs
from vit.config import CNNConfig, ReferenceConfig

PARTS = ("Network", "One head", "Course and textbook", "Filters and positions")


def train(name: str, model) -> None:
    base = tiny_config()
    config = base.model_copy(
        update={"model": model, "training": base.training.model_copy(update={"epochs": 1, "snapshots": 0})}
    )
    jobs.execute(runs.create(name, config))
    assert runs.get_run(name).state == "finished"


@pytest.fixture
def course(trained):
    train("course", ReferenceConfig(image_size=32, patch_size=8, embed_dim=16))


@pytest.fixture
def cnn(trained):
    train("cnn", CNNConfig(image_size=32))


def texts(app: AppTest) -> str:
    return " ".join(element.value for kind in ("markdown", "caption", "subheader") for element in app.get(kind))


def maps(app: AppTest) -> list[dict]:
    """Return the data of each heat map, without its values."""
    found = [element.proto for element in app.get("bidi_component") if element.proto.component_name == "heat_map"]
    return [json.loads(proto.mixed.json or proto.json) for proto in found]


def test_without_a_run_the_page_leads_to_train(home):
    app = open_page("anatomy")
    assert "No trained run yet" in app.markdown[-1].value


@pytest.mark.parametrize("part", PARTS)
def test_a_vit_has_every_part(trained, part):
    app = open_page("anatomy", run="tiny", part=part)
    assert not app.error
    assert {
        "Network": "Every layer",
        "One head": "The softmax",
        "Course and textbook": "Seven departures",
        "Filters and positions": "convolutional stem has no linear map",
    }[part] in texts(app)


@pytest.mark.parametrize("part", PARTS)
def test_the_course_network_has_every_part(course, part):
    app = open_page("anatomy", run="course", part=part)
    assert not app.error
    assert {
        "Network": "orange edge",
        "One head": "The scaling, after the softmax",
        "Course and textbook": "in this run",
        "Filters and positions": "principal components",
    }[part] in texts(app) + " ".join(str(badge.proto) for badge in app.get("badge"))


@pytest.mark.parametrize("part", PARTS)
def test_a_cnn_has_the_parts_that_apply_and_explains_the_others(cnn, part):
    app = open_page("anatomy", run="cnn", part=part)
    assert not app.error
    assert {
        "Network": "Every layer",
        "One head": "has no attention heads",
        "Course and textbook": "Seven departures",
        "Filters and positions": "no position embedding",
    }[part] in texts(app)
    assert bool(maps(app)) == (part == "Course and textbook")


def test_a_link_sets_layer_head_and_token_within_their_bounds(trained):
    app = open_page("anatomy", part="One head", image="val-7", token="5", layer="2", head="2")
    assert [app.number_input(key=key).value for key in ("token", "layer", "head")] == [5, 2, 2]
    assert "head 2" in texts(app).lower()
    assert {one["mark"] for one in maps(app)} == {5}
    assert [one.proto.component_name for one in app.get("bidi_component")].count("query_key_value") == 1
    app = open_page("anatomy", part="One head", token="99", layer="x", head="0")
    assert [app.number_input(key=key).value for key in ("token", "layer", "head")] == [16, 1, 1]


def test_the_heat_maps_have_the_shapes_and_names_of_their_steps(course):
    app = open_page("anatomy", run="course", part="One head", token="3")
    shown = maps(app)
    assert len(shown) == len(own_widgets(app)) == 15  # no animation: its softmax needs all queries
    for one in shown:
        assert (len(one["rowNames"]), len(one["columnNames"])) == (one["rows"], one["columns"])
    assert shown[0]["rowNames"][2] == "3, patch r1 c3"
    assert [one["mark"] for one in shown[:3]] == [2, 2, 3]  # the first two steps have no row for the class token
    assert [one["label"] for one in shown if one["share"]] == ["Heat map of the softmax"]


def test_the_examples_can_use_the_queries_of_the_run(course):
    app = open_page("anatomy", run="course", part="Course and textbook")
    random = texts(app)
    app.get("segmented_control")[-1].set_value("from this run").run()
    assert not app.exception
    assert app.number_input(key="head").value == 1
    assert texts(app) != random


def test_other_settings_have_their_own_diagram_and_impossible_ones_an_error(trained):
    link = {"shapes": "other settings", "net": "reference", "net_image": "64", "net_patch": "16"}
    app = open_page("anatomy", **link, net_heads="2", net_width="64", net_depth="2", batch="16")
    assert {"52,213,253", "859 M"} <= {metric.value for metric in app.metric}
    app = open_page("anatomy", **link | {"net_patch": "4", "net_heads": "12", "net_width": "64"})
    assert "billion parameters" in app.error[0].value
    app = open_page("anatomy", shapes="other settings", net="vit", net_image="48", net_patch="32")
    assert "does not divide" in app.error[0].value.replace("\\", "")


def test_the_table_lists_the_layers(trained):
    table = open_page("anatomy").dataframe[0].value
    assert table["Parameters"].sum() == sum(np.prod(one.shape) for one in load().parameters())
    assert "blocks.1.mlp.fc2" in set(table["Layer"])


def load():
    from vit.runs import weights

    return weights.load_checkpoint("tiny")[0]


def test_a_number_means_the_same_token_as_on_the_attention_page(trained):
    anatomy = open_page("anatomy", part="One head", token="0")
    box = anatomy.number_input(key="token")
    reads_mean = runs.find_run("tiny").config.model.pool == "mean"
    assert box.min == (1 if reads_mean else 0)
    assert ("17 to 17 are: class token" in box.help) == reads_mean
    help = open_page("attention").number_input(key="token").help
    assert ("0 is the mean of the patches, which the class head reads" in help) == reads_mean
