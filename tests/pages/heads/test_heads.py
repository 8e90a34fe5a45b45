"""Heads: portraits and the similarity of layers for every kind of run, from controls and from links."""

import json
import re
import time

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages.heads import portraits as heads_portraits
from pages.ui import cached_models, text
from tests.conftest import tiny_config
from tests.pages.opening import open_page
from vit import data, jobs, runs
from vit.config import CNNConfig, ReferenceConfig
from vit.errors import DataError
from vit.explain.heads import layer_similarity
from vit.explain.heads.portraits import portraits
from vit.runs import weights

SIMILARITY = "Similarity of layers"


def train(name: str, model) -> None:
    base = tiny_config()
    settings = {"model": model, "training": base.training.model_copy(update={"epochs": 1, "snapshots": 0})}
    jobs.execute(runs.create(name, base.model_copy(update=settings)))
    assert runs.get_run(name).state == "finished"


def texts(app: AppTest) -> str:
    return " ".join(element.value for kind in ("markdown", "caption", "subheader") for element in app.get(kind))


def open_done(app: AppTest, kind: str) -> AppTest:
    """Wait until the background work is done and the page has an element of this kind."""
    end = time.monotonic() + 30
    while not app.get(kind):
        assert time.monotonic() < end
        time.sleep(0.05)
        app.run()
        assert not app.exception
    return app


def open_portraits(**link: str) -> AppTest:
    return open_done(open_page("heads", **link), "plotly_chart")


def open_similarity(**link: str) -> AppTest:
    return open_done(open_page("heads", view=SIMILARITY, **link), "plotly_chart")


def chart(app: AppTest, index: int = 0) -> dict:
    return json.loads(app.get("plotly_chart")[index].proto.spec)


def expected(name: str):
    run = runs.find_run(name)
    model, info = weights.load_checkpoint(run.path)
    return portraits(model, info, data.load(run.config.data, splits=("val",)).val)


def test_without_a_run_the_page_links_to_train(home):
    assert "No trained run yet" in open_page("heads").markdown[-1].value


def test_the_table_lists_every_head_with_its_numbers_and_groups_similar_heads(several):
    app = open_portraits(run="tiny-deep")
    seen, table = expected("tiny-deep"), app.dataframe[0].value
    assert list(zip(table["Layer"] - 1, table["Head"] - 1, strict=True)) == seen.order()
    assert list(table["Name"]) == [seen.names[at] for at in seen.order()]
    np.testing.assert_allclose(table["Distance"], [seen.distance[at] for at in seen.order()], rtol=1e-5)
    np.testing.assert_allclose(table["Entropy"], [100 * seen.entropy_share[at] for at in seen.order()], rtol=1e-5)
    points = [trace for trace in chart(app)["data"] if trace.get("name")]
    assert sum(len(trace["x"]) for trace in points) == 6
    assert chart(app)["layout"]["shapes"][0]["y0"] == pytest.approx(seen.even_distance)


def test_a_link_chooses_the_head_and_the_page_describes_its_numbers(several):
    app = open_portraits(run="tiny-deep", layer="3", head="2", token="5")
    seen = expected("tiny-deep")
    said = texts(app)
    assert f"Layer 3, head 2: {seen.names[2, 1]}" in said
    assert f"{seen.distance[2, 1]:.1f} pixels" in said
    assert f"{seen.neighbour_share[2, 1]:.1%}" in said
    assert app.number_input(key="token").value == 5
    app = open_portraits(run="tiny-deep", layer="99", head="x", sample="nonsense")
    assert (app.number_input(key="layer").value, app.number_input(key="head").value) == (3, 1)


def test_the_images_that_drive_the_head_link_to_attention(trained):
    app = open_portraits(layer="2", head="1")
    strongest = expected("tiny").driving(1, 0, heads_portraits.SHOWN)
    shown = [link.proto.query_string for link in app.main.get("page_link")]
    assert [int(re.search(r"val-(\d+)", one)[1]) for one in shown] == strongest.tolist()


def test_choosing_another_head_needs_no_new_measurement(trained, monkeypatch):
    app = open_portraits(layer="1", head="1")
    monkeypatch.setattr("vit.explain.heads.portraits.portraits", None)
    before = texts(app)
    app.number_input(key="head").set_value(2).run()
    assert not app.exception
    assert "Layer 1, head 2:" in texts(app) != before


def test_the_table_can_be_filtered_by_name(trained):
    app = open_portraits()
    name = app.dataframe[0].value["Name"][0]
    app.get("pills")[0].set_value([name]).run()
    assert not app.exception
    assert set(app.dataframe[0].value["Name"]) == {name}
    assert set(open_portraits(named=name).dataframe[0].value["Name"]) == {name}
    assert len(open_portraits(named="nonsense").dataframe[0].value) == 4


def test_much_work_waits_for_a_click(trained, monkeypatch):
    monkeypatch.setattr(heads_portraits, "AUTO_FLOPS", 0)
    app = open_page("heads")
    assert not app.dataframe
    button = next(button for button in app.button if button.label == "Measure all heads")
    button.click().run()
    open_done(app, "plotly_chart")


def test_the_number_of_images_can_be_chosen_if_there_are_many(trained, monkeypatch):
    monkeypatch.setattr(heads_portraits, "SAMPLES", {"10": 10, "20": 20, "all": None})
    monkeypatch.setattr(heads_portraits, "DEFAULT_SAMPLE", "20")
    app = open_portraits(sample="10")
    assert len(app.dataframe[0].value) == 4
    assert "mean over 10 images" in json.dumps(app.get("bidi_component")[0].proto.mixed.json)


@pytest.mark.parametrize(
    "model", [CNNConfig(image_size=32), ReferenceConfig(image_size=32, patch_size=8, embed_dim=16)]
)
def test_networks_without_portraits_show_an_error_but_have_layer_similarity(trained, model):
    train("other", model)
    app = open_page("heads", run="other")
    assert len(app.error) == 1
    assert {"cnn": "no heads", "reference": "columns of a map sum to 1"}[model.architecture] in app.error[0].value
    assert not app.dataframe
    app = open_similarity(run="other", beside="tiny")
    rows = {"cnn": 4, "reference": 5}[model.architecture]
    assert (len(chart(app)["data"][0]["z"]), len(chart(app)["data"][0]["z"][0])) == (rows, 5)


def test_layers_are_compared_with_each_other_and_with_those_of_another_run(several):
    app = open_similarity(run="tiny-deep", features="Summary token")
    run = runs.find_run("tiny-deep")
    images = data.load(run.config.data, splits=("val",)).val.images
    first, second = (layer_similarity.grams(*weights.load_checkpoint(name), images) for name in ("tiny-deep", "tiny"))
    # The class token before the first block is the same for all images, so that it has no similarity (null, nan).
    np.testing.assert_allclose(
        np.array(chart(app)["data"][0]["z"], float), layer_similarity.similarity(first, of="summary"), rtol=1e-4
    )
    assert "The largest change is between" in texts(app) or "No stage differs" in texts(app)
    app = open_similarity(run="tiny-deep", beside="tiny")
    np.testing.assert_allclose(
        np.array(chart(app)["data"][0]["z"]), layer_similarity.similarity(first, second), rtol=1e-4
    )
    assert app.selectbox(key="beside").value == "tiny"
    app = open_similarity(run="tiny-deep", beside="gone")
    assert app.selectbox(key="beside").value is None


@pytest.mark.parametrize("view", ["Portraits", SIMILARITY])
def test_a_missing_data_set_shows_an_error(trained, view, monkeypatch):
    monkeypatch.setattr(data, "load", lambda *_, **__: (_ for _ in ()).throw(DataError("It is gone.")))
    cached_models._validation.clear()
    app = open_page("heads", view=view)
    assert app.error[0].value == text.plain("It is gone.")
