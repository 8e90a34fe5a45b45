"""Importance: the numbers on the board are those of the library, and the page links to Intervene."""

import json
import time

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages.heads import importance, pruning
from tests.pages.opening import open_page
from tests.pages.test_anatomy import train
from vit import data, runs
from vit.config import CNNConfig, ReferenceConfig
from vit.explain.heads.ablation import Importance, Outcome, head_importance
from vit.explain.heads.pruning import Pruning
from vit.explain.interventions.head_changes import validation_means
from vit.explain.passes.sample import RANKED, sample
from vit.runs import weights


def texts(app: AppTest) -> str:
    return " ".join(element.value for kind in ("markdown", "caption", "subheader", "info") for element in app.get(kind))


def board(app: AppTest) -> dict:
    found = [element.proto for element in app.get("bidi_component")]
    return json.loads(found[0].mixed.json or found[0].json)


def opened(**link: str) -> AppTest:
    """Open the page and wait until everything is measured."""
    app = open_page("heads", view="Importance", **link)
    end = time.monotonic() + 60
    while "Ranked on" not in texts(app) and not app.info:
        assert time.monotonic() < end
        time.sleep(0.1)
        app.run()
        assert not app.exception
    return app


def expected(name: str) -> Importance:
    run = runs.find_run(name)
    model, info = weights.load_checkpoint(run.path)
    split = data.load(run.config.data, splits=("val",)).val
    means = validation_means(model, sample(model, info, split, None, RANKED))
    return head_importance(model, sample(model, info, split), means)


@pytest.mark.parametrize("measure", ["accuracy", "loss", "gradient", "gradient-by-layer"])
def test_the_board_shows_every_head_with_its_number(trained, measure):
    app = opened(importance=measure, ablated="mean", layer="2", head="1")
    shown, found = board(app), expected("tiny").estimate(measure, "mean")
    factor = 100 if measure == "accuracy" else 1
    for layer, head in np.ndindex(2, 2):
        text = shown["texts"][layer][head]
        number = float(text.strip("()").replace("−", "-"))
        assert number == pytest.approx(
            factor * found.value[layer, head], rel=0.06, abs=0.051 if factor == 100 else 1e-9
        )
        assert text.startswith("(") == found.by_chance[layer, head]
    assert shown["pressed"] == [[2, 1]]
    assert np.sign(shown["tones"]).tolist() == np.sign(found.value).tolist()


def test_it_links_to_intervene_with_the_chosen_and_the_most_important_head_off(trained):
    app = opened(importance="loss", ablated="mean", layer="1", head="1")
    value = expected("tiny").estimate("loss", "mean").value
    layer, head = np.unravel_index(value.argmax(), value.shape)
    links = [str(link.proto) for link in app.main.get("page_link")]
    assert "changes=1.1m" in links[0]
    assert len(links) == 1 if (layer, head) == (0, 0) else f"changes={layer + 1}.{head + 1}m" in links[1]
    assert "Layer 1, head 1**, mean ablation" in texts(app)


def test_the_table_has_every_head(trained):
    app = opened()
    table = app.dataframe[0].value
    assert list(zip(table["Layer"], table["Head"], strict=True)) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    found = expected("tiny").estimate("loss", "zero")
    np.testing.assert_allclose(table["Loss gained"], found.value.ravel(), atol=1e-5)


def test_ranking_and_measuring_are_on_halves_of_the_images(trained):
    assert "Ranked on 15 images, measured on 15 others" in texts(opened(counted="all"))


def test_long_work_waits_for_a_click(trained, monkeypatch):
    monkeypatch.setattr(importance, "AUTO_FLOPS", 0)
    app = open_page("heads", view="Importance")
    assert "Measure all 4 heads on 30 images" in [button.label for button in app.button]


def test_a_convolutional_network_shows_a_message(trained):
    train("cnn", CNNConfig(image_size=32))
    app = open_page("heads", run="cnn", view="Importance")
    assert "no attention heads" in texts(app)
    assert not app.get("bidi_component")


def test_the_course_network_has_importance_too(trained):
    train("course", ReferenceConfig(image_size=32, patch_size=8, embed_dim=16))
    app = opened(run="course")
    assert not app.error
    assert len(board(app)["texts"]) == 2


def test_invalid_choices_in_a_link_fall_back_to_the_defaults(trained):
    app = opened(importance="x", ablated="y", counted="3", pruned="z", layer="99", head="-1")
    assert board(app)["pressed"] == [[2, 1]]
    assert [one.value for one in app.get("segmented_control")][1:] == ["loss", "zero", "500", "accuracy"]


def test_the_description_counts_how_many_heads_can_be_removed():
    right = np.ones((5, 100), dtype=bool)
    right[3, :4] = False  # within chance
    right[4, :40] = False
    outcome = Outcome(right, np.zeros((5, 100)))
    said = pruning.describe_pruning(Pruning(np.arange(5), {}, {"loss": outcome}, outcome), 4)
    assert said.startswith("**3 of 4 heads**")
    assert "60.0%" in said
