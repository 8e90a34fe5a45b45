"""Train, Record classes: what the recorder sends is stored, and a training starts."""

import json
import shutil

import pytest
from streamlit.testing.v1 import AppTest

from pages import access
from pages.ui.run_words import FOLLOW, RECORD, SET_UP
from tests.helpers.recordings import recording
from tests.helpers.serving import ROOT
from tests.pages.opening import open_page, own_widgets
from vit import data, jobs, runs
from vit.config.presets import RECORDED
from vit.errors import RunError


@pytest.fixture
def started(home, monkeypatch) -> list:
    """The run to start from is here, and trainings are noted instead of started."""
    shutil.copytree(ROOT / "checkpoints" / RECORDED["start"], home / "checkpoints" / RECORDED["start"])
    found: list = []

    def start(config, name=None):
        found.append((config, name))
        return runs.create(name, config)

    monkeypatch.setattr(jobs, "start", start)
    return found


def send(then: str, file, name: str = "cup pen.zip") -> AppTest:
    app = open_page("train", show=RECORD)
    uploader = app.file_uploader[{"train": 0, "store": 1}[then]]
    return uploader.upload(name, file.getvalue(), "application/zip").run()


def told(app: AppTest) -> dict:
    """What the recorder in the browser is told."""
    (widget,) = own_widgets(app)
    return json.loads(widget.proto.json)


def test_recorded_frames_are_stored_and_trained_on(started):
    app = send("train", recording(cup=[20, 5], pen=[10, 10]))
    assert not app.exception
    (config, name) = started[0]
    assert name == "cup-pen"
    assert config.data.class_names == ("cup", "pen")
    assert (config.start.run, config.start.frozen) == (RECORDED["start"], False)
    assert all(getattr(config.training, key) == value for key, value in RECORDED.items() if key != "start")
    assert data.describe(config.data.source).val_count == 15
    assert app.session_state["show"] == FOLLOW
    assert app.session_state["run"] == "cup-pen"


def test_a_second_recording_gets_a_name_of_its_own(started):
    send("train", recording(cup=[20], pen=[10]))
    send("train", recording(cup=[30], pen=[10]))
    assert [name for _, name in started] == ["cup-pen", "cup-pen-2"]


def test_frames_can_only_be_stored(started):
    app = send("store", recording(cup=[20, 5], pen=[10, 10]))
    assert started == []
    assert app.session_state["show"] == SET_UP
    assert app.selectbox(key="data").value == access.stored_uploads()[0].source
    assert any("single burst" in one.value for one in send("store", recording(cup=[20], pen=[10, 10])).caption)


@pytest.mark.parametrize("then", ["train", "store"])
def test_a_file_that_is_no_recording_is_refused_in_a_sentence(started, then):
    app = send(then, recording(cup=[20]), "../<b>x</b>.zip")
    assert not app.exception
    said = told(app)
    assert said["problem"].endswith("has 1 classes: record 2 to 10.")
    assert said["round"] == 1
    assert started == []
    assert access.stored_uploads() == []


def test_frames_stay_stored_if_no_training_can_start(started, monkeypatch):
    def refuse(config, name=None):
        raise RunError("The queue is full.")

    monkeypatch.setattr(jobs, "start", refuse)
    app = send("train", recording(cup=[20], pen=[10]))
    assert told(app)["problem"] == "The queue is full."
    assert len(access.stored_uploads()) == 1
