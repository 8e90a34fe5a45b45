"""Side by side: two images or two runs, with one set of controls."""

import json
import shutil

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages.compare.page import corresponding
from pages.relevance import maps
from pages.ui import cached_models
from pages.ui.images import image_picker
from tests.pages.attention.test_attention import texts
from tests.pages.opening import open_page, own_widgets
from vit import runs
from vit.explain import METHODS, Target
from vit.runs import weights


def grids(app: AppTest) -> list[dict]:
    """Return the data sent to each grid of maps."""
    return [json.loads(grid.proto.mixed.json or grid.proto.json) for grid in own_widgets(app)]


def test_without_a_choice_the_right_side_is_the_next_image_of_the_same_run(several):
    app = open_page("compare", run="tiny", image="val-29")
    assert "Validation image 29" in texts(app)
    assert "Validation image 0" in texts(app)  # the images wrap around
    left, right = grids(app)
    assert left["version"] != right["version"]
    assert (left["token"], left["row"], left["column"]) == (right["token"], right["row"], right["column"])


def test_a_link_reproduces_both_sides_and_the_controls(several):
    app = open_page(
        "compare", run="tiny", image="val-3", run2="tiny-deep", image2="val-5", token="7", layer="3", head="2"
    )
    left, right = grids(app)
    assert left["version"].startswith("tiny/")
    assert right["version"].startswith("tiny-deep/")
    assert right["version"].endswith("val-5")
    assert (left["row"], right["row"]) == (2, 3)  # the left has two layers: its last one is shown
    assert (left["token"], right["token"], left["column"]) == (7, 7, 2)


def test_another_run_sees_the_same_image_until_another_is_chosen(several):
    app = open_page("compare", run="tiny", image="val-3", run2="tiny-deep")
    assert texts(app).count("Validation image 3") == 2


@pytest.mark.parametrize("link", [{"run2": "gone"}, {"image2": "../etc"}, {"method": "magic"}, {"image2": "val-9999"}])
def test_an_invalid_link_falls_back_to_the_default(several, link):
    app = open_page("compare", run="tiny", image="val-3", **link)
    assert not app.error
    assert len(grids(app)) == 2


def test_a_method_is_shown_on_both_sides_for_the_same_class(several):
    app = open_page("compare", run="tiny", image="val-3", run2="tiny-deep", method="chefer", **{"class": "dog"})
    assert not app.error
    assert app.selectbox(key="class").value == "dog"
    assert len(app.get("image")) == 2
    assert not grids(app)


def test_the_map_of_a_side_is_the_map_of_the_method(several):
    run = runs.get_run("tiny")
    image = image_picker.open_id("val-3", run).image
    model, info = weights.load_checkpoint(run.path)
    for method in ("chefer", "occlusion"):
        expected = METHODS[method].function(model, cached_models.model_input(info, image), Target(2))[0]
        seen = maps.method_map(run, np.asarray(image), method, (2, None))
        np.testing.assert_allclose(seen, expected, atol=1e-6)


def test_a_class_that_the_other_run_does_not_know_shows_a_message(several):
    path = several / "checkpoints" / "other"
    shutil.copytree(several / "checkpoints" / "tiny", path)
    config = runs.get_run("tiny").config
    names = ("airplane", "bus", "cat", "zebra", "pizza")
    runs.write_config(path, config.model_copy(update={"data": config.data.model_copy(update={"class_names": names})}))
    app = open_page("compare", run="tiny", image="val-3", run2="other", method="chefer", **{"class": "dog"})
    assert "does not know the class dog" in texts(app)


def test_corresponding_returns_the_patch_at_the_same_place_of_another_grid():
    assert corresponding(0, (4, 4), (8, 8)) == 0
    assert corresponding(5, (4, 4), (4, 4)) == 5
    assert corresponding(1, (4, 4), (8, 8)) == 1 * 8 + 1 + 1
    assert corresponding(64, (8, 8), (4, 4)) == 16
    for token in range(1, 17):
        assert corresponding(corresponding(token, (4, 4), (8, 8)), (8, 8), (4, 4)) == token


def test_a_click_on_the_right_moves_the_patch_of_both(several):
    app = open_page("compare", run="tiny", image="val-3")
    app.session_state["token_1"] = 9
    app.run()
    assert [grid["token"] for grid in grids(app)] == [9, 9]
    assert app.number_input(key="token").value == 9


def test_both_sides_share_one_colour_scale_over_the_tiles_of_both(several):
    app = open_page("compare", run="tiny", image="val-3", token="5")
    left, right = grids(app)
    assert left["top"] == right["top"] > 0
    ends = {
        round(one["top"], 6) for token in ("5", "9") for one in grids(open_page("compare", run="tiny", token=token))
    }
    assert len(ends) == 2  # it is that of the chosen token


def test_the_sides_are_not_called_left_and_right_because_they_are_stacked_on_narrow_screens(several):
    app = open_page("compare", run="tiny")
    labels = app.selectbox(key="run2").label, app.text_input(key="image2").label
    assert labels == ("Second run", "Second image")
