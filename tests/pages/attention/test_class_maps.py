"""Grad-CAM of a convolutional network, and two kinds of network side by side."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pages.ui import cached_models, text
from tests.conftest import tiny_config
from tests.pages.attention.test_attention import texts
from tests.pages.opening import open_page, own_widgets
from vit import data, jobs, runs
from vit.config import CNNConfig, DataConfig, ReferenceConfig, RunConfig
from vit.data.files.pictures import save_picture
from vit.evaluation import predict
from vit.runs import weights


def other_config(model, **data_settings) -> RunConfig:
    base = tiny_config()
    settings = base.data.model_dump() | {"image_size": model.image_size} | data_settings
    return base.model_copy(update={"model": model, "data": DataConfig(**settings)})


@pytest.fixture(scope="module")
def zoo(workshop, tmp_path_factory) -> Path:
    """The runs of the workshop and trained runs of other networks: "cnn" (48 px images) and "course"."""
    folder = tmp_path_factory.mktemp("zoo")
    shutil.copytree(workshop, folder, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIT_CHECKPOINTS", str(folder / "checkpoints"))
        patch.setenv("VIT_DATA", str(folder / "data"))
        for name, model in {
            "cnn": CNNConfig(image_size=48),
            "course": ReferenceConfig(image_size=32, patch_size=8, embed_dim=16),
        }.items():
            jobs.execute(runs.create(name, other_config(model)))
            assert runs.get_run(name).state == "finished", runs.get_run(name).status.message
    return folder


@pytest.fixture
def mixed(home, zoo) -> Path:
    shutil.copytree(zoo, home, dirs_exist_ok=True)
    return home


def probabilities(name: str, image: Image.Image) -> dict[str, float]:
    model, info = weights.load_checkpoint(runs.get_run(name).path)
    return dict(zip(info.class_names, predict(model, info, [image])[0].tolist(), strict=True))


def shown_image(name: str, index: int) -> Image.Image:
    split = data.load(runs.get_run(name).config.data, splits=("val",)).val
    return Image.fromarray(np.ascontiguousarray(np.moveaxis(split.images[index], 0, -1)))


def test_a_convolutional_network_shows_grad_cam_for_the_predicted_class(mixed):
    app = open_page("attention", run="cnn", image="val-3")
    answers = probabilities("cnn", shown_image("cnn", 3))
    best = max(answers, key=answers.get)
    assert not app.error
    assert f"predicted: {best}, {answers[best]:.1%}" in texts(app)
    assert (app.selectbox(key="class").value, app.selectbox(key="class").placeholder) == (None, f"{best} (predicted)")
    assert f"Grad-CAM for {best}" in texts(app)
    assert [f"Block {number}, {side} × {side}" in texts(app) for number, side in enumerate((24, 12, 6, 3), 1)] == [
        True
    ] * 4
    assert "no attention" in texts(app)
    assert not own_widgets(app)


def test_a_class_can_be_chosen_and_is_in_the_link(mixed):
    app = open_page("attention", run="cnn", image="val-3", **{"class": "pizza"})
    assert app.selectbox(key="class").value == "pizza"
    assert "Where it looks for **pizza**" in texts(app)
    app.selectbox(key="class").set_value("bus").run()
    assert not app.exception
    assert "Where it looks for **bus**" in texts(app)
    app.button(key="image_next").click().run()
    assert "Where it looks for **bus**" in texts(app)


@pytest.mark.parametrize(
    "link", [{"class": "zebra"}, {"beside": "gone"}, {"beside": "cnn"}, {"class": "", "beside": ""}]
)
def test_an_invalid_link_falls_back_to_the_predicted_class(mixed, link):
    app = open_page("attention", run="cnn", image="val-3", **link)
    assert app.selectbox(key="class").value is None
    assert app.selectbox(key="beside").value is None
    assert "Where it looks for" in texts(app)


def test_each_kind_of_network_offers_runs_of_the_other_kind_with_the_same_classes(mixed):
    shutil.copytree(mixed / "checkpoints" / "cnn", mixed / "checkpoints" / "cnn-other-classes")
    path = mixed / "checkpoints" / "cnn-other-classes"
    config = other_config(CNNConfig(image_size=48), class_names=("airplane", "bus", "cat", "dog", "zebra"))
    runs.write_config(path, config)
    assert set(open_page("attention", run="cnn").selectbox(key="beside").options) == {
        "tiny",
        "tiny-mean",
        "tiny-deep",
        "course",
    }
    assert open_page("attention", run="tiny").selectbox(key="beside").options == ["cnn"]


@pytest.mark.parametrize(("run", "beside"), [("cnn", "tiny"), ("tiny", "cnn")])
def test_two_networks_see_the_same_picture_each_at_its_own_size(mixed, run, beside):
    app = open_page("attention", run=run, image="val-5", beside=beside, **{"class": "dog"})
    assert not app.error
    picture = shown_image(run, 5)
    for name in (run, beside):
        answers = probabilities(name, picture)
        best = max(answers, key=answers.get)
        assert f"predicted: {best}, {answers[best]:.1%}" in texts(app)
        if best != "dog":
            assert f"dog: {answers['dog']:.1%}" in texts(app)
    assert "Where it looks for **dog**: Grad-CAM of its last block, 3 × 3" in texts(app)
    assert "What it attends to for **dog**: relevance over all layers (Chefer et al. 2021), 4 × 4" in texts(app)


def test_the_same_image_number_of_another_run_is_another_image(mixed):
    """The number of an image alone must not be the key of a cached answer."""
    run = runs.get_run("tiny")
    first, second = shown_image("tiny", 0), shown_image("tiny", 1)
    assert not np.array_equal(cached_models.prediction(run, first).view, cached_models.prediction(run, second).view)
    np.testing.assert_array_equal(cached_models.prediction(run, first).view, np.asarray(first))


def test_the_course_network_shows_its_caveat_next_to_another_network(mixed):
    app = open_page("attention", run="course", image="val-1", beside="cnn")
    assert "mixes positions" in app.warning[0].value
    assert "the same for every class" in texts(app)
    assert texts(app).count("columns of a map sum to 1") == 1
    assert len(own_widgets(app)) == 1


def test_without_a_run_of_the_other_kind_the_select_box_says_so(trained):
    app = open_page("attention", run="tiny")
    assert app.selectbox(key="beside").disabled
    assert "No convolutional network yet" in app.selectbox(key="beside").placeholder


def test_damaged_weights_of_the_second_run_show_an_error_and_keep_the_page(mixed):
    (mixed / "checkpoints" / "tiny" / "model.safetensors").write_bytes(b"nothing")
    app = open_page("attention", run="cnn", image="val-3", beside="tiny")
    assert "damaged" in app.error[0].value
    assert "Where it looks for" in texts(app)


def test_switching_between_kinds_of_network_keeps_the_image(mixed):
    app = open_page("attention", run="tiny", image="val-7", token="5")
    for name, grids in (("cnn", 0), ("tiny", 1)):
        app.selectbox(key="run").set_value(name).run()
        assert not app.exception
        assert not app.error
        assert app.text_input(key="image").value == "val-7"
        assert len(own_widgets(app)) == grids


def test_both_networks_see_an_uploaded_picture(mixed):
    content = io.BytesIO()
    Image.new("RGB", (90, 60), "orange").save(content, "PNG")
    picture = save_picture(Image.open(io.BytesIO(content.getvalue())))
    app = open_page("attention", run="cnn", image=f"pic-{picture}", beside="tiny")
    assert not app.error
    assert "The image" in texts(app)
    assert texts(app).count("predicted:") == 3
    assert text.plain("tiny") in texts(app)
