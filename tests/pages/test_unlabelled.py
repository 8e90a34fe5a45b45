"""Every page with a run of our own that was trained without labels, and the choice of such a training."""

import json
import shutil

import pytest
from streamlit.testing.v1 import AppTest

from tests.helpers.record_tables import cells
from tests.helpers.unlabelled_runs import train_unlabelled
from tests.pages.opening import open_page
from vit.config import AUGMENTATIONS, RECIPES


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unlabelled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIT_CHECKPOINTS", str(folder / "checkpoints"))
        patch.setenv("VIT_DATA", str(folder / "data"))
        for method in ("dino", "mae"):
            train_unlabelled(method)
    return folder


@pytest.fixture
def unlabelled(home, trained_once):
    shutil.copytree(trained_once, home, dirs_exist_ok=True)
    return home


def said(app: AppTest) -> str:
    kinds = ("markdown", "caption", "info", "subheader", "error", "warning")
    return " ".join(str(element.value) for kind in kinds for element in app.get(kind))


@pytest.mark.parametrize(
    "page",
    ["attention", "relevance", "tokens", "compare", "intervene", "heads", "anatomy", "timelapse", "overview", "runs"],
)
def test_a_run_without_labels_works_on_every_page_that_needs_no_classes(unlabelled, page):
    app = open_page(page, run="dino")
    assert not app.error, app.error
    if page == "timelapse":
        assert "trained without labels" in said(app)
    if page == "runs":
        assert all(line["k-NN accuracy"].endswith("%") for line in cells(app).values())
        assert not any("Accuracy" in line for line in cells(app).values())


@pytest.mark.parametrize("page", ["predict", "evaluate", "faithfulness"])
def test_pages_that_need_classes_say_so_and_link_to_those_that_do_not(unlabelled, page):
    app = open_page(page, run="dino")
    assert not app.error
    assert "without classes" in said(app)
    assert "published" not in said(app)
    assert {"See its attention", "Fine-tune"} <= {link.value for link in app.main.get("page_link")}


@pytest.mark.parametrize("run", ["dino", "mae"])
def test_following_a_run_names_its_accuracy_and_shows_its_own_charts(unlabelled, run):
    app = open_page("train", show="Follow a run", run=run)
    assert not app.error
    assert "k-NN accuracy" in [metric.label for metric in app.metric]
    text = said(app)
    drawn = next(it.proto for it in app.get("bidi_component") if it.proto.component_name == "curves")
    titles = [plot["title"] for plot in json.loads(drawn.mixed.json or drawn.json)["plots"]]
    teacher = ["Teacher's output (nats)"] if run == "dino" else []
    assert titles == ["Loss", "k-NN accuracy", *teacher, "Learning rate"]
    assert ("What the encoder sees" in text) == (run == "mae")
    assert "Watch its maps form" in [link.value for link in app.main.get("page_link")]


@pytest.mark.parametrize("method", ["dino", "mae"])
def test_the_train_page_offers_trainings_without_labels(home, method):
    app = open_page("train", show="New run", learn_from={"dino": "No labels (DINO)", "mae": "No labels (MAE)"}[method])
    assert not app.error
    command = app.code[0].value
    assert f"--recipe {method}" in command
    assert "has no classes" in said(app)
    assert app.slider(key="epochs").value == RECIPES[method].epochs
    keys = {element.key for element in (*app.select_slider, *app.selectbox)}
    assert ("local_crops" in keys, "swap_backgrounds" in keys, "mask_ratio" in keys) == (
        (True, True, False) if method == "dino" else (False, False, True)
    )
    switches = {box.key for box in app.checkbox} & set(AUGMENTATIONS)
    assert switches == ({"flip"} if method == "dino" else {"flip", "shift"})
