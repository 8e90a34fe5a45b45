"""A table on the command line: prepare, train, evaluate, and the command that repeats the run."""

import json
import shlex

import pandas as pd
import pytest

from tests.data.helpers import image_bytes
from vit import runs
from vit.cli.main import main
from vit.flags import command_line
from vit.support import durations


@pytest.fixture
def pets(tmp_path):
    images = [{"bytes": image_bytes(seed, (16, 16)), "path": None} for seed in range(40)]
    splits = ["train"] * 30 + ["val"] * 6 + ["test"] * 4
    rows = {"image": images, "species": ["cat", "dog"] * 20, "age": ["old", "young", "young", "old"] * 10}
    path = tmp_path / "pets.parquet"
    pd.DataFrame(rows | {"split": splits}).to_parquet(path)
    return path


def said(capsys, *words):
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_table_is_prepared_trained_on_and_evaluated(home, pets, capsys):
    found = said(capsys, "data", "--dataset", pets, "--label-column", "age")
    assert (found["train_images"], found["val_images"]) == (30, 6)
    assert found["columns"] == {"image": "image", "label": "age"}
    assert found["class_names"] == ["old", "young"]
    settings = ["--embed-dim", "16", "--num-heads", "2", "--depth", "1", "--image-size", "16", "--patch-size", "8"]
    settings += ["--stem", "patch", "--epochs", "1", "--snapshots", "0", "--device", "cpu", "--threads", "1"]
    said(capsys, "train", "--dataset", pets, "--label-column", "age", "--run", "ages", *settings)
    run = runs.get_run("ages")
    assert run.config.data.columns == ("image", "age")
    for split, count in (("train", 30), ("val", 6), ("test", 4)):
        result = said(capsys, "evaluate", "--run", "ages", "--split", split)
        assert sum(map(sum, result["confusion_matrix"])) == count
    words = shlex.split(command_line(run.config))
    assert words[words.index("--label-column") + 1] == "age"
    assert words[words.index("--image-column") + 1] == "image"


def test_an_unclear_table_is_bad_input_with_one_line(home, pets, capsys):
    assert main(["train", "--dataset", str(pets)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "choose one of 'species', 'age' (--label-column)" in lines[0]
    assert main(["data", "--dataset", str(pets), "--label-column", "colour"]) == 2
    assert "has no column 'colour'" in capsys.readouterr().err


def test_the_time_left_is_an_extrapolation_and_not_said_too_early(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(durations.time, "monotonic", lambda: now[0])
    left = durations.TimeLeft()
    now[0] = 101.0
    assert left.words(10, 100) == ""
    now[0] = 110.0
    assert left.words(10, 100) == ", about 1 min 30 s left"
    assert left.words(0, 100) == left.words(100, 100) == left.words(5, 0) == ""
