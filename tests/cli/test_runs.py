"""``import``, ``rename`` and ``delete`` on the command line."""

import json

import pytest

from tests.helpers.working import config
from vit import jobs, runs
from vit.cli.main import main
from vit.exports import run_zip
from vit.runs.run import SHIPPED_RUN


@pytest.fixture
def call(capsys):
    """Return a function that runs a command and returns its exit status, standard output and standard error."""

    def run_command(*words: object) -> tuple[int, str, str]:
        return main([str(word) for word in words]), *capsys.readouterr()

    return run_command


@pytest.fixture
def one(home):
    """A finished run."""
    run = runs.create("one", config(1))
    assert jobs.execute(run).state == "finished"
    return run


def test_a_run_goes_from_a_zip_to_a_folder_and_is_renamed_and_deleted(one, call, tmp_path):
    zip_file = tmp_path / "one.zip"
    run_zip.pack(one, zip_file)
    status, out, _ = call("import", zip_file, "--run", "two", "--json")
    assert (status, json.loads(out)["run"]) == (0, "two")
    assert runs.get_run("two").has_weights
    assert json.loads(call("import", zip_file, "--json")[1])["run"] == "one-2"
    assert call("rename", "--run", "two", "--to", "three")[0] == 0
    assert json.loads(call("delete", "--run", "one-2", "--json")[1])["size_bytes"] > 0
    assert sorted(run.name for run in runs.list_runs()) == ["one", "three"]


def test_tags_and_a_note_are_set_listed_and_filtered_by(one, call):
    assert call("note", "--run", "one", "--tag", "to repeat", "--tag", "paper", "--text", "Slow.")[0] == 0
    _, out, _ = call("note", "--run", "one", "--untag", "paper", "--json")
    assert json.loads(out) == {"run": "one", "tags": ["to repeat"], "note": "Slow."}
    listed = json.loads(call("runs", "--json", "--tag", "to repeat")[1])["runs"]
    assert [(row["run"], row["tags"], row["note"]) for row in listed] == [("one", ["to repeat"], "Slow.")]
    assert "[to repeat]" in call("runs")[1]
    assert json.loads(call("runs", "--json", "--tag", "paper")[1])["runs"] == []
    assert json.loads(call("note", "--run", "one", "--untag", "to repeat", "--text", "", "--json")[1])["tags"] == []
    assert "has no tag 'paper'" in call("note", "--run", "one", "--untag", "paper")[2]
    assert call("note", "--run", "one", "--tag", "x" * 99)[0] == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("import nowhere.zip", "nowhere.zip"),
        ("import {folder}/config.json", "not a zip"),
        ("rename --run one --to one", "There is already a run 'one'"),
        ("rename --run one --to ../two", "A run cannot be called"),
        ("rename --run nosuch --to two", "There is no run 'nosuch'"),
        ("delete --run nosuch", "There is no run 'nosuch'"),
        ("delete --run {folder}/..", "There is no run"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(one, call, words, sentence):
    status, out, err = call(*words.format(folder=one.path).split())
    assert (status, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1
    assert [run.name for run in runs.list_runs()] == ["one"]


def test_a_run_that_came_with_the_project_is_deleted_only_on_purpose(one, call):
    runs.rename(one, SHIPPED_RUN)
    assert "add --yes" in call("delete", "--run", SHIPPED_RUN)[2]
    assert call("delete", "--run", SHIPPED_RUN, "--yes")[0] == 0


def test_an_active_run_is_neither_renamed_nor_deleted(home, call):
    run = runs.create("one", config(1))
    with runs.run_lock(run.path):
        assert "stop it first" in call("delete", "--run", "one")[2]
        assert "stop it first" in call("rename", "--run", "one", "--to", "two")[2]
