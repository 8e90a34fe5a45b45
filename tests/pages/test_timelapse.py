"""Time-lapse: runs, links and epochs, runs that are still training, and films."""

import base64
import io
import json
import os

import numpy as np
import pyarrow as pa
import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from pages.timelapse.frames import FrameCache, frame_cache
from pages.ui.images.image_picker import open_id
from tests.conftest import tiny_config
from tests.pages.opening import open_page, own_widgets
from vit import runs
from vit.config import CNNConfig, ModelConfig, ReferenceConfig
from vit.data.batches import to_tensor
from vit.evaluation import model_view
from vit.explain import METHODS, attention_arrays, capture, token_rows
from vit.networks import build_model
from vit.runs import snapshots, weights


@pytest.fixture(autouse=True)
def empty_cache():
    frame_cache.clear()


def texts(app: AppTest) -> str:
    return " ".join(element.value for kind in ("markdown", "caption", "subheader", "info") for element in app.get(kind))


def grid(app: AppTest) -> tuple[dict, np.ndarray]:
    """Return the settings and the numbers sent to the grid of maps."""
    proto = next(one.proto for one in own_widgets(app) if one.proto.component_name != "clock")
    values = pa.ipc.open_stream(next(iter(proto.mixed.arrow_blobs.values())).data).read_all()["value"].to_numpy()
    return json.loads(proto.mixed.json), values


def drop_snapshots(run: runs.Run) -> None:
    for file in (run.path / runs.SNAPSHOTS).iterdir():
        file.unlink()


def untrained(name: str, model: ModelConfig, epochs: tuple[int, ...]) -> runs.Run:
    """Create a finished run with random weights for each epoch."""
    run = runs.create(name, tiny_config().model_copy(update={"model": model}))
    weights.save_model(run.path, build_model(model, seed=1).state_dict(), {"epoch": epochs[-1], "validated": False})
    (run.path / runs.SNAPSHOTS).mkdir()
    for epoch in epochs:
        weights.save_snapshot(run.path, epoch, build_model(model, seed=epoch + 1).state_dict())
    runs.update_status(run.path, state="finished")
    return run


def test_a_run_without_snapshots_says_how_to_get_them_and_names_runs_with_snapshots(several):
    drop_snapshots(runs.find_run("tiny"))
    app = open_page("timelapse", run="tiny")
    assert "saved no snapshots" in app.info[0].value
    assert r"tiny\-deep" in app.info[0].value
    assert [link.value for link in app.main.get("page_link")] == ["Train a model"]
    assert not own_widgets(app)


def test_the_maps_of_all_epochs_and_tokens_are_those_of_the_snapshots(trained):
    data, values = grid(open_page("timelapse", image="val-3"))
    assert (data["frames"], data["frame"], data["every"]) == ([0, 1, 2], 2, True)
    run = runs.find_run("tiny")
    config = run.config.data
    images = to_tensor([model_view(config, open_id("val-3", run).image)], config.mean, config.std)
    values = values.reshape(3, 17, 2, 2, 17)
    for frame, epoch in enumerate((0, 1, 2)):
        record = capture(snapshots.load(run, epoch), images)
        attention = attention_arrays(record)
        for token in range(17):
            np.testing.assert_allclose(values[frame, token], token_rows(record, attention, token), rtol=1e-5)


def test_a_link_reproduces_the_view(several):
    link = {"run": "tiny-mean", "image": "val-7", "epoch": "1", "token": "5", "layer": "2", "head": "2", "class": "cat"}
    app = open_page("timelapse", **link)
    chosen = {box.key: box.value for kind in (app.selectbox, app.number_input, app.text_input) for box in kind}
    assert {key: str(chosen[key]) for key in link} == link
    data, _ = grid(app)
    assert [data[key] for key in ("frame", "token", "row", "column")] == [1, 5, 2, 2]
    assert data["notes"][1].startswith(("airplane", "bus", "cat", "dog", "pizza")), data["notes"]
    assert "The probability of **cat**" in texts(app)


@pytest.mark.parametrize(("asked", "chosen", "frame"), [("9", 2, 2), ("-3", 0, 0), ("soon", None, 2)])
def test_a_missing_epoch_is_replaced_by_the_nearest_or_the_newest(trained, asked, chosen, frame):
    app = open_page("timelapse", epoch=asked)
    assert app.selectbox(key="epoch").value == chosen
    assert grid(app)[0]["frame"] == frame


def test_the_charts_follow_the_chosen_epoch_and_class(trained):
    app = open_page("timelapse", **{"epoch": "1", "class": "bus"})
    charts = [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]
    answers, accuracy, entropy, distance, lens = charts
    assert all(chart["layout"]["shapes"][0]["x0"] == 1 for chart in (answers, accuracy, entropy, distance))
    assert lens["layout"]["shapes"][0]["x0"] == 0.5  # the second column is framed
    assert [trace["name"] for trace in answers["data"] if trace["line"]["width"] > 2] == ["bus"]
    assert answers["data"][1]["y"] == pytest.approx(lens_top(lens), abs=1e-6)
    assert all(chart["layout"][axis]["title"]["text"] for chart in charts for axis in ("xaxis", "yaxis"))


def lens_top(lens: dict) -> list[float]:
    """The top row of the lens, which is the answer."""
    z = lens["data"][0]["z"]
    rows, columns = (int(side) for side in z["shape"].split(","))
    return np.frombuffer(base64.b64decode(z["bdata"]), dtype=z["dtype"]).reshape(rows, columns)[-1].tolist()


def test_a_method_has_one_map_per_epoch_and_no_patch_picker(trained):
    app = open_page("timelapse", method="chefer", image="val-3", epoch="1", **{"class": "dog"})
    assert app.selectbox(key="method").value == "chefer"
    data, values = grid(app)
    assert (data["picker"], data["frames"], data["tokens"]) == (False, [0, 1, 2], 1)
    np.testing.assert_allclose(values.reshape(3, 16).sum(axis=1), 1, rtol=1e-5)
    assert METHODS["chefer"].caution in texts(app)
    assert "relevance for dog" in texts(app)


def test_a_method_that_the_network_does_not_have_gives_way_to_its_heads(home, workshop):
    untrained("course", ReferenceConfig(image_size=32, patch_size=8, embed_dim=16, depth=1), (1, 2))
    app = open_page("timelapse", run="course", method="rollout")
    assert app.selectbox(key="method").value is None
    assert "mixes positions" in app.warning[0].value
    assert grid(app)[0]["summary"] == "mean of all tokens"
    assert "Statistics of each head" not in texts(app)
    assert len(app.get("plotly_chart")) == 3


def test_a_convolutional_network_shows_grad_cam_and_its_answers(home):
    untrained("cnn", CNNConfig(image_size=32), (1, 4))
    app = open_page("timelapse", run="cnn", epoch="4")
    assert not app.error
    data, _ = grid(app)
    assert (data["frames"], data["frame"], data["title"]) == ([0, 1, 4], 2, "Grad-CAM")
    assert len(app.get("plotly_chart")) == 2
    assert set(app.selectbox(key="method").options) == {"Grad-CAM", "Integrated gradients", "Occlusion"}


def test_the_new_snapshot_of_a_training_run_appears(trained):
    run = runs.find_run("tiny")
    second = weights.snapshot_path(run.path, 2)
    hidden = second.rename(run.path / "later")
    runs.update_status(run.path, state="running")
    with runs.run_lock(run.path):
        app = open_page("timelapse", image="val-3")
        assert "still training" in app.info[0].value
        assert grid(app)[0]["frames"] == [0, 1]
        hidden.rename(second)
        app.run()
        assert not app.exception
        assert (grid(app)[0]["frames"], grid(app)[0]["frame"]) == ([0, 1, 2], 2)
    runs.update_status(run.path, state="finished")
    app.run()
    assert not app.info


def test_a_chosen_epoch_stays_when_a_snapshot_appears(trained):
    run = runs.find_run("tiny")
    weights.snapshot_path(run.path, 2).rename(run.path / "later")
    runs.update_status(run.path, state="running")
    with runs.run_lock(run.path):
        app = open_page("timelapse", image="val-3", epoch="0")
        (run.path / "later").rename(weights.snapshot_path(run.path, 2))
        app.run()
        assert app.selectbox(key="epoch").value == 0
        assert (grid(app)[0]["frames"], grid(app)[0]["frame"]) == ([0, 1, 2], 0)


def test_a_run_that_has_just_begun_shows_its_random_weights(trained):
    run = runs.find_run("tiny")
    drop_snapshots(run)
    runs.update_status(run.path, state="running")
    with runs.run_lock(run.path):
        app = open_page("timelapse")
        assert grid(app)[0]["frames"] == [0]
        assert len(grid(app)[0]["notes"]) == 1


def test_frames_are_computed_once_per_snapshot_and_image(trained, monkeypatch):
    loaded = []
    real = snapshots.load
    monkeypatch.setattr(snapshots, "load", lambda run, epoch: loaded.append(epoch) or real(run, epoch))
    app = open_page("timelapse", image="val-3")
    assert loaded == [0, 1, 2]
    app.selectbox(key="epoch").set_value(1).run()
    open_page("timelapse", image="val-3", token="4")
    assert loaded == [0, 1, 2]
    file = weights.snapshot_path(runs.find_run("tiny").path, 2)
    os.utime(file, ns=(1, 1))
    open_page("timelapse", image="val-3")
    assert loaded == [0, 1, 2, 2]
    open_page("timelapse", image="val-4")
    assert loaded == [0, 1, 2, 2, 0, 1, 2]


def test_the_cache_drops_the_least_recently_used_frames(monkeypatch):
    monkeypatch.setattr("pages.timelapse.frames.CACHE_BYTES_MAX", 100)
    cache = FrameCache()
    for name in "abc":
        cache.put(name, name, 40)
        cache.get("a")
    assert [cache.get(name) for name in "abc"] == ["a", None, "c"]
    cache.put("large", "large", 1000)
    assert [cache.get(name) for name in ("a", "c", "large")] == [None, None, "large"]


def test_a_damaged_snapshot_shows_an_error(trained):
    weights.snapshot_path(runs.find_run("tiny").path, 2).write_bytes(b"nothing")
    app = open_page("timelapse")
    assert "damaged" in app.error[0].value


@pytest.mark.parametrize("method", [None, "chefer"])
def test_films_have_a_frame_for_each_epoch(trained, monkeypatch, method):
    made = {}
    monkeypatch.setattr(st, "download_button", lambda label, data, **_: made.update({label: data}))
    open_page("timelapse", image="val-3", **({"method": method} if method else {}))
    with Image.open(io.BytesIO(made["Film as GIF"]())) as image:
        assert (image.format, image.n_frames) == ("GIF", 3)
    assert made["Film as MP4"]()[4:8] == b"ftyp"


def test_every_frame_has_its_own_prediction_and_the_kept_epoch_is_named(several):
    app = open_page("timelapse", run="tiny-mean", image="val-7", epoch="1")
    notes = grid(app)[0]["notes"]
    assert len(notes) == len(grid(app)[0]["frames"])
    best = runs.find_run("tiny-mean").status.best
    assert f"those after epoch {best['epoch']}: validation accuracy {best['val_accuracy']:.1%}" in texts(app)
    assert "predicted" not in texts(app)
