"""Heads, part "Votes", and the view of Attention: the votes on the pages are those of the library."""

import json
import time

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages.heads.help import describe_role
from pages.heads.votes import by_layer
from tests.pages.opening import open_page, own_widgets
from tests.pages.test_anatomy import train
from tests.pages.test_intervene import strengthen
from vit import data, runs
from vit.config import CNNConfig, ReferenceConfig
from vit.data import scenes
from vit.data.files.images import prepared_image
from vit.evaluation import model_input
from vit.explain import Target, capture, votes
from vit.explain.heads.circuits import Role, score_parts
from vit.explain.heads.rankings import votes_of_images
from vit.explain.passes.sample import sample
from vit.runs import weights


@pytest.fixture
def strong(trained) -> None:
    strengthen("tiny")


def texts(app: AppTest) -> str:
    return " ".join(element.value for kind in ("markdown", "caption", "subheader", "info") for element in app.get(kind))


def widget(app: AppTest, word: str) -> dict:
    found = [json.loads(one.proto.mixed.json or one.proto.json) for one in own_widgets(app)]
    return next(one for one in found if word in one)


def numbers(rows: list[list[str]]) -> np.ndarray:
    return np.array([[float(text.strip("()").replace("−", "-")) for text in row] for row in rows])


def library(target: Target):
    model, info = weights.load_checkpoint(runs.find_run("tiny").path)
    images = model_input(info, prepared_image(np.ascontiguousarray(scenes.draw(3, split="val", image_size=32)[0])))
    return model, images, votes(model, images, target)


def test_one_image_shows_the_votes_of_the_library(strong):
    app = open_page("heads", view="Votes", run="tiny", image="val-3", **{"class": "dog", "against": "bus"})
    _, _, found = library(Target("dog", "bus"))
    assert numbers(widget(app, "texts")["texts"]) == pytest.approx(found.by_head()[0], abs=0.0051)
    assert f"{float(found.logit[0]):+.3f}".replace("-", "−") in texts(app)
    (code,) = [one.value for one in app.code]
    assert code == "python -m vit votes --run tiny image.png --class dog --against bus --json"
    chart = json.loads(app.get("plotly_chart")[0].proto.spec)
    assert chart["data"][0]["y"][-1] == "sum: the logit"


def test_the_waterfall_by_layer_has_the_same_sum():
    parts = [("embedding", 1.0), ("layer 1 head 1", 2.0), ("layer 1 head 2", 3.0), ("layer 1 attention bias", 0.5)]
    parts += [("layer 1 MLP", -1.0), ("final bias", 0.25)]
    assert by_layer(parts) == [
        ("embedding", 1.0),
        ("layer 1 attention", 5.5),
        ("layer 1 MLP", -1.0),
        ("final bias", 0.25),
    ]


@pytest.mark.parametrize("circuit", ["QK", "OV"])
def test_the_circuits_of_the_chosen_head_are_shown(strong, circuit):
    link = {"layer": "2", "head": "2", "circuit": circuit}
    app = open_page("heads", view="Votes", run="tiny", image="val-3", **link)
    assert "The weights of layer 2, head 2" in texts(app)
    if circuit == "QK":
        model, images, _ = library(Target(3))
        found = score_parts(model, images, capture(model, images), 1, 1)
        assert f"**{found.shares.max():.0%}**" in texts(app)
    else:
        assert "What this head adds to the logit of" in texts(app)


def test_the_mean_over_images_and_the_rankings(strong):
    app = open_page("heads", view="Votes", run="tiny", over="mean")
    end = time.monotonic() + 90
    while not any("Rank correlation" in frame.value for frame in app.dataframe):
        assert time.monotonic() < end
        time.sleep(0.2)
        app.run()
        assert not app.exception
    run = runs.find_run("tiny")
    model, info = weights.load_checkpoint(run.path)
    found = votes_of_images(model, sample(model, info, data.load(run.config.data, splits=("val",)).val))
    assert numbers(widget(app, "texts")["texts"]) == pytest.approx(found.heads.mean(axis=-1), abs=0.0051)
    assert len(app.dataframe[0].value) == 3


def test_attention_shows_votes_by_source_patch(strong):
    app = open_page("attention", run="tiny", image="val-3", show="Votes", **{"class": "dog"})
    _, _, found = library(Target("dog"))
    assert f"The logit of dog is {float(found.logit[0]):+.2f}".replace("-", "−") in texts(app)


def test_a_convolutional_network_is_told_so(home):
    train("small-cnn", CNNConfig(image_size=32))
    app = open_page("heads", view="Votes", run="small-cnn")
    assert "no attention heads" in texts(app)


def test_the_course_network_has_votes_without_sources(home):
    train("course", ReferenceConfig(image_size=32, patch_size=8, embed_dim=16, num_heads=2, depth=2))
    app = open_page("heads", view="Votes", run="course", image="val-3")
    assert numbers(widget(app, "texts")["texts"]).shape == (2, 2)
    assert "mixes positions" in texts(app)
    assert "standard design only" in texts(app)
    maps = open_page("attention", run="course", image="val-3", show="Votes")
    assert "mixes positions" in " ".join(one.value for one in maps.error)


@pytest.mark.parametrize(
    ("role", "words"),
    [
        (Role(0.7, 0.1, (0, -1), 0.9, 0.8, 6), ["**70%**", "**1 left**, for 90%"]),
        (Role(0.1, 0.8, (0, 0), 0.9, 0.62, 6), ["**80%**", "the same colour**: correlation 0.62"]),
        (Role(0.4, 0.3, (0, 1), 0.9, 0.9, 6), ["**40%**"]),
    ],
)
def test_the_portrait_says_the_role_that_follows_from_the_weights(role, words):
    said = describe_role(role)
    assert len(said) == len(words)
    for sentence, word in zip(said, words, strict=True):
        assert word in sentence
