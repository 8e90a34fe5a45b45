"""Download formats of a run, and the cache of their files."""

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


def test_a_file_is_cached_until_the_run_changes(trained):
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


def test_a_stopped_or_failed_export_leaves_no_file(trained):
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        formats.make(runs.find_run("tiny"), "hub", stop)
    assert not [path for path in (trained / "data" / "exports").iterdir() if path.suffix != ".lock"]


def test_the_oldest_files_are_deleted_beyond_the_limits(trained, monkeypatch):
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


def test_a_format_states_its_limits_and_missing_packages(several, monkeypatch):
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


def test_files_are_deleted_with_their_run_and_by_age(several):
    made = [formats.make(runs.find_run(name), "hub", lambda done, total: None) for name in ("tiny", "tiny-mean")]
    formats.forget(runs.find_run("tiny"))
    assert [path.exists() for path in made] == [False, True]
    cleanup.delete_expired(keep_hours=1)
    assert made[1].exists()
    os.utime(made[1], (1, 1))
    cleanup.delete_expired(keep_hours=1)
    assert not made[1].exists()
