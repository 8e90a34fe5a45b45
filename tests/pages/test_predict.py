"""Predict: each image gets a prediction, each other file an error message."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from tests.pages.opening import open_page
from vit import runs


def upload(app: AppTest, *files: tuple[str, bytes]) -> AppTest:
    app.file_uploader[0].set_value([(name, content, "image/png") for name, content in files]).run()
    assert not app.exception
    return app


def png(seed: int) -> bytes:
    content = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def cards(app: AppTest) -> int:
    return len(app.get("plotly_chart"))


def links(app: AppTest) -> list:
    return [link for link in app.main.get("page_link") if link.value == "See its attention"]


def test_without_a_run_the_page_links_to_train(home):
    app = open_page("predict")
    assert [link.value for link in app.main.get("page_link")] == ["Train a model"]


def test_images_get_a_prediction_and_other_files_an_error(trained):
    app = upload(
        open_page("predict"), ("one.png", png(1)), ("letter.png", b"Dear sir"), ("two.png", png(2)), ("empty.jpg", b"")
    )
    assert cards(app) == len(app.image) == len(links(app)) == 2
    assert len(app.error) == 2
    assert "not an image" in app.error[0].value
    assert {"one\\.png", "two\\.png"} <= {caption.value for caption in app.caption}


def test_if_there_are_too_many_images_the_first_are_taken_and_a_message_is_shown(trained):
    app = upload(open_page("predict"), *((f"{index}.png", png(index)) for index in range(26)))
    assert cards(app) == 24
    assert "Only the first 24 of 26 images were taken" in app.error[0].value


def test_uploading_the_same_image_twice_gives_one_card(trained):
    app = upload(upload(open_page("predict"), ("one.png", png(1))), ("again.png", png(1)))
    assert cards(app) == 1


def test_results_remain_after_visiting_another_page(trained):
    app = upload(open_page("predict"), ("one.png", png(1)))
    app.switch_page("overview/page.py").run()
    app.switch_page("predict/page.py").run()
    assert cards(app) == 1


def test_an_image_that_a_link_contains_twice_is_shown_once(trained):
    assert cards(open_page("predict", pictures="val-3,val-1,val-3")) == 2


def test_a_link_shows_the_same_images_in_another_session(trained):
    app = upload(open_page("predict"), ("one.png", png(1)), ("two.png", png(2)))
    other = open_page("predict", pictures=app.query_params["pictures"], run="tiny")
    assert cards(other) == 2


@pytest.mark.parametrize("asked", ["pic-0123456789abcdef", "val-99999", "../../secret,<script>", ",,,"])
def test_a_link_to_a_missing_image_shows_an_error_and_an_invalid_link_nothing(trained, asked):
    app = open_page("predict", pictures=asked)
    assert cards(app) == 0
    assert len(app.error) == (1 if asked.startswith(("pic-", "val-")) else 0)


def test_sample_images_are_shown_with_their_true_class(trained):
    app = open_page("predict")
    next(button for button in app.button if button.label == "Sample images").click().run()
    assert not app.exception
    assert cards(app) == 4
    assert sum("true:" in caption.value for caption in app.caption) == 4


def test_clear_removes_everything(trained):
    app = upload(open_page("predict"), ("one.png", png(1)), ("letter.png", b"no"))
    next(button for button in app.button if button.label == "Clear").click().run()
    assert not app.exception
    assert cards(app) == 0
    assert not app.error
    assert "pictures" not in app.query_params


def test_another_run_predicts_the_same_images(several):
    app = upload(open_page("predict", run="tiny"), ("one.png", png(1)))
    before = app.get("plotly_chart")[0].proto.spec
    app.selectbox(key="run").set_value("tiny-deep").run()
    assert not app.exception
    assert cards(app) == 1
    assert app.get("plotly_chart")[0].proto.spec != before


def test_a_run_without_weights_is_not_offered(several):
    (runs.find_run("tiny").path / "model.safetensors").unlink()
    app = open_page("predict")
    assert set(app.selectbox(key="run").options) == {"tiny-mean", "tiny-deep"}


def test_samples_of_a_missing_data_set_show_an_error(trained, monkeypatch):
    from pages.ui import cached_models
    from vit import data
    from vit.errors import DataError

    def gone(*_, **__):
        raise DataError("The data set is gone.")

    monkeypatch.setattr(data, "load", gone)
    cached_models._validation.clear()
    app = open_page("predict")
    next(button for button in app.button if button.label == "Sample images").click().run()
    assert not app.exception
    assert "gone" in app.error[0].value


def test_file_names_are_not_interpreted_as_markdown(trained):
    app = upload(open_page("predict"), ("secret/folder/**big** :red[text] <b>.png", png(3)))
    shown = next(caption.value for caption in app.caption if "big" in caption.value)
    assert "**" not in shown
    assert ":red[" not in shown
    assert "secret" not in shown


def test_the_page_still_works_if_its_run_is_deleted(several):
    app = open_page("predict", run="tiny")
    shutil.rmtree(runs.find_run("tiny").path)
    app.run()
    assert not app.exception
    assert app.selectbox(key="run").value != "tiny"
