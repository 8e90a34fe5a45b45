"""Intervene, part "Patch from another image": the effects on the page are those of the library."""

import numpy as np
import pytest
import torch

from pages.intervene import patching
from pages.intervene.patching_boards import sheet, token_picture
from tests.pages.opening import open_page
from tests.pages.test_anatomy import train
from tests.pages.test_intervene import component_data, strengthen, texts, wait
from vit import plots, runs
from vit.config import DEPARTURES, CNNConfig, ReferenceConfig
from vit.data.files.images import prepared_image
from vit.data.scenes.pairs import scene_pair
from vit.evaluation import model_input
from vit.explain.patching.mean import mean_effect, pair_runs, scene_pairs
from vit.explain.patching.patch import SITES, TOKEN_SITES, patch_each, patch_together
from vit.runs import weights

PART = "Patch from another image"


@pytest.fixture
def strong(trained) -> None:
    strengthen("tiny")


def opened(**link: str):
    return open_page("intervene", run="tiny", image="val-3", part=PART, **link)


def library(change: str = "object", direction: str = "denoise"):
    model, info = weights.load_checkpoint(runs.find_run("tiny").path)
    pair = scene_pair(3, change, image_size=32)
    clean, corrupt = (
        model_input(info, prepared_image(np.ascontiguousarray(one))) for one in (pair.clean, pair.corrupt)
    )
    return pair_runs(model, clean, corrupt, pair.label, pair.other, direction)


def numbers(board: dict) -> np.ndarray:
    return np.array([[float(text.replace("−", "-")) for text in row] for row in board["texts"]])


@pytest.mark.parametrize("site", [site for site in SITES if site not in TOKEN_SITES])
@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_the_board_shows_the_effect_of_every_head(strong, site, direction):
    app = opened(site=site, direction=direction)
    found = library(direction=direction)
    assert numbers(component_data(app, "texts")) == pytest.approx(found.effect(patch_each(found, site)), abs=0.0051)


@pytest.mark.parametrize("change", ["object", "background", "no-object"])
def test_a_pair_is_the_scene_and_its_change(strong, change):
    app = opened(pair=change)
    found = library(change)
    said = texts(app).replace("−", "-")
    assert f"LD {found.clean:+.2f}" in said
    assert f"LD {found.corrupt:+.2f}" in said
    words = {"object": "the same scene with a", "background": "background of scene 10", "no-object": "without the dog"}
    assert words[change] in said


@pytest.mark.parametrize("site", TOKEN_SITES)
def test_tokens_are_chosen_on_the_image_of_a_layer(strong, site):
    app = opened(site=site, patched="1.1-1.5-2.3", patched_layer="1")
    board = component_data(app, "covered")
    assert board["covered"] == [4]  # token 1 is the class token, token 5 the fourth patch
    assert (board["rows"], board["word"]) == (4, "patched")
    found = library()
    effect = float(found.effect(patch_together(found, [(site, [(0, 0), (0, 4), (1, 2)])])))
    assert f"effect {effect:+.2f}".replace("-", "−") in texts(app)
    assert app.get("plotly_chart")


def test_a_group_of_heads_is_patched_together_and_one_head_has_paths(strong):
    app = opened(patched="1.1-2.2")
    found = library()
    effect = float(found.effect(patch_together(found, [("head", [(0, 0), (1, 1)])])))
    assert "With 2 heads patched" in texts(app)
    assert f"effect {effect:+.2f}".replace("-", "−") in texts(app)
    assert component_data(app, "texts")["pressed"] == [[1, 1], [2, 2]]
    assert "Direct paths" not in texts(app)
    app.text_input(key="patched").input("1.2").run()
    assert "Direct paths from layer 1, head 2" in texts(app)


def test_a_place_that_does_not_exist_is_cleared(strong):
    app = opened(patched="7.7")
    assert app.text_input(key="patched").value == ""
    assert "Choose places" in texts(app)


def test_two_images_are_compared_and_equal_ones_refused(strong):
    app = opened(pair="images", image2="val-4")
    assert "Validation image 4" in texts(app)
    same = opened(pair="images", image2="val-3")
    assert "Choose a second image" in texts(same)


def test_the_command_is_shown(strong):
    app = opened(site="v", direction="noise")
    (code,) = [one.value for one in app.code if "vit patch" in one.value]
    assert "--site v --class dog --against" in code
    assert "--direction noise --json" in code


def test_the_mean_is_measured_in_the_background(strong):
    app = opened(pairs="20")
    next(one for one in app.button if one.label == "Measure 20 pairs").click().run()
    wait(app, lambda: app.run() and "Mean effect over 20 pairs" in texts(app))
    model, info = weights.load_checkpoint(runs.find_run("tiny").path)
    found = mean_effect(
        model,
        scene_pairs("object", 20, image_size=32),
        lambda image: model_input(info, prepared_image(np.ascontiguousarray(image))),
        "head",
    )
    boards = [one for one in app.get("bidi_component") if "mean_board" in str(one.proto)]
    assert boards
    assert f"median {np.nanmedian(found.agreement):.2f}" in texts(app)


def test_a_convolutional_network_has_no_such_part(home):
    train("small-cnn", CNNConfig(image_size=32))
    app = open_page("intervene", run="small-cnn", part=PART)
    assert not [one for one in app.get("button_group") if one.label == "Part"]


@pytest.mark.parametrize("mended", [(), DEPARTURES])
def test_the_course_network_can_be_patched(home, mended):
    train("course", ReferenceConfig(image_size=32, patch_size=8, embed_dim=16, num_heads=2, depth=2, mended=mended))
    app = open_page("intervene", run="course", image="val-3", part=PART)
    assert numbers(component_data(app, "texts")).shape == (2, 2)
    assert torch.is_grad_enabled()


def test_large_models_start_with_the_estimate():
    from vit.config import ViTConfig

    base = ViTConfig(image_size=224, patch_size=16, embed_dim=768, depth=12, num_heads=12, stem="patch")
    assert patching.operations(base, "residual") > patching.EXACT_FLOPS
    shipped = runs.get_run(runs.SHIPPED_RUN).config.model
    assert patching.operations(shipped, "residual") < patching.EXACT_FLOPS


def test_the_effects_are_saved_as_pictures(strong):
    found = library()
    effect = found.effect(patch_each(found, "head"))
    texts, tones = sheet(np.array([[1.5, -0.25], [0.001, 0.0]]))
    assert texts == [["+1.50", "−0.25"], ["0", "0"]]
    assert tones.tolist() == [[1, -0.25], [0.001, 0]]
    assert plots.head_sheet(*sheet(effect)).width > 100
    tokens = found.effect(patch_each(found, "residual"))
    view = np.zeros((32, 32, 3), np.uint8)
    one, two = (token_picture(rows, found.model.config, view) for rows in (tokens[:1], tokens))
    assert two.width > one.width
