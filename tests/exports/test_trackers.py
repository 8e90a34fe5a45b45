"""Experiment trackers, read back with their own libraries after a training and a resume."""

import os
import struct
import subprocess
import sys

import pytest

from tests.conftest import tiny_config
from vit import jobs, runs
from vit.errors import UserError
from vit.exports import trackers
from vit.exports.tensorboard import TAGS
from vit.runs.folder import TRACKER
from vit.support import optional_packages


def config(kind, **training):
    base = tiny_config(depth=1, stem="patch")
    recipe = base.training.model_copy(update={"track": kind, "epochs": 2, "threads": 1} | training)
    return base.model_copy(update={"training": recipe})


def expected(run):
    """The numbers of the metrics by tag and step."""
    found: dict[str, dict[int, float]] = {}
    for line in run.metrics()[0]:
        for name, tag in TAGS[line["event"]].items():
            if name in line:
                found.setdefault(tag, {})[line["step"]] = pytest.approx(line[name], rel=1e-6)
    return found


def interrupted(run):
    """Train until a step of the second epoch, then resume to the end."""
    stopped = iter(range(100))

    def ask(event) -> None:
        if hasattr(event, "loss") and not hasattr(event, "val_loss") and next(stopped) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jobs.execute(run, report=ask)
    jobs.prepare_resume(run)
    assert jobs.execute(run, resume=True).state == "finished"


def test_mlflow_has_the_numbers_of_a_resumed_training_once(home, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = runs.create("tiny", config("mlflow"))
    interrupted(run)
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{home / 'data' / 'tracking' / 'mlflow.db'}")
    [entry] = client.search_runs([client.get_experiment_by_name("vit").experiment_id])
    assert (entry.info.run_name, entry.info.status) == ("tiny", "FINISHED")
    assert entry.data.params["model.depth"] == "1"
    for tag, values in expected(run).items():
        history = client.get_metric_history(entry.info.run_id, tag)
        assert len(history) == len(values), "no step occurs twice"
        if tag != "images per second":  # the steps that were done twice took another time
            assert {point.step: point.value for point in history} == values
    runs.start_over(run)
    assert not (run.path / TRACKER).exists()


def records(content):
    """The records of a file of wandb, which has the format of LevelDB's logs after a head of 7 bytes."""
    at, parts = 7, b""
    while at + 7 <= len(content):
        length, kind = struct.unpack_from("<HB", content, at + 4)
        if kind == 0:  # the rest of a block is empty
            at = -(-at // 2**15) * 2**15 if at % 2**15 else at + 2**15
            continue
        parts += content[at + 7 : at + 7 + length]
        at += 7 + length
        if 2**15 - at % 2**15 < 7:
            at += 2**15 - at % 2**15
        if kind in (1, 4):  # a whole record, or its last part
            yield parts
            parts = b""


def test_wandb_has_the_numbers_offline(home, monkeypatch):
    pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2

    monkeypatch.setenv("WANDB_MODE", "offline")
    run = runs.create("tiny", config("wandb"))
    assert jobs.execute(run).state == "finished"
    [file] = (home / "data" / "tracking").rglob("*.wandb")
    found: dict[str, dict[int, float]] = {}
    for data in records(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        for item in record.history.item:
            key = item.key or ".".join(item.nested_key)
            if not key.startswith("_"):
                found.setdefault(key, {})[record.history.step.num] = float(item.value_json)
    assert found == expected(run)


def test_trackio_has_the_numbers(home, monkeypatch, tmp_path):
    """In a separate process, because trackio reads its folder when it is imported."""
    pytest.importorskip("trackio")
    program = (
        "from tests.exports.test_trackers import config, expected\n"
        "from vit import jobs, runs\n"
        "run = runs.create('tiny', config('trackio'))\n"
        "assert jobs.execute(run).state == 'finished'\n"
        "import trackio\n"
        "[entry] = trackio.Api().runs('vit')\n"
        "from trackio.sqlite_storage import SQLiteStorage\n"
        "lines = SQLiteStorage.get_logs('vit', entry.name)\n"
        "for tag, values in expected(run).items():\n"
        "    found = {line['step']: line[tag] for line in lines if tag in line}\n"
        "    assert found == values, (tag, found, values)\n"
    )
    environment = os.environ | {"TRACKIO_DIR": str(tmp_path / "trackio")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_tracker_that_fails_does_not_end_the_training(home, monkeypatch):
    class Broken:
        identity = "x"

        def __init__(self, *_):
            self.left = 1

        def write(self, points):
            if not self.left:
                raise RuntimeError("the server\nis gone")
            self.left -= 1

        def close(self):
            raise RuntimeError("is never asked")

    monkeypatch.setitem(trackers._KINDS, "wandb", Broken)
    monkeypatch.setattr(trackers, "check", lambda kind: None)
    run = runs.create("tiny", config("wandb"))
    assert jobs.execute(run).state == "finished"
    log = (run.path / runs.LOG).read_text()
    assert log.count("The curves are no longer sent to the tracker: the server is gone") == 1


def test_a_missing_package_is_named(home, monkeypatch):
    monkeypatch.setattr(optional_packages, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"Tracking with wandb needs .*pip install wandb"):
        trackers.check("wandb")
    run = runs.create("tiny", config("wandb"))
    assert jobs.execute(run).state == "finished"
    assert "pip install wandb" in (run.path / runs.LOG).read_text()
