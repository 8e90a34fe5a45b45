"""``python -m vit faithfulness``."""

import json

import pytest

from vit import data, runs
from vit.cli.main import main
from vit.explain import METHODS, measure_faithfulness
from vit.runs import weights


@pytest.fixture
def call(capsys):
    """Runs the command in this process: (exit status, standard output, standard error)."""

    def run_command(line: str) -> tuple[int, str, str]:
        try:
            status = main(["faithfulness", *line.split()])
        except SystemExit as error:
            status = error.code
        return status, *capsys.readouterr()

    return run_command


@pytest.fixture
def result(trained):
    """What the command should report of ten images."""
    run = runs.find_run("tiny")
    model, info = weights.load_checkpoint(run.path)
    split = data.load(run.config.data, splits=("val",)).val
    methods = {name: METHODS[name] for name in ("rollout", "occlusion")}
    return measure_faithfulness(model, split, mean=info.mean, std=info.std, images=10, methods=methods)


def test_json_is_the_result(call, result):
    status, out, _ = call("--run tiny --images 10 --methods rollout,occlusion --json")
    assert status == 0
    found = json.loads(out)
    assert {name: found[name] for name in result.to_dict()} == json.loads(json.dumps(result.to_dict()))
    assert (found["run"], found["dataset"]) == ("tiny", "scenes")
    assert set(found["verdicts"]) == {"rollout", "occlusion"}
    assert found["summary"]


def test_the_table_has_a_row_for_each_map_and_marks_what_is_better_than_chance(call, result):
    status, out, _ = call("--run tiny --images 10 --methods rollout,occlusion")
    assert status == 0
    lines = [line for line in out.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert len(cells) == 2 + 2 + 2 + 3
    assert {len(row) for row in cells} == {8}
    for row, found in zip(cells[2:], result.rows, strict=True):
        assert row[0].strip("_") == found.title
        for cell, name in zip(row[1:], result.measures, strict=True):
            assert cell.replace("*", "").startswith(f"{result.scores[found.name][name].mean:.3f} [")
            advantage = result.advantages.get(found.name, {}).get(name)
            assert cell.startswith("**") == (advantage is not None and advantage.better)


@pytest.mark.parametrize("methods", ["tarot", "rollout,tarot", ","])
def test_an_unknown_method_is_refused_in_one_line_that_lists_the_known_ones(call, trained, methods):
    status, out, err = call(f"--run tiny --methods {methods}")
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert "chefer" in err


def test_an_unavailable_method_is_listed_with_the_reason(call, home):
    from tests.pages.test_faithfulness import train
    from vit.config import CNNConfig

    train("small-cnn", CNNConfig(image_size=32))
    status, out, _ = call("--run small-cnn --images 5 --methods rollout,gradcam")
    assert status == 0
    assert "- Left out: rollout. " in out
    status, out, err = call("--run small-cnn --images 5 --methods rollout")
    assert (status, out) == (2, "")
    assert "no attention" in err
