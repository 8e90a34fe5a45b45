"""Tokens: every part of the page, from controls and from links, for every kind of network."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from pages.tokens import logit_lens, shared
from tests.conftest import tiny_config
from tests.pages.attention.test_attention import texts
from tests.pages.attention.test_class_maps import other_config
from tests.pages.opening import open_page, own_widgets
from vit import data, jobs, runs
from vit.config import DEPARTURES, CNNConfig, ReferenceConfig
from vit.data.batches import to_tensor
from vit.data.files.pictures import save_picture
from vit.explain import capture
from vit.runs import weights

ASPECTS = ("Similarity", "Components", "Norms", "Logit lens")


@pytest.fixture(scope="module")
def zoo(workshop, tmp_path_factory) -> Path:
    """The runs of the workshop and trained runs of other networks: "class-token", "cnn", "course", "mended"."""
    folder = tmp_path_factory.mktemp("token-zoo")
    shutil.copytree(workshop, folder, dirs_exist_ok=True)
    course = {"image_size": 32, "patch_size": 8, "embed_dim": 16}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIT_CHECKPOINTS", str(folder / "checkpoints"))
        patch.setenv("VIT_DATA", str(folder / "data"))
        for name, model in {
            "class-token": tiny_config(pool="cls").model,
            "cnn": CNNConfig(image_size=32),
            "course": ReferenceConfig(**course),
            "mended": ReferenceConfig(**course, mended=DEPARTURES),
        }.items():
            jobs.execute(runs.create(name, other_config(model)))
            assert runs.get_run(name).state == "finished", runs.get_run(name).status.message
    return folder


@pytest.fixture
def mixed(home, zoo) -> Path:
    shutil.copytree(zoo, home, dirs_exist_ok=True)
    return home


@pytest.fixture
def grids(monkeypatch) -> list[dict]:
    """Collect the arguments of every grid of maps on the page."""
    given: list[dict] = []
    drawn = shared.map_grid

    def record(tiles, selection, *, key):
        given.append(vars(tiles) | vars(selection) | {"key": key})
        drawn(tiles, selection, key=key)

    monkeypatch.setattr(shared, "map_grid", record)
    return given


def recorded(name: str, index: int) -> tuple:
    """Return the model of a run, its information and its record of one validation image."""
    run = runs.get_run(name)
    model, info = weights.load_checkpoint(run.path)
    pixels = np.moveaxis(data.load(run.config.data, splits=("val",)).val.images[index], 0, -1)
    return model, info, capture(model, to_tensor([pixels], info.mean, info.std))


def layer(app: AppTest) -> int:
    return app.number_input(key="layer").value


def test_without_a_run_the_page_links_to_train(home):
    app = open_page("tokens")
    assert "No trained run yet" in app.markdown[-1].value


@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize("run", ["tiny", "tiny-deep", "class-token", "course", "mended"])
def test_every_part_works_for_every_transformer_with_downloads_and_an_explanation(mixed, run, aspect):
    app = open_page("tokens", run=run, image="val-3", aspect=aspect)
    assert not app.error
    assert app.get("segmented_control")[0].value == aspect
    assert app.get("download_button")
    assert len(app.expander) == 1
    assert "**Limits.**" in app.expander[0].markdown[0].value


def test_a_link_reproduces_the_view(mixed):
    app = open_page("tokens", run="tiny-deep", image="val-7", token="5", layer="3", aspect="Norms")
    assert app.selectbox(key="run").value == "tiny-deep"
    assert app.text_input(key="image").value == "val-7"
    assert (app.number_input(key="token").value, layer(app)) == (5, 3)
    assert app.get("segmented_control")[0].value == "Norms"


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ({"token": "9999", "layer": "99"}, (16, 2)),
        ({"token": "-4", "layer": "-1"}, (0, 0)),
        ({"token": "abc", "layer": "", "aspect": "gone", "class": "zebra", "cosine": "gone"}, (0, 1)),
    ],
)
def test_invalid_values_in_a_link_fall_back(trained, link, expected):
    app = open_page("tokens", **link)
    assert not app.error
    assert (app.number_input(key="token").value, layer(app)) == expected
    assert app.get("segmented_control")[0].value in ASPECTS


def test_a_click_on_a_tile_chooses_its_layer_and_the_first_is_the_embedding(trained, grids):
    app = open_page("tokens", layer="2")
    assert (grids[-1]["column"], grids[-1]["column_names"]) == (3, ["Embedding", "Layer 1", "Layer 2"])
    target = grids[-1]["keys"][2]
    for column in (1, 3, 2):
        app.session_state[target] = column  # as the grid does
        app.run()
        assert not app.exception
        assert (layer(app), grids[-1]["column"]) == (column - 1, column)
    app.number_input(key="layer").set_value(0).run()
    assert grids[-1]["column"] == 1


def test_the_similarity_maps_are_cosines_with_the_chosen_token_and_the_summary(mixed, grids):
    open_page("tokens", run="class-token", image="val-3", token="6")
    record = recorded("class-token", 3)[2]
    maps = grids[-1]["maps"]([0, 6])
    assert maps.shape == (1, 2, 1, 3, 17)
    taken = record.layers[0].tokens[0].numpy()
    taken = taken - taken[1:].mean(axis=0)
    for place, token in enumerate((0, 6)):
        expected = taken @ taken[token] / np.linalg.norm(taken, axis=1) / np.linalg.norm(taken[token])
        np.testing.assert_allclose(maps[0, place, 0, 1], expected, atol=1e-5)
    assert (grids[-1]["signed"], grids[-1]["shares"], grids[-1]["quantity"]) == (True, False, "cosine")


def test_plain_cosines_can_be_chosen_and_have_their_own_version_of_the_maps(mixed, grids):
    open_page("tokens", run="tiny", image="val-3", token="6")
    open_page("tokens", run="tiny", image="val-3", token="6", cosine="Plain")
    differences, plain = grids[0], grids[-1]
    assert differences["version"] != plain["version"]
    tokens = recorded("tiny", 3)[2].embedded[0].numpy()
    expected = tokens @ tokens[6] / np.linalg.norm(tokens, axis=1) / np.linalg.norm(tokens[6])
    np.testing.assert_allclose(plain["maps"]([6])[0, 0, 0, 0], expected, atol=1e-5)


def test_the_page_explains_the_comparison_with_the_mean_of_the_patches(mixed, grids):
    assert "stand out" in texts(open_page("tokens", run="tiny-mean", token="0"))
    assert grids[-1]["quantity"] == "cosine minus its mean"
    for link in ({"token": "3"}, {"cosine": "Plain"}, {"run": "class-token"}):
        assert "stand out" not in texts(open_page("tokens", **{"run": "tiny-mean"} | link))
        assert grids[-1]["quantity"] == "cosine"


def test_norm_maps_do_not_depend_on_the_chosen_token(trained, grids):
    open_page("tokens", image="val-3", aspect="Norms", token="4")
    expected = recorded("tiny", 3)[2].layers[1].tokens[0].norm(dim=-1)
    np.testing.assert_allclose(grids[-1]["maps"]([0])[0, 0, 0, 2], expected, rtol=1e-5)
    assert not grids[-1]["pairs"]


def test_components_show_their_share_of_the_variance(trained):
    app = open_page("tokens", image="val-3", aspect="Components")
    patches = recorded("tiny", 3)[2].layers[1].tokens[0, 1:].numpy()
    values = np.linalg.svd(patches - patches.mean(axis=0), compute_uv=False) ** 2
    assert f"**Layer 2**  \n{values[:3].sum() / values.sum():.0%} of the variance" in texts(app)
    app.toggle(key="aligned").set_value(False).run()
    assert not app.exception
    red, green, blue = (f"{share:.0%}" for share in (values / values.sum())[:3])
    assert f"red {red}, green {green}, blue {blue}" in texts(app)


@pytest.mark.parametrize("run", ["tiny", "class-token", "mended", "course"])
def test_the_lens_ends_with_the_models_own_answer(mixed, run):
    app = open_page("tokens", run=run, image="val-3", aspect="Logit lens")
    _, info, record = recorded(run, 3)
    own = record.logits[0].softmax(dim=0)
    assert f"After the last layer: **{info.class_names[own.argmax()]}**, {own.max():.1%}" in texts(app)
    assert "The thick line is the true class." in texts(app)


def test_the_lens_of_a_patch_and_the_map_of_the_chosen_class(trained, grids):
    app = open_page("tokens", image="val-3", aspect="Logit lens", token="5", **{"class": "pizza"})
    model, info, record = recorded("tiny", 3)
    with torch.no_grad():
        said = model.head(model.norm(record.layers[1].tokens[0])).softmax(dim=-1).numpy()
    assert "Patch r2 c1: probabilities by layer" in texts(app)
    best = said[5].argmax()
    assert f"After the last layer: **{info.class_names[best]}**, {said[5, best]:.1%}" in texts(app)
    np.testing.assert_allclose(grids[-1]["maps"]([0])[0, 0, 0, 2], said[:, info.class_names.index("pizza")], atol=1e-5)
    assert "pizza" in grids[-1]["title"]
    most = np.bincount(said[1:].argmax(axis=1))
    assert f"**Layer 2**  \n{most.max()} of 16 predict {info.class_names[most.argmax()]}" in texts(app)
    before = grids[-1]["version"]
    app.selectbox(key="class").set_value("bus").run()
    assert "bus" in grids[-1]["title"]
    assert grids[-1]["version"] != before


def test_the_course_networks_patches_have_no_lens_and_the_page_says_why(mixed, grids):
    app = open_page("tokens", run="course", image="val-3", aspect="Logit lens", token="5")
    assert "mixes positions" in texts(app)
    assert "Summary token (mean of all tokens): probabilities by layer" in texts(app)
    assert not grids
    app = open_page("tokens", run="course", image="val-3", token="5")
    assert "mixes positions" in app.warning[0].value
    assert grids


def test_a_convolutional_network_shows_an_error(mixed):
    app = open_page("tokens", run="cnn")
    assert "has no tokens" in app.error[0].value
    assert not own_widgets(app)


def test_an_uploaded_picture_has_no_class_of_its_own(trained):
    picture = save_picture(Image.new("RGB", (60, 40), "orange"))
    app = open_page("tokens", image=f"pic-{picture}", aspect="Logit lens")
    assert "Uploaded image" in texts(app)
    assert "After the last layer" in texts(app)
    assert "thick line" not in texts(app)


def test_damaged_weights_show_an_error(trained):
    (runs.find_run("tiny").path / "model.safetensors").write_bytes(b"nothing")
    assert "damaged" in open_page("tokens").error[0].value


def test_switching_to_a_shallower_run_keeps_numbers_within_bounds(mixed):
    app = open_page("tokens", run="tiny-deep", token="16", layer="3")
    app.selectbox(key="run").set_value("tiny").run()
    assert not app.exception
    assert (app.number_input(key="token").value, layer(app)) == (16, 2)


def test_choosing_a_class_keeps_the_colours_of_the_other_classes():
    probabilities = np.linspace(1, 2, 20)[None].repeat(3, axis=0)
    seen = SimpleNamespace(summary_lens=probabilities / probabilities.sum(), true=2, predicted=19)
    before, after = (logit_lens.coloured_classes(seen, None, label) for label in (19, 5))
    assert before == [2, 15, 16, 17, 18, 19]
    assert after == [2, 5, 16, 17, 18, 19]
