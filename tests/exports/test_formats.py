"""Forms of a run for a download: which a run has, and files that are made once and pushed out by newer ones."""

import os
import zipfile

import pytest

from pages.access import cleanup
from tests.conftest import tiny_config
from vit import hub, runs
from vit.config import CNNConfig, RunConfig
from vit.errors import UserError
from vit.exports import formats
from vit.support import optional_packages


def test_a_file_is_made_once_for_a_run_as_it_is(trained):
    run, told = runs.find_run("tiny"), []
    assert formats.find(run, "hub") is None
    path = formats.make(run, "hub", lambda done, total: told.append((done, total)))
    assert formats.find(run, "hub") == path
    assert told[-1] == (30, 30)
    with zipfile.ZipFile(path) as archive:
        assert set(archive.namelist()) == {f"tiny/{name}" for name in hub.contents(run)}
    assert list(path.parent.iterdir()) == [path]
    assert path.name.endswith("-hub.zip")
    again = runs.rename(run, "other")
    assert formats.find(again, "hub") is None
    os.utime(again.path / runs.MODEL, ns=(1, 1))
    assert formats.find(again, "hub") is None


def test_what_stops_or_fails_leaves_nothing(trained):
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        formats.make(runs.find_run("tiny"), "hub", stop)
    assert not [path for path in (trained / "data" / "exports").iterdir() if path.suffix != ".lock"]


def test_newer_files_push_older_ones_out(trained, monkeypatch):
    monkeypatch.setattr(formats, "KEPT_MAX", 2)
    run, made = runs.find_run("tiny"), []
    for stamp in (1, 2, 3):
        os.utime(run.path / runs.MODEL, ns=(stamp, stamp))
        made.append(formats.make(run, "hub", lambda done, total: None))
        os.utime(made[-1], (stamp, stamp))
    assert [path.exists() for path in made] == [False, True, True]
    monkeypatch.setattr(formats, "KEPT_BYTES_MAX", 10)
    os.utime(run.path / runs.MODEL, ns=(4, 4))
    last = formats.make(run, "hub", lambda done, total: None)
    assert list(last.parent.iterdir()) == [last]


def test_a_form_says_what_a_run_cannot_be_and_what_is_missing(several, monkeypatch):
    tiny, deep = (runs.find_run(name) for name in ("tiny", "tiny-deep"))
    assert "timm cannot load this run: its patches" in formats.hint(tiny, "hub")
    assert "timm cannot" not in formats.hint(deep, "hub")
    cnn = runs.create("cnn", RunConfig(model=CNNConfig(image_size=32), data=tiny_config().data))
    assert set(formats.forms(tiny)) - set(formats.forms(cnn)) == {"onnx-attention"}
    monkeypatch.setattr(optional_packages, "find_spec", lambda name: None)
    for form in ("onnx", "onnx-attention", "tensorboard"):
        with pytest.raises(UserError, match="pip install"):
            formats.check(form)
    for form in ("zip", "hub"):
        formats.check(form)


def test_the_files_go_with_their_run_and_with_time(several):
    made = [formats.make(runs.find_run(name), "hub", lambda done, total: None) for name in ("tiny", "tiny-mean")]
    formats.forget(runs.find_run("tiny"))
    assert [path.exists() for path in made] == [False, True]
    cleanup.delete_expired(keep_hours=1)
    assert made[1].exists()
    os.utime(made[1], (1, 1))
    cleanup.delete_expired(keep_hours=1)
    assert not made[1].exists()
