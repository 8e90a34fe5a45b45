"""Attention: any run, image, token, layer and head, from controls and from links."""

import base64
import io
import json
import re
import shutil

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from pages.ui import cached_models, text
from pages.ui.images import image_picker
from pages.ui.widgets import map_grid
from tests.pages.opening import open_page, own_widgets
from vit import data, explain, runs
from vit.data.files.pictures import save_picture
from vit.errors import DataError
from vit.evaluation import predict
from vit.explain import attention_arrays, capture, contributions
from vit.runs import weights


def state(app: AppTest) -> tuple:
    return tuple(app.number_input(key=key).value for key in ("token", "layer", "head"))


def texts(app: AppTest) -> str:
    return " ".join(element.value for kind in ("markdown", "caption", "subheader") for element in app.get(kind))


@pytest.fixture
def picture(home) -> str:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    return save_picture(Image.fromarray(pixels))


def test_without_a_run_the_page_links_to_train(home):
    app = open_page("attention")
    assert "No trained run yet" in app.markdown[-1].value
    assert [link.value for link in app.main.get("page_link")] == ["Train a model"]


def test_it_shows_the_true_label_and_the_prediction_with_its_probability(trained):
    app = open_page("attention", image="val-3")
    run = runs.find_run("tiny")
    model, info = weights.load_checkpoint(run.path)
    split = data.load(run.config.data, splits=("val",)).val
    probabilities = predict(model, info, [np.moveaxis(split.images[3], 0, -1)])[0]
    best = info.class_names[probabilities.argmax()]
    shown = texts(app)
    assert f"true: {info.class_names[split.labels[3]]}" in shown
    assert f"predicted: {best}, {probabilities.max():.1%}" in shown


def test_a_link_reproduces_the_view(several):
    app = open_page(
        "attention",
        run="tiny-deep",
        image="val-7",
        token="5",
        layer="3",
        head="2",
        scale="per tile",
        opacity="40",
        smooth="true",
    )
    assert app.selectbox(key="run").value == "tiny-deep"
    assert app.text_input(key="image").value == "val-7"
    assert state(app) == (5, 3, 2)
    assert app.slider(key="opacity").value == 40
    assert [control.value for control in app.get("segmented_control")] == ["Attention", "per tile"]
    assert (sent(app)["smooth"], sent(app)["perTile"], sent(app)["opacity"]) == (True, True, 0.4)
    assert "Layer 3, head 2: every token to every token" in texts(app)


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ({"token": "9999", "layer": "99", "head": "99"}, (16, 2, 2)),
        ({"token": "-4", "layer": "0", "head": "-1"}, (0, 1, 1)),
        ({"token": "abc", "layer": "", "head": "1e9"}, (0, 1, 1)),
    ],
)
def test_numbers_out_of_bounds_are_clamped(trained, link, expected):
    assert state(open_page("attention", **link)) == expected


@pytest.mark.parametrize(
    ("asked", "shown"), [("val-99999", "val-29"), ("12", "val-12"), ("../../etc", "val-0"), ("", "val-0")]
)
def test_a_missing_image_is_replaced_by_the_nearest(trained, asked, shown):
    assert open_page("attention", image=asked).text_input(key="image").value == shown


def test_a_missing_run_is_replaced_by_another_with_a_message(trained):
    app = open_page("attention", run="gone")
    assert app.selectbox(key="run").value == "tiny"
    assert app.warning[0].value == "There is no run **gone**. Showing **tiny** instead."
    assert app.query_params["run"] == "tiny"


def test_switching_to_a_shallower_run_keeps_numbers_within_bounds(several):
    app = open_page("attention", run="tiny-deep", token="16", layer="3", head="2")
    app.selectbox(key="run").set_value("tiny").run()
    assert not app.exception
    assert state(app) == (16, 2, 2)


def test_the_step_buttons_wrap_around(trained):
    app = open_page("attention")
    for button, expected in (("next", "val-1"), ("previous", "val-0"), ("previous", "val-29"), ("next", "val-0")):
        app.button(key=f"image_{button}").click().run()
        assert not app.exception
        assert app.text_input(key="image").value == expected


def test_an_uploaded_picture_becomes_the_image(trained):
    app = open_page("attention")
    content = io.BytesIO()
    Image.new("RGB", (40, 50), "orange").save(content, "PNG")
    app.file_uploader[0].set_value(("mine.png", content.getvalue(), "image/png")).run()
    assert not app.exception
    assert app.text_input(key="image").value.startswith("pic-")
    assert "mine\\.png" in texts(app)


def test_an_upload_that_is_not_an_image_shows_an_error_and_keeps_the_view(trained):
    app = open_page("attention", image="val-5")
    app.file_uploader[0].set_value(("letter.png", b"Dear sir", "image/png")).run()
    assert not app.exception
    assert "not an image" in app.error[0].value
    assert app.text_input(key="image").value == "val-5"


def test_uploaded_pictures_work_when_the_data_set_is_gone(trained, picture, monkeypatch):
    monkeypatch.setattr(data, "load", lambda *_, **__: (_ for _ in ()).throw(DataError("It is gone.")))
    cached_models._validation.clear()
    app = open_page("attention", image="val-3")
    assert app.error[0].value == text.plain("It is gone.")
    assert app.text_input(key="image").value == f"pic-{picture}"
    assert len(own_widgets(app)) == 1


def test_damaged_weights_show_an_error(trained):
    (runs.find_run("tiny").path / "model.safetensors").write_bytes(b"nothing")
    app = open_page("attention")
    assert "damaged" in app.error[0].value


def sent(app: AppTest) -> dict:
    """Return the data sent to the grid."""
    return json.loads(own_widgets(app)[0].proto.mixed.json or own_widgets(app)[0].proto.json)


def test_maps_that_the_browser_holds_are_not_sent_again(trained, monkeypatch):
    app = open_page("attention")
    monkeypatch.setattr(map_grid, "forget_browsers", lambda: None)  # as in a rerun of the fragment alone
    first = sent(app)
    assert {"maps", "image"} <= set(first)
    app.session_state["grid_browsers"] = {"grid": {"version": first["version"], "seq": 1}}
    app.number_input(key="token").set_value(3).run()
    assert not app.exception
    assert not {"maps", "image"} & set(sent(app))
    assert sent(app)["token"] == 3
    app.button(key="image_next").click().run()
    assert {"maps", "image"} <= set(sent(app))


def test_if_the_maps_are_too_large_only_those_of_the_chosen_token_are_sent(trained, monkeypatch):
    monkeypatch.setattr(map_grid, "MAPS_BYTES_MAX", 100)
    app = open_page("attention", token="5")
    assert (sent(app)["every"], sent(app)["first"]) == (False, 5)
    before = sent(app)["version"]
    app.number_input(key="token").set_value(6).run()
    assert (sent(app)["first"], "maps" in sent(app)) == (6, True)
    assert sent(app)["version"] != before


def test_of_a_large_network_the_chosen_head_is_sent_for_all_tokens(trained, monkeypatch):
    monkeypatch.setattr(map_grid, "MAPS_BYTES_MAX", 1000)
    app = open_page("attention", image="val-2", token="5", layer="2", head="1")
    assert not sent(app)["every"]
    blobs = own_widgets(app)[0].proto.mixed.arrow_blobs
    tile = pa.ipc.open_stream(blobs[sent(app)["tile"]["__streamlit_arrow_ref__"]].data).read_all().column(0).to_numpy()
    attention = attention_arrays(recorded("tiny", image_picker.open_id("val-2", runs.find_run("tiny")).image)[1])
    order = [0, *range(1, 17)]  # the class token, then the patches
    np.testing.assert_allclose(tile.reshape(17, 17), attention[1, 0, order], atol=1e-6)
    monkeypatch.setattr(map_grid, "TILE_BYTES_MAX", 500)
    assert "tile" not in sent(open_page("attention", image="val-2"))


def test_hostile_text_is_shown_as_it_is():
    shown = text.plain("**b** [x](http://y) <script> :material/home: $a$ `c`\n# d")
    assert "\n" not in shown
    assert ":material" not in shown
    marks = [match.start() for match in re.finditer(r"[*\[\](<$`#]", shown)]
    assert marks
    assert all(shown[at - 1] == "\\" for at in marks)


def test_a_run_is_reloaded_when_its_weights_change(trained):
    run = runs.find_run("tiny")
    first = cached_models.load_model(run)[0]
    assert cached_models.load_model(run)[0] is first
    shutil.copy2(run.path / "model.safetensors", run.path / "copy")
    (run.path / "copy").touch()
    (run.path / "copy").replace(run.path / "model.safetensors")
    assert cached_models.load_model(run)[0] is not first


def matrices(app: AppTest) -> np.ndarray:
    """Return the values of the matrix below the maps."""
    chart = json.loads(app.get("plotly_chart")[0].proto.spec)["data"][0]["z"]
    if isinstance(chart, dict):
        raw = np.frombuffer(base64.b64decode(chart["bdata"]), dtype=chart["dtype"])
        return raw.reshape([int(side) for side in chart["shape"].split(",")])
    return np.array(chart)


def recorded(name: str, image: Image.Image):
    model, info = weights.load_checkpoint(runs.find_run(name).path)
    return model, capture(model, cached_models.model_input(info, image))


def test_the_views_show_attention_contributions_and_fused_heads(trained):
    picked = image_picker.open_id("val-2", runs.find_run("tiny"))
    model, record = recorded("tiny", picked.image)
    attention = attention_arrays(record)
    app = open_page("attention", image="val-2", layer="2", head="2")
    np.testing.assert_allclose(matrices(app), attention[1, 1], atol=1e-6)
    app = open_page("attention", image="val-2", layer="2", head="2", show="Contribution")
    np.testing.assert_allclose(matrices(app), contributions(model, record)[0, 1, 1], atol=1e-6)
    assert not sent(app)["shares"]
    app = open_page("attention", image="val-2", layer="2", fusion="3", show="Mean, max, min")
    np.testing.assert_allclose(matrices(app), attention[1].min(axis=0), atol=1e-6)
    assert sent(app)["columnNames"][2] == "Min over heads"


def test_the_page_checks_that_the_maps_reproduce_the_models_logits(trained, monkeypatch):
    assert any("these maps reproduce the model's logits" in caption.value for caption in open_page("attention").caption)
    monkeypatch.setattr(explain, "recompute", lambda model, images, record: record.logits + 0.01)
    cached_models._deviation.clear()
    assert any("Do not trust these maps" in caption.value for caption in open_page("attention").caption)
    cached_models._deviation.clear()
