"""Train: the controls add up to what they say, and Start, Stop and the upload do the real thing."""

import random
import time
import zipfile
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.train_controls import Space
from pages.train_data import describe
from tests.conftest import tiny_config
from tests.data.test_catalog import served, server  # noqa: F401 - fixtures
from tests.pages.opening import open_page
from vit import data, jobs, runs
from vit.config import DEPTHS, HEADS, DataConfig, TrainingConfig, ViTConfig
from vit.hardware import Device

GB = 10**9


def metrics(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def wait_for(run: runs.Run, condition, seconds: float = 60) -> None:
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, f"{run.status.state}: {run.status.message}\n{run.log()}"
        time.sleep(0.2)


def small(app: AppTest, *, epochs: int) -> AppTest:
    """The smallest model, for a training of seconds."""
    for key, value in {"heads": 1, "depth": 1, "head_dim": 8, "size": 32, "patch": 16, "batch": 8}.items():
        app.select_slider(key=key).set_value(value)
    app.slider(key="epochs").set_value(epochs)
    app.selectbox(key="device").set_value("cpu")
    return app.run()


@pytest.fixture
def space() -> Space:
    return Space(data.describe("scenes"), (Device("cpu", "CPU", 16 * GB, 8 * GB),))


def test_the_untouched_page_is_the_default_model_and_recipe(home):
    app = open_page("train")
    assert app.code[0].value == "python -m vit train"
    app.button(key="start").click().run()
    assert not app.exception
    (run,) = runs.list_runs()
    try:
        assert run.config.model == ViTConfig()
        assert run.config.training == TrainingConfig()
        assert run.config.data == DataConfig(class_names=data.describe("scenes").class_names)
    finally:
        jobs.stop(run)


def test_moving_a_slider_changes_the_estimate(home):
    app = open_page("train")
    before = metrics(app)
    app.select_slider(key="heads").set_value(8).run()
    wider = metrics(app)
    app.select_slider(key="patch").set_value(4).run()
    finer = metrics(app)
    assert wider["Parameters"] != before["Parameters"]
    assert wider["Tokens"] == before["Tokens"] == "65"
    assert finer["Tokens"] == "257"
    assert finer["Memory"] != wider["Memory"]
    assert finer["Expected time"] != wider["Expected time"]


def test_heads_and_depth_reach_from_one_to_twelve(home):
    app = open_page("train")
    assert app.select_slider(key="heads").options == [str(value) for value in HEADS]
    assert app.select_slider(key="depth").options == [str(value) for value in DEPTHS]


def test_a_link_brings_its_settings(home):
    app = open_page("train", heads="7", depth="3", stem="One linear map", epochs="5")
    assert app.select_slider(key="heads").value == 7
    assert app.slider(key="epochs").value == 5
    assert "--num-heads 7" in app.code[0].value
    assert "--stem patch" in app.code[0].value


def test_a_link_with_settings_that_cannot_be_is_brought_in_line(home):
    app = open_page("train", size="48", patch="32", heads="99", lr="lots")
    assert app.select_slider(key="size").value == 48
    assert app.select_slider(key="patch").value == 16
    assert app.select_slider(key="heads").value == ViTConfig().num_heads
    assert app.select_slider(key="lr").value == TrainingConfig().lr


def test_a_new_image_size_takes_the_patch_size_along(home):
    app = open_page("train")
    app.select_slider(key="patch").set_value(32).run()
    app.select_slider(key="size").set_value(48).run()
    assert not app.exception
    assert app.select_slider(key="patch").value == 16
    assert app.select_slider(key="patch").options == ["4", "8", "16"]


def test_an_upload_is_stored_chosen_trained_on_and_followed(home, photo_zip):
    app = open_page("train")
    app.file_uploader[0].upload(photo_zip.name, photo_zip.read_bytes()).run()
    assert not app.exception
    source = app.selectbox(key="data").value
    assert Path(source).is_relative_to(home)
    assert any("**48** images to train on, **16** to validate with" in text.value for text in app.markdown)
    assert app.select_slider(key="size").value == data.describe(source).auto_image_size == 40
    app = small(app, epochs=2)
    app.text_input(key="name").set_value("colours")
    app.button(key="start").click().run()
    run = runs.find_run("colours")
    assert run.config.model.num_classes == 2
    wait_for(run, lambda: run.state == "finished")
    app.run()
    assert not app.exception
    assert app.selectbox(key="run").value == "colours"
    assert metrics(app)["Best so far"] == f"{run.best['val_accuracy']:.1%}"
    assert len(app.get("vega_lite_chart")) == 3
    assert {"Predict with it", "Look into its heads", "Evaluate it"} <= {link.value for link in app.page_link}


def test_other_images_come_with_their_own_size_and_a_link_keeps_its_own(home, photo_zip):
    there = {"data": "A folder or zip on this machine", "folder": str(photo_zip)}
    assert open_page("train", **there, size="64").select_slider(key="size").value == 64
    app = open_page("train", **there)
    assert app.select_slider(key="size").value == 40
    app.selectbox(key="data").set_value("scenes").run()
    assert app.select_slider(key="size").value == ViTConfig().image_size
    assert app.code[0].value == "python -m vit train"


def test_a_zip_that_is_none_gets_a_sentence(home):
    app = open_page("train")
    app.file_uploader[0].upload("holiday.zip", b"not a zip at all").run()
    assert not app.exception
    assert "holiday" in app.error[0].value
    assert app.selectbox(key="data").value == "scenes"


def test_a_path_that_is_none_gets_a_sentence(home):
    app = open_page("train")
    app.selectbox(key="data").set_value("A folder or zip on this machine").run()
    app.text_input(key="folder").set_value("/no/such/folder").run()
    assert not app.exception
    assert len(app.error) == 1


def test_files_that_cannot_be_read_are_listed(home, photo_zip):
    folder = home / "photos"
    with zipfile.ZipFile(photo_zip) as archive:
        archive.extractall(folder)
    (folder / "two-colours" / "train" / "green" / "000.png").write_bytes(b"no picture")
    app = open_page("train", data="A folder or zip on this machine", folder=str(folder))
    assert any(expander.label == "1 file left out" for expander in app.expander)
    assert "000.png" in app.dataframe[0].value["File"][0]


def test_a_data_set_of_the_catalog_is_fetched_on_a_click(served):  # noqa: F811
    served("fashion-mnist")
    app = open_page("train")
    app.selectbox(key="data").set_value("fashion-mnist").run()
    assert "start" not in [button.key for button in app.button]
    app.button(key="download").click().run()
    assert not app.exception
    end = time.time() + 30
    while not data.describe("fashion-mnist").ready:
        assert time.time() < end
        time.sleep(0.1)
    describe.clear()
    app.run()
    assert not app.exception
    assert any("images to train on" in text.value for text in app.markdown)
    assert app.button(key="start")


def test_stop_ends_a_training_and_resume_is_offered(home, photo_zip):
    app = open_page("train")
    app.selectbox(key="data").set_value("A folder or zip on this machine").run()
    app.text_input(key="folder").set_value(str(photo_zip)).run()
    app = small(app, epochs=200)
    app.text_input(key="name").set_value("endless")
    app.button(key="start").click().run()
    run = runs.find_run("endless")
    try:
        wait_for(run, lambda: run.status.epoch >= 1)
        app.run()
        begun = time.time()
        app.button(key="stop").click().run()
        assert time.time() - begun < 5
    finally:
        jobs.stop(run)
    assert not app.exception
    assert run.state == "stopped"
    assert app.button(key="resume").label == "Resume"


def test_a_name_that_is_taken_gets_a_sentence(trained):
    app = open_page("train")
    app.text_input(key="name").set_value("tiny")
    app.button(key="start").click().run()
    assert not app.exception
    assert "tiny" in app.error[0].value
    assert len(runs.list_runs()) == 1


def test_a_failed_run_shows_its_sentence(home):
    run = runs.create("lost", tiny_config())
    runs.update_status(run.path, state="failed", message="The images cannot be read any more.")
    app = open_page("train", run="lost")
    assert any("The images cannot be read any more" in text.value for text in app.markdown)
    assert app.button(key="resume")


def test_a_waiting_run_is_found_without_being_named(several):
    runs.create("patient", tiny_config())
    app = open_page("train")
    assert app.selectbox(key="run").value == "patient"


def test_no_reachable_combination_is_impossible(space):
    dice = random.Random(0)
    values = space.clamp(space.defaults())
    assert values == space.defaults()
    for _ in range(60):
        key = dice.choice([key for key in values if key not in ("seed", "device")])
        values = space.clamp({**values, key: dice.choice(space.allowed(key, values))})
        space.config(values)  # raises when it cannot be
        assert space.fits(values)


def test_a_small_memory_offers_only_what_it_holds(space):
    small_space = Space(space.info, (Device("cpu", "CPU", int(1.5 * GB), GB),))
    largest = {key: space.values(key)[-1] for key in ("heads", "depth", "head_dim", "size", "batch", "mlp_ratio")}
    values = small_space.clamp({**space.defaults(), **largest, "patch": 4})
    assert small_space.fits(values)
    for key in largest:
        offered = small_space.allowed(key, values)
        assert offered[0] == space.values(key)[0]
        assert all(small_space.fits({**values, key: value}) for value in offered)
    assert len(small_space.allowed("batch", values)) < len(space.values("batch"))


def test_a_memory_that_holds_nothing_leaves_the_smallest_setting(space):
    nothing = Space(space.info, (Device("cpu", "CPU", 10**8, 10**8),))
    values = nothing.clamp(nothing.defaults())
    assert not nothing.fits(values)
    assert values["heads"] == HEADS[0]
    assert nothing.allowed("heads", values) == [HEADS[0]]
