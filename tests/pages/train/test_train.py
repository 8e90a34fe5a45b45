"""Train: the controls add up to what they say, and Start, Stop and the upload do the real thing."""

import argparse
import io
import random
import shlex
import signal
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from pages.train import course_ladder
from pages.train.choices import Space, make_space
from pages.train.controls import MENDS, RECIPE_NAMES, SETTINGS
from pages.train.follow_run import SOON, SOON_FOR, pace
from pages.train.images import describe
from pages.train.network import DEPARTURE_TEXTS, SENTENCES
from pages.train.recipe import recipe_words
from pages.ui import polling
from tests.conftest import tiny_config
from tests.data.catalog.test_catalog import served, server  # noqa: F401 - fixtures
from tests.data.helpers import image_bytes, write_tree
from tests.jobs.test_resume import config
from tests.jobs.test_stop import stop_at
from tests.pages.opening import open_page
from vit import data, jobs, runs
from vit.config import (
    AUGMENTATIONS,
    DEPARTURES,
    DEPTHS,
    HEADS,
    MODELS,
    RECIPES,
    CNNConfig,
    DataConfig,
    ReferenceConfig,
    RunConfig,
    TrainingConfig,
    ViTConfig,
    words,
)
from vit.cost.estimate import Speed
from vit.errors import RunError, SettingsError
from vit.flags import add_flags, to_config
from vit.paths import data_dir
from vit.runs import speeds
from vit.support.hardware import Device
from vit.trainer import loop

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


DEVICES = (Device("cpu", "CPU", 16 * GB, 8 * GB),)


@pytest.fixture
def space() -> Space:
    return make_space(ViTConfig(), data.describe("scenes"), DEVICES)


@pytest.fixture(params=[*MODELS, "textbook"])
def any_space(request) -> Space:
    """The space of each network with its defaults, and of the course network with all departures mended."""
    base = MODELS.get(request.param) or ReferenceConfig(mended=DEPARTURES)
    return make_space(base, data.describe("scenes"), DEVICES)


def set_up(app: AppTest) -> RunConfig:
    """The run that the page stands for: its command, read as the command line reads it."""
    parser = argparse.ArgumentParser()
    add_flags(parser)
    return to_config(parser.parse_args(shlex.split(app.code[0].value)[4:]))


def test_the_untouched_page_is_the_default_model_and_recipe(home):
    app = open_page("train")
    assert app.code[0].value == "python -m vit train"
    app.button(key="start_training").click().run()
    assert not app.exception
    (run,) = runs.list_runs()
    try:
        assert run.config.model == ViTConfig()
        assert run.config.training == TrainingConfig()
        assert run.config.data == DataConfig(class_names=data.describe("scenes").class_names)
    finally:
        jobs.stop(run)


@pytest.mark.parametrize("network", ["vit", "reference"])
def test_labels_and_help_of_the_controls_are_the_words_of_the_settings(home, network):
    app = open_page("train", form="All settings")
    app.pills(key="network").set_value(network).run()
    widgets = {it.key: it for it in (*app.select_slider, *app.slider, *app.selectbox, *app.number_input)}
    shown = SETTINGS.keys() & widgets.keys()
    assert len(shown) >= 7
    for key in shown:
        assert widgets[key].label == words.label(*SETTINGS[key])
        assert widgets[key].help.startswith(words.description(*SETTINGS[key]) + ".")


def test_moving_a_slider_changes_the_estimate(trained, monkeypatch):
    monkeypatch.setitem(speeds._brief, "cpu", Speed("", 1e9, 1e11))
    app = open_page("train", form="All settings")
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
    app = open_page("train", form="All settings")
    assert app.select_slider(key="heads").options == [str(value) for value in HEADS]
    assert app.select_slider(key="depth").options == [str(value) for value in DEPTHS]


def test_a_link_brings_its_settings(home):
    app = open_page("train", heads="7", depth="3", stem="One linear map", epochs="5")
    assert app.select_slider(key="heads").value == 7
    assert app.slider(key="epochs").value == 5
    assert "--num-heads 7" in app.code[0].value
    assert "--stem patch" in app.code[0].value


def test_impossible_settings_in_a_link_are_adjusted(home):
    app = open_page("train", size="48", patch="32", heads="99", lr="lots")
    assert app.select_slider(key="size").value == 48
    assert app.select_slider(key="patch").value == 16
    assert app.select_slider(key="heads").value == ViTConfig().num_heads
    assert app.select_slider(key="lr").value == TrainingConfig().lr


def test_a_new_image_size_adjusts_the_patch_size(home):
    app = open_page("train", form="All settings")
    app.select_slider(key="patch").set_value(32).run()
    app.select_slider(key="size").set_value(48).run()
    assert not app.exception
    assert app.select_slider(key="patch").value == 16
    assert app.select_slider(key="patch").options == ["4", "8", "16"]


def test_an_upload_is_stored_chosen_trained_on_and_followed(home, photo_zip):
    app = open_page("train", form="All settings")
    app.file_uploader[0].upload(photo_zip.name, photo_zip.read_bytes()).run()
    assert not app.exception
    source = app.selectbox(key="data").value
    assert Path(source).is_relative_to(home)
    assert any("**48** training images, **16** validation images" in text.value for text in app.markdown)
    assert app.select_slider(key="size").value == data.describe(source).auto_image_size == 40
    app = small(app, epochs=2)
    app.text_input(key="name").set_value("colours")
    app.button(key="start_training").click().run()
    run = runs.find_run("colours")
    assert run.config.model.num_classes == 2
    wait_for(run, lambda: run.state == "finished")
    app.run()
    assert not app.exception
    assert app.selectbox(key="run").value == "colours"
    assert metrics(app)["Best so far"] == f"{run.best['val_accuracy']:.1%}"
    assert {"curves", "live_maps"} <= {it.proto.component_name for it in app.get("bidi_component")}
    assert {"Predict with it", "Look into its heads", "Evaluate it"} <= {link.value for link in app.page_link}


def test_other_images_come_with_their_own_size_and_a_link_keeps_its_own(home, photo_zip):
    there = {"data": "Files on this machine", "folder": str(photo_zip)}
    assert open_page("train", **there, size="64").select_slider(key="size").value == 64
    app = open_page("train", **there, form="All settings")
    assert app.select_slider(key="size").value == 40
    app.selectbox(key="data").set_value("scenes").run()
    assert app.select_slider(key="size").value == ViTConfig().image_size
    assert app.code[0].value == "python -m vit train"


def test_a_file_that_is_no_zip_gives_an_error_message(home):
    app = open_page("train", form="All settings")
    app.file_uploader[0].upload("holiday.zip", b"not a zip at all").run()
    assert not app.exception
    assert "holiday" in app.error[0].value
    assert app.selectbox(key="data").value == "scenes"


def test_a_missing_path_gives_an_error_message(home):
    app = open_page("train", form="All settings")
    app.selectbox(key="data").set_value("Files on this machine").run()
    app.text_input(key="folder").set_value("/no/such/folder").run()
    assert not app.exception
    assert len(app.error) == 1


def test_files_that_cannot_be_read_are_listed(home, photo_zip):
    folder = home / "photos"
    with zipfile.ZipFile(photo_zip) as archive:
        archive.extractall(folder)
    (folder / "two-colours" / "train" / "green" / "000.png").write_bytes(b"no picture")
    app = open_page("train", data="Files on this machine", folder=str(folder), form="All settings")
    assert any(expander.label == "1 file skipped" for expander in app.expander)
    assert "000.png" in app.dataframe[0].value["File"][0]
    whole = data.load(data.describe(str(folder)).config(32))
    assert any(f"**{len(whole.train):,}** training images" in text.value for text in app.markdown)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100), "can be read as an image"),  # as from a phone, but damaged
        (None, "only one image"),
    ],
)
def test_a_zip_that_cannot_be_trained_on_is_refused_and_leaves_nothing(home, content, sentence):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for label, count in (("cat", 6), ("dog", 6 if content else 1)):
            for index in range(count):
                archive.writestr(f"{label}/{index}.jpg", content or image_bytes(index))
    app = open_page("train", form="All settings")
    app.file_uploader[0].upload("pets.zip", packed.getvalue()).run()
    assert sentence in app.error[0].value
    assert not app.warning
    assert not list((data_dir() / "uploads").iterdir())
    assert app.selectbox(key="data").value == "scenes"


def test_uploads_are_listed_with_their_size_and_can_be_deleted(home, photo_zip):
    app = open_page("train", form="All settings")
    app.file_uploader[0].upload("photos.zip", photo_zip.read_bytes()).run()
    assert not app.exception
    source = app.selectbox(key="data").value
    assert source.startswith(str(data_dir()))
    assert any(text.value == "photos, 1 MB" for text in app.markdown)
    app.button(key="really-delete-upload-0").click().run()
    assert not app.exception
    assert not Path(source).exists()
    assert app.selectbox(key="data").value == "scenes"


def test_images_of_one_colour_are_listed_with_a_choice_of_the_ground(home):
    folder = write_tree(home / "photos", [f"{label}/{index}.png" for label in "ab" for index in range(6)])
    for index in range(2):
        image = Image.new("RGBA", (40, 40))
        image.paste("white", (10, 10 + index, 30, 30))
        image.save(folder / "a" / f"white{index}.png")
    app = open_page("train", data="Files on this machine", folder=str(folder), form="All settings")
    assert any(expander.label == "2 files of one colour" for expander in app.expander)
    app.get("segmented_control")
    next(it for it in app.get("segmented_control") if it.key == "ground").set_value("black").run()
    assert not app.exception
    assert not any("of one colour" in expander.label for expander in app.expander)


def test_a_data_set_of_the_catalog_is_downloaded_on_a_click(served):  # noqa: F811
    served("fashion-mnist")
    app = open_page("train", form="All settings")
    app.selectbox(key="data").set_value("fashion-mnist").run()
    assert "start_training" not in [button.key for button in app.button]
    app.button(key="download").click().run()
    assert not app.exception
    end = time.time() + 30
    while not data.describe("fashion-mnist").ready:
        assert time.time() < end
        time.sleep(0.1)
    describe.clear()
    app.run()
    assert not app.exception
    assert any("training images" in text.value for text in app.markdown)
    assert app.button(key="start_training")


def test_stop_ends_a_training_and_resume_is_offered(home, photo_zip):
    app = open_page("train", form="All settings")
    app.selectbox(key="data").set_value("Files on this machine").run()
    app.text_input(key="folder").set_value(str(photo_zip)).run()
    app = small(app, epochs=200)
    app.text_input(key="name").set_value("endless")
    app.button(key="start_training").click().run()
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


def test_a_run_stopped_in_its_first_epoch_is_resumed_after_its_last_step(home):
    run = runs.create("one", config(2))
    assert jobs.execute(run, report=stop_at(2, signal.SIGTERM)).epoch == 0
    app = open_page("train", run="one")
    assert any("Stopped after step 2" in text.value for text in app.markdown)
    assert app.button(key="resume").help == "Continue after step 2, in epoch 1 of 2."
    app.button(key="resume").click().run()
    assert not app.exception
    assert run.active
    jobs.stop(run)
    assert run.resume_step >= 2


def test_a_taken_name_gives_an_error_message(trained):
    app = open_page("train", form="All settings")
    app.text_input(key="name").set_value("tiny")
    app.button(key="start_training").click().run()
    assert not app.exception
    assert "tiny" in app.error[0].value
    assert len(runs.list_runs()) == 1


def test_a_failed_run_shows_its_error_message(home):
    run = runs.create("lost", tiny_config())
    runs.update_status(run.path, state="failed", message="The images cannot be read any more.")
    app = open_page("train", run="lost")
    assert any("The images cannot be read any more" in text.value for text in app.markdown)
    assert app.button(key="restart").label == "Start again"
    assert "resume" not in [button.key for button in app.button]  # there is nothing to go on from


def test_a_waiting_run_is_followed_by_default_and_its_place_is_shown_there_and_in_the_sidebar(several):
    for name in ("patient", "more-patient"):
        runs.create(name, tiny_config())
    app = open_page("train")
    assert app.selectbox(key="run").value == "more-patient"
    assert any(text.value.startswith("Number 2 in the queue, after **patient**; starts in") for text in app.markdown)
    app.selectbox(key="run").set_value("patient").run()
    assert any(text.value.startswith("Next in the queue; starts now.") for text in app.markdown)
    for page in ("train", "predict"):
        labels = [text.value for text in open_page(page).sidebar.caption if "queue" in text.value]
        first, second = (label.split(": ")[1] for label in labels)
        assert first == "next in the queue; starts now"
        assert second.startswith("number 2 in the queue, after **patient**; starts in about")


def test_a_run_is_updated_more_often_shortly_after_its_start(home):
    run = runs.create("new", tiny_config())
    assert pace(run) == SOON < polling.TICK
    runs.update_status(run.path, ticket=time.time_ns() - int(1e9 * (SOON_FOR + 1)))
    assert pace(run) == polling.TICK


def test_a_run_with_weights_is_started_over_after_a_question(trained):
    app = open_page("train", run="tiny")
    before = runs.find_run("tiny")
    reached = f"{before.best['val_accuracy']:.1%}"
    app.button(key="restart").click().run()
    assert any("permanently deleted" in text.value and reached in text.value for text in app.markdown)
    app.button(key="keep_run").click().run()
    assert before.has_weights
    app.button(key="restart").click().run()
    app.button(key="restart_surely").click().run()
    assert not app.exception
    run = runs.find_run("tiny")
    try:
        assert run.active
        wait_for(run, lambda: run.state == "finished")
    finally:
        jobs.stop(run)


def test_starting_the_shipped_run_over_warns_that_it_came_with_the_project(trained):
    runs.rename(runs.find_run("tiny"), runs.SHIPPED_RUN)
    app = open_page("train", run=runs.SHIPPED_RUN)
    assert "resume" not in [button.key for button in app.button]
    app.button(key="restart").click().run()
    assert any("came with the project" in text.value for text in app.warning)
    assert runs.find_run(runs.SHIPPED_RUN).has_weights


def test_a_run_without_weights_restarts_at_once(home):
    run = runs.create("lost", tiny_config())
    runs.update_status(run.path, state="failed", message="The images cannot be read any more.")
    app = open_page("train", run="lost")
    app.button(key="restart").click().run()
    assert not app.exception
    assert run.active
    jobs.stop(run)


# Networks


def test_every_network_departure_and_recipe_has_its_texts():
    assert words.NETWORKS.keys() == SENTENCES.keys() == MODELS.keys()
    assert tuple(MENDS) == tuple(DEPARTURE_TEXTS) == DEPARTURES
    assert RECIPE_NAMES.keys() == RECIPES.keys()


@pytest.mark.parametrize("name", MODELS)
def test_a_network_is_chosen_with_its_own_defaults_and_the_recipe_stays(home, name):
    app = open_page("train", form="All settings")
    app.pills(key="network").set_value(name).run()
    assert not app.exception
    assert set_up(app).model == MODELS[name]
    assert set_up(app).training == TrainingConfig()
    assert metrics(app)["Parameters"]
    assert ("Tokens" in metrics(app)) == hasattr(MODELS[name], "num_tokens")


def test_the_page_s_course_network_is_the_report_s(home):
    app = open_page("train", network="Course network", recipe="Course report")
    assert app.code[0].value == "python -m vit train --recipe course --model reference"
    shown = metrics(app)
    assert (shown["Tokens"], shown["Parameters"]) == ("17", "52.2 M")


def test_a_smaller_image_is_cut_into_sixteen_patches_too(home):
    app = open_page("train", network="Course network", size="32")
    assert metrics(app)["Tokens"] == "17"
    assert set_up(app).model == ReferenceConfig(image_size=32, patch_size=8)


def test_a_convolutional_network_has_no_heads_and_no_depth(home):
    app = open_page("train", network="CNN")
    assert {slider.key for slider in app.select_slider} == {"size", "batch", "lr"}
    assert "rung" not in {control.key for control in app.segmented_control}


def test_each_network_keeps_its_settings(home):
    app = open_page("train", form="All settings")
    app.select_slider(key="heads").set_value(7).run()
    app.pills(key="network").set_value("reference").run()
    app.select_slider(key="course_depth").set_value(1).run()
    app.pills(key="network").set_value("vit").run()
    assert set_up(app).model == ViTConfig(num_heads=7, embed_dim=7 * ViTConfig().head_dim)
    app.pills(key="network").set_value("reference-einsum").run()
    assert set_up(app).model == ReferenceConfig(attention="einsum", depth=1)


# Departures


@pytest.mark.parametrize("rung", range(len(DEPARTURES) + 1))
def test_a_rung_mends_the_first_departures(home, rung):
    app = open_page("train", network="Course network", mended="Token-wise MLP")
    assert app.segmented_control(key="rung").value is None  # the fifth alone is no rung
    app.segmented_control(key="rung").set_value(rung).run()
    assert not app.exception
    assert set_up(app).model == ReferenceConfig(mended=DEPARTURES[:rung])
    assert app.segmented_control(key="rung").value == rung


def test_departures_are_mended_one_by_one_in_any_order(home):
    app = open_page("train", network="Course network (einsum)")
    app.pills(key="mended").set_value(["mlp", "projection"]).run()
    assert set_up(app).model == ReferenceConfig(attention="einsum", mended=("projection", "mlp"))
    assert "--mended projection,mlp" in app.code[0].value
    app.pills(key="mended").set_value(["projection"]).run()
    assert app.segmented_control(key="rung").value == 1


def test_settings_that_only_the_mended_network_allows_are_adjusted_when_it_is_unmended(home):
    app = open_page("train", network="Course network")
    app.segmented_control(key="rung").set_value(6).run()
    app.select_slider(key="course_grid").set_value(16).run()
    assert metrics(app)["Tokens"] == "257"
    app.segmented_control(key="rung").set_value(0).run()
    assert not app.exception
    assert int(metrics(app)["Tokens"]) < 257
    assert not app.button(key="start_training").disabled


def test_a_foreign_link_never_raises(home):
    app = open_page("train", network="Resnet", recipe="Grandmother", mended="Everything", course_grid="-1")
    assert set_up(app) == RunConfig(data=DataConfig(class_names=data.describe("scenes").class_names))
    odd = {"course_grid": "5", "course_heads": "0x2", "course_depth": "", "size": "48", "mended": "Token-wise MLP"}
    app = open_page("train", network="Course network", **odd)
    assert set_up(app).model == ReferenceConfig(image_size=48, patch_size=12, mended=("mlp",))


# Recipes


def test_a_recipe_sets_the_controls_and_brings_its_other_settings(home):
    app = open_page("train", lr="0.005")
    app.select_slider(key="batch").set_value(256).run()
    app.segmented_control(key="recipe").set_value("course").run()
    assert set_up(app).training == RECIPES["course"]
    assert app.select_slider(key="batch").value == 16
    assert not any(app.checkbox(key=name).value for name in AUGMENTATIONS)
    said = " ".join(caption.value for caption in app.caption)
    assert recipe_words(RECIPES["course"]) in said
    assert "lowest running training loss" in said
    app.segmented_control(key="recipe").set_value("standard").run()
    assert set_up(app).training == TrainingConfig()


def test_each_part_of_the_augmentation_is_a_switch_of_its_own(home):
    app = open_page("train", flip="false", erasing="nonsense")
    assert [box.label for box in app.checkbox if box.key in AUGMENTATIONS] == [
        words.title(TrainingConfig, name) for name in AUGMENTATIONS
    ]
    assert set_up(app).training == TrainingConfig(flip=False)
    app.checkbox(key="colour").uncheck().run()
    assert set_up(app).training == TrainingConfig(flip=False, colour=False)
    assert app.code[0].value == "python -m vit train --no-flip --no-colour"
    said = " ".join(caption.value for caption in app.caption)
    assert "augmented by shifts and erasing" in said
    app.segmented_control(key="recipe").set_value("course").run()
    assert "no augmentation" in " ".join(caption.value for caption in app.caption)


def test_a_recipe_can_be_changed_and_stays_when_the_network_changes(home):
    app = open_page("train", recipe="Course report", epochs="7")
    app.select_slider(key="lr").set_value(1e-3).run()
    expected = RECIPES["course"].model_copy(update={"epochs": 7, "lr": 1e-3})
    assert set_up(app).training == expected
    app.pills(key="network").set_value("cnn").run()
    assert set_up(app).training == expected
    assert set_up(app).model == CNNConfig()


# The seven rungs


def test_all_seven_rungs_are_queued_in_their_order(home, monkeypatch):
    app = open_page("train", network="Course network", recipe="Course report", size="32", epochs="3")
    table = app.table[-1].value
    assert list(table["Rung"]) == [str(rung) for rung in course_ladder.RUNGS]
    assert len(set(table["Parameters"])) > 2
    app.text_input(key="name").set_value("ladder").run()
    app.button(key="queue-ladder").click().run()
    assert not app.exception
    try:
        found = sorted(runs.list_runs(), key=lambda run: run.status.ticket)
        assert [run.name for run in found] == [f"ladder-rung{rung}" for rung in range(7)]
        assert [run.config.model.mended for run in found] == [DEPARTURES[:rung] for rung in range(7)]
        recipe = RECIPES["course"].model_copy(update={"epochs": 3})
        assert {run.config.training for run in found} == {recipe}
        assert app.selectbox(key="run").value == "ladder-rung0"
    finally:
        for run in reversed(runs.list_runs()):
            jobs.stop(run)


def course_space(memory: float = 16 * GB) -> Space:
    return make_space(ReferenceConfig(), data.describe("scenes"), (Device("cpu", "CPU", int(memory), int(memory)),))


def test_a_second_ladder_gets_other_names(home):
    course = course_space()
    configs = course_ladder.ladder(course, course.defaults())
    assert course_ladder.rung_names(configs, None) == [f"scenes-reference-rung{rung}" for rung in range(7)]
    runs.create("scenes-reference-rung3", tiny_config())
    assert course_ladder.rung_names(configs, None) == [f"scenes-reference-2-rung{rung}" for rung in range(7)]
    assert course_ladder.rung_names(configs, "mine")[6] == "mine-rung6"
    for name in ("../up", "x" * 64):
        with pytest.raises(RunError, match="cannot be called"):
            course_ladder.rung_names(configs, name)


def test_a_ladder_with_an_impossible_rung_is_not_offered(home):
    course = course_space()
    with pytest.raises(SettingsError, match="billion parameters"):
        course_ladder.ladder(course, course.defaults() | {"course_grid": 16})
    with pytest.raises(SettingsError, match="Rung 0 does not fit"):
        course_ladder.ladder(course_space(1.2 * GB), course.defaults())


# Following other networks


def test_a_run_that_keeps_weights_by_training_loss_shows_their_step(home, monkeypatch):
    monkeypatch.setattr(loop, "WINDOW", 2)  # of three steps in an epoch
    base = tiny_config()
    recipe = RECIPES["course"].model_copy(update={"epochs": 2, "device": "cpu"})
    model = ReferenceConfig(image_size=32, embed_dim=16, depth=1, mended=("softmax",))
    run = runs.create("course", base.model_copy(update={"model": model, "training": recipe}))
    assert jobs.execute(run).state == "finished", run.log()
    assert run.best["step"] % 3 == 2
    app = open_page("train", run="course")
    tile = next(metric for metric in app.metric if metric.label == "Accuracy of kept weights")
    assert tile.value == f"{run.best['val_accuracy']:.1%}"
    assert f"now of step {run.best['step']}, in epoch {run.best['epoch']}" in tile.proto.help
    said = " ".join(caption.value for caption in app.caption)
    assert "mended: softmax" in said
    assert "Course report recipe: 2 epochs, batches of 16, learning rate 0\\.0001, no augmentation" in said


def test_a_convolutional_network_is_followed_and_has_no_heads_to_look_into(home):
    base = tiny_config()
    run = runs.create("conv", base.model_copy(update={"model": CNNConfig(image_size=32)}))
    assert jobs.execute(run).state == "finished", run.log()
    app = open_page("train", run="conv")
    assert {"Predict with it", "See where it looks", "Evaluate it"} <= {link.value for link in app.get("page_link")}
    assert metrics(app)["Best so far"] == f"{run.best['val_accuracy']:.1%}"


# What the controls offer


def test_every_reachable_combination_is_possible(any_space):
    dice = random.Random(0)
    space = any_space
    values = space.clamp(space.defaults())
    assert values == space.defaults()
    for _ in range(60):
        key = dice.choice([key for key in values if key not in ("seed", "device")])
        values = space.clamp({**values, key: dice.choice(space.allowed(key, values))})
        space.config(values)  # raises when it cannot be
        assert space.fits(values)


def test_values_from_links_are_adjusted(any_space):
    dice = random.Random(1)
    odd = (None, -1, 0, 3, 5, 7, 10**9, 1e-300, float("nan"), "", "none", "64", "course", [], ["mlp"])
    for _ in range(40):
        values = any_space.clamp({key: dice.choice(odd) for key in any_space.defaults() if key != "seed"} | {"seed": 0})
        assert any_space.fits(values)
        assert all(values[key] in any_space.values(key) for key in values if key != "seed")


def test_a_small_memory_makes_every_network_small_enough(any_space):
    tight = replace(any_space, devices=(Device("cpu", "CPU", int(1.3 * GB), GB),))
    largest = {key: tight.values(key)[-1] for key in tight.large_first}
    assert not tight.fits({**tight.defaults(), **largest})
    assert tight.fits(tight.clamp({**tight.defaults(), **largest}))


def test_a_small_memory_offers_only_what_it_holds(space):
    small_space = replace(space, devices=(Device("cpu", "CPU", int(1.5 * GB), GB),))
    largest = {key: space.values(key)[-1] for key in ("heads", "depth", "head_dim", "size", "batch", "mlp_ratio")}
    values = small_space.clamp({**space.defaults(), **largest, "patch": 4})
    assert small_space.fits(values)
    for key in largest:
        offered = small_space.allowed(key, values)
        assert offered[0] == space.values(key)[0]
        assert all(small_space.fits({**values, key: value}) for value in offered)
    assert len(small_space.allowed("batch", values)) < len(space.values("batch"))


def test_a_memory_that_holds_nothing_leaves_the_smallest_setting(space):
    nothing = replace(space, devices=(Device("cpu", "CPU", 10**8, 10**8),))
    values = nothing.clamp(nothing.defaults())
    assert not nothing.fits(values)
    assert values["heads"] == HEADS[0]
    assert nothing.allowed("heads", values) == [HEADS[0]]
