"""The picture at the top of Overview: what is sent to the browser, and where there is no picture."""

import json
import shutil
import time

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from pages.overview import hero
from pages.ui.widgets.attention_lines import ImageWithObject, first_layer, stops
from tests.helpers.dependence import LOW
from tests.pages.opening import open_page
from vit import load_checkpoint, runs
from vit.config import CNNConfig
from vit.data import scenes
from vit.data.files.images import prepared_image
from vit.evaluation import model_input
from vit.explain import capture
from vit.explain.example import keep_example
from vit.runs.dependence import write_dependence


def include(home, name: str) -> runs.Run:
    """Make a trained run the included one."""
    shutil.move(home / "checkpoints" / name, home / "checkpoints" / runs.SHIPPED_RUN)
    return runs.get_run(runs.SHIPPED_RUN)


def sent(app: AppTest) -> dict:
    """What the picture gets, with its arrays."""
    (widget,) = [one for one in app.get("bidi_component") if one.proto.component_name.endswith("attention_lines")]
    data = json.loads(widget.proto.mixed.json)
    for name in ("levels", "tops"):
        blob = widget.proto.mixed.arrow_blobs[next(iter(data[name].values()))]
        data[name] = pa.ipc.open_stream(blob.data).read_all()["value"].to_numpy()
    return data


def pictures(app: AppTest) -> int:
    return sum(one.proto.component_name.endswith("attention_lines") for one in app.get("bidi_component"))


@pytest.mark.parametrize("name", ["tiny", "tiny-mean"])
def test_the_array_is_the_attention_of_the_network_on_the_image_that_is_shown(several, name):
    run = include(several, name)
    chosen = keep_example(run)
    write_dependence(run.path, LOW)
    app = open_page("overview")
    assert [warning.value for warning in app.warning] == [LOW.warning]
    data = sent(app)
    assert str(several) not in json.dumps(data["version"])
    model, info = load_checkpoint(run.path)
    pixels, mask, label = scenes.draw(chosen.image, split="val", image_size=32, seed=run.config.data.seed)
    record = capture(model, model_input(info, prepared_image(pixels)))
    attention = record.attention[0].numpy()
    shape = (data["depth"], data["heads"], data["tokens"], data["tokens"])
    assert shape == attention.shape
    assert (data["rows"], data["columns"], len(data["before"])) == (*record.grid, record.prefix_tokens)
    assert data["levels"].dtype == np.uint8
    seen = data["levels"].reshape(shape) * data["tops"].reshape(shape[:-1])[..., None] / 255
    assert (np.abs(seen - attention) <= attention.max(axis=-1, keepdims=True) / 510 + 1e-6).all()
    assert data["object"] == scenes.CLASSES[label]
    assert data["covered"] == pytest.approx(mask.mean(), abs=1e-6)
    guess = record.logits[0].softmax(dim=-1)
    assert data["answer"].startswith(f"Prediction: {scenes.CLASSES[int(guess.argmax())]} ({float(guess.max()):.0%}).")


def test_without_a_stored_example_it_is_computed_in_the_background(trained):
    include(trained, "tiny")
    app = open_page("overview")
    end = time.monotonic() + 60
    while not pictures(app) and time.monotonic() < end:
        time.sleep(0.1)
        app.run()
    assert not app.exception
    assert not app.error
    assert pictures(app) == 1


def test_a_network_without_maps_or_with_too_many_weights_has_no_picture(trained, monkeypatch):
    run = include(trained, "tiny")
    with monkeypatch.context() as patch:
        patch.setattr(hero, "BYTES_MAX", 10)
        app = open_page("overview")
    assert pictures(app) == 0
    assert app.button(key="tour_begin")
    cnn = CNNConfig(image_size=32, num_classes=5)
    runs.write_config(run.path, run.config.model_copy(update={"model": cnn}))
    app = open_page("overview")
    assert pictures(app) == 0
    assert not app.error
    assert "Start here" in [heading.value for heading in app.subheader]


def view(cover, before=("class token",), has_summary=True) -> ImageWithObject:
    return ImageWithObject(
        image=Image.new("RGB", (4, 4)),
        name="cat",
        cover=np.array(cover),
        grid=(2, 3),
        before=before,
        has_summary=has_summary,
    )


def test_it_plays_over_patches_of_the_object_that_attend_to_the_object():
    inside = np.array([0.9, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    cover = [0, 1, 1, 0.95, 0.3, 1]
    assert stops(view(cover), inside) == [0, 2, 3, 4, 6]
    assert stops(view(cover, before=(), has_summary=False), inside[1:]) == [1, 2, 3, 5]
    assert stops(view(cover, before=("class token", "register 1")), np.append(0, inside)) == [0, 3, 4, 5, 7]


def test_it_begins_with_the_layer_that_attends_to_the_object_most():
    attention = np.full((2, 1, 7, 7), 1 / 7)
    attention[1, 0, 0] = [0, 0, 1, 0, 0, 0, 0]  # the class token of layer 2 attends to the object
    attention[0, 0, 2] = [0, 0, 1, 0, 0, 0, 0]  # a patch of the object does in layer 1
    cover = [0, 1, 0, 0, 0, 0]
    assert first_layer(attention, view(cover)) == 1
    assert first_layer(attention, view(cover, has_summary=False)) == 0
