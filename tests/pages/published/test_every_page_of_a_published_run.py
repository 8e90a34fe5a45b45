"""Every page with pretrained models whose images are missing: one without classes and with registers, one with a
thousand classes and no class token."""

import json

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from pages.ui.stand_in_images import NO_IMAGES
from tests.helpers.published_runs import SHAPES, open_published
from tests.pages.opening import open_page, own_widgets
from vit.data.files.pictures import save_picture

LOOKING = ("attention", "relevance", "tokens", "compare", "intervene")
MEASURING = ("heads", "evaluate", "faithfulness")
REST = ("predict", "anatomy", "timelapse")


@pytest.fixture
def models(home) -> str:
    """Open the runs "registers", "thousand" and "named", and return the id of an uploaded image."""
    open_published("registers", SHAPES["registers"])
    open_published("thousand", SHAPES["thousand"])
    names = ("airplane, plane", "Bus", "cat", "dog", "pizza pie, pizza", "tench")
    open_published("named", SHAPES["plain"], class_names=names)
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    return f"pic-{save_picture(Image.fromarray(pixels))}"


def said(app: AppTest) -> str:
    kinds = ("markdown", "caption", "info", "subheader", "error", "warning")
    return " ".join(str(element.value) for kind in kinds for element in app.get(kind))


def grids(app: AppTest) -> list[dict]:
    """Return the data that the grids of maps received."""
    protos = [element.proto for element in own_widgets(app)]
    return [one for one in (json.loads(proto.mixed.json or proto.json) for proto in protos) if "rowNames" in one]


@pytest.mark.parametrize("run", ["registers", "thousand"])
@pytest.mark.parametrize("page", [*LOOKING, *MEASURING, *REST])
def test_every_page_opens_and_shows_what_is_missing(models, page, run):
    image = {"image": models} if page in LOOKING else {}
    app = open_page(page, run=run, **image)
    assert not app.error, app.error
    if page in ("predict", "evaluate", "faithfulness", "relevance", "intervene") and run == "registers":
        assert "without classes" in said(app)
        assert "See its attention" in [link.value for link in app.main.get("page_link")]
    elif page in MEASURING:
        assert NO_IMAGES in said(app)
    if page in ("timelapse",):
        assert "pretrained model" in said(app)


@pytest.mark.parametrize("page", ["overview", "train", "runs"])
def test_pages_that_list_runs_list_published_models(models, page):
    assert not open_page(page).error


def test_pages_that_need_an_image_ask_for_one(models, home):
    for file in (home / "data").rglob("*.png"):
        file.unlink()
    for page in LOOKING:
        app = open_page(page, run="registers")
        assert not app.error
        assert NO_IMAGES in said(app)


def test_registers_can_be_picked_on_the_attention_page(models):
    app = open_page("attention", run="registers", image=models, token="19", layer="2")
    assert app.number_input(key="token").value == 19  # 16 patches, the class token, then the second register
    assert app.number_input(key="token").max == 21
    (grid,) = grids(app)
    assert grid["before"] == ["class token", "register 1", "register 2", "register 3", "register 4"]
    assert grid["beforeWords"] == "the class token and 4 registers"
    assert open_page("attention", run="thousand", image=models, token="19").number_input(key="token").value == 16


@pytest.mark.parametrize("aspect", ["Similarity", "Components", "Norms", "Logit lens"])
def test_every_part_of_the_tokens_page_works_or_says_that_it_needs_a_class_head(models, aspect):
    app = open_page("tokens", run="registers", image=models, aspect=aspect)
    assert not app.error
    assert ("logit lens reads" in said(app)) == (aspect == "Logit lens")
    app = open_page("tokens", run="thousand", image=models, aspect=aspect)
    assert not app.error
    if aspect == "Logit lens":
        assert "others" in " ".join(element.proto.body for element in app.get("html"))


@pytest.mark.parametrize("run", ["registers", "thousand"])
@pytest.mark.parametrize("part", ["One head", "Course and textbook", "Filters and positions"])
def test_every_part_of_the_anatomy_page_works(models, part, run):
    app = open_page("anatomy", run=run, part=part, image=models, token="3")
    assert not app.error
    if part == "One head":
        assert ("this is token 7" if run == "registers" else "this is token 2") in said(app)


def test_heads_can_be_changed_in_a_network_without_classes(models):
    app = open_page("intervene", run="registers", image=models, changes="1.1z-2.3u")
    assert not app.error
    assert "cosine" in said(app)


def test_a_data_set_replaces_the_missing_images_and_is_matched_by_name(models, monkeypatch):
    monkeypatch.setattr("pages.ui.stand_in_images.IMAGES_MAX", 20)
    app = open_page("heads", run="registers", images_of="scenes")
    assert not app.error
    assert app.selectbox(key="images_of").value == "scenes"
    app = open_page("evaluate", run="named", images_of="scenes")
    assert not app.error
    assert "matched by name" in said(app)
    assert "another class" in app.selectbox(key="predicted").options
    app = open_page("evaluate", run="thousand", images_of="scenes")
    assert "classes that the model was not trained on" in app.error[0].value


def test_a_network_whose_attention_needs_too_much_memory_shows_an_error(models, monkeypatch):
    monkeypatch.setattr("vit.explain.passes.memory.ATTENTION_BYTES_MAX", 10_000)
    for page in LOOKING:
        if page == "tokens":  # which needs no attention
            assert not open_page(page, run="registers", image=models).error
            continue
        assert "open the model at an image size of" in open_page(page, run="registers", image=models).error[0].value
