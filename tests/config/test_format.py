"""Runs that older programs wrote: listed, opened, compared, resumed, packed and unpacked by this one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.formats.write import picture
from vit import jobs, runs
from vit.cli.main import main
from vit.config import AUGMENTATIONS, MODELS, CNNConfig, DataConfig, Environment, RunConfig, TrainingConfig, format
from vit.config.base import Settings
from vit.errors import SettingsError
from vit.evaluation import predict
from vit.exports import run_zip
from vit.paths import checkpoints_dir
from vit.runs import Run, snapshots
from vit.runs.comparison import differences, summary
from vit.runs.folder import Status
from vit.runs.weights import load_checkpoint

FOLDERS = Path(__file__).parents[1] / "formats"
NUMBERS = sorted(int(folder.name) for folder in FOLDERS.iterdir() if folder.name.isdigit())
KINDS = ("cnn", "conv", "course", "patch")


@pytest.fixture(params=NUMBERS)
def old(home, request) -> dict[str, dict]:
    """All runs of one format in the folder of runs; what the program of their time said of them, by their names."""
    folder = FOLDERS / str(request.param)
    for name in KINDS:
        if (folder / name).is_dir():
            shutil.copytree(folder / name, checkpoints_dir() / name)
    run_zip.unpack(folder / "cnn.zip")
    return json.loads((folder / "expected.json").read_text())


def probabilities(run: Run) -> np.ndarray:
    model, info = load_checkpoint(run.path)
    return predict(model, info, [picture()])[0]


def test_every_format_up_to_now_has_its_runs():
    assert list(range(2, format.FORMAT + 1)) == NUMBERS
    assert RunConfig().format == format.FORMAT


def test_old_runs_are_listed_with_status_and_metrics(old):
    assert runs.broken_runs() == []
    assert {run.name for run in runs.list_runs()} == set(KINDS)
    for name, told in old.items():
        run = runs.find_run(name)
        assert (run.state, run.status.epoch, run.status.step) == (told["state"], told["epoch"], told["step"])
        assert (run.best, run.snapshots, run.metrics()[0]) == (told["best"], told["snapshots"], told["metrics"])


def test_old_runs_give_the_same_probabilities(old):
    for name, told in old.items():
        run = runs.find_run(name)
        np.testing.assert_allclose(probabilities(run), told["probabilities"], atol=1e-5)
        for epoch in snapshots.epochs(run):
            snapshots.load(run, epoch)


def test_old_runs_can_be_compared(old):
    found = {run.name: run for run in runs.list_runs()}
    each = differences([found[name].config for name in KINDS])
    assert each["Network"] == ("CNN", "Vision Transformer", "Course network", "Vision Transformer")
    assert each["Stem"][1::2] == ("Small convolutions", "One linear map")
    for name, told in old.items():
        assert summary(found[name]).val_accuracy == (told["best"] or {}).get("val_accuracy")


def test_a_run_stopped_within_an_epoch_resumes_as_if_uninterrupted(old):
    run, told = runs.find_run("conv"), old["conv"]["finished"]
    jobs.prepare_resume(run)
    assert jobs.execute(run, resume=True).state == "finished"
    lines, expected = run.metrics()[0], told["metrics"]
    assert [(line["event"], line["step"]) for line in lines] == [(line["event"], line["step"]) for line in expected]
    for line, there in zip(lines, expected, strict=True):
        for name in {"loss", "train_loss", "val_loss", "val_accuracy", "lr"} & line.keys():
            assert line[name] == pytest.approx(there[name], rel=1e-3), (name, line["step"])
    np.testing.assert_allclose(probabilities(run), told["probabilities"], atol=1e-4)


def test_old_runs_can_be_packed_and_unpacked(old, tmp_path):
    for name, told in old.items():
        run = runs.find_run(name)
        run_zip.pack(run, tmp_path / "run.zip", resume=run.can_resume)
        again = run_zip.unpack(tmp_path / "run.zip")
        assert (again.config, again.snapshots) == (run.config, run.snapshots)
        np.testing.assert_allclose(probabilities(again), told["probabilities"], atol=1e-5)


def test_settings_of_the_first_and_of_later_formats_are_refused():
    with pytest.raises(SettingsError, match=r"format 1.*train it again"):
        RunConfig.from_json('{"format": 1, "model": {"architecture": "cct"}}')
    for number in (str(format.FORMAT + 1), "null", '"2"', "2.5", "true", "-1", "[2]", "99999999999999999999"):
        with pytest.raises(SettingsError, match=rf"knows formats up to {format.FORMAT}.*version that made it"):
            RunConfig.from_json(f'{{"format": {number}, "what": "ever"}}')


def test_an_older_format_is_upgraded_step_by_step(monkeypatch):
    """What a later program does: a field is renamed in one format, and another one moves in the next."""
    now, last = format.FORMAT, format.FORMAT + 2
    monkeypatch.setattr(format, "FORMAT", last)
    monkeypatch.setitem(format._STEPS, now, lambda old: {"heads": old["num_heads"]})
    monkeypatch.setitem(format._STEPS, now + 1, lambda old: {"model": {"heads": old["heads"]}})
    assert format.upgrade({"format": now, "num_heads": 5}) == {"format": last, "model": {"heads": 5}}
    assert format.upgrade({"format": last, "any": 1}) == {"format": last, "any": 1}


def test_a_field_that_a_run_of_format_2_leaves_out_keeps_its_meaning():
    """The default network has changed since; the included run of that time did not name its stem_blocks."""
    model = RunConfig.from_json('{"format": 2, "model": {"architecture": "vit", "depth": 3}}').model
    assert (model.stem_blocks, model.pool, model.embed_dim, model.num_heads, model.depth) == (2, "mean", 128, 4, 3)
    assert RunConfig.from_json('{"format": 2}').model.stem_blocks == 2
    assert RunConfig.from_json('{"format": 2, "model": {"architecture": "cnn"}}').model == CNNConfig()


@pytest.mark.parametrize(
    ("written", "now"),
    [
        ({}, AUGMENTATIONS),
        ({"augment": "standard"}, AUGMENTATIONS),
        ({"augment": "none"}, ()),
        ({"augment": "none", "learn_from": "dino"}, ("flip", "shift", "colour")),  # which did not read the setting
        ({"augment": "standard", "learn_from": "mae"}, ("flip", "shift")),
        ({"augment": "none", "learn_from": "mae"}, ()),
    ],
)
@pytest.mark.parametrize("number", [2, 3])
def test_the_augmentation_of_formats_2_and_3_becomes_the_switches_of_what_was_done(written, now, number):
    settings = {"format": number, "training": written | {"blank_images": 0.0}}
    if "learn_from" in written:
        settings["model"] = {"architecture": "vit", "num_classes": 0}
    assert RunConfig(**settings).training.augmentations == now
    with pytest.raises(SettingsError, match=r"augment = 'some' is not possible"):
        RunConfig.from_json(json.dumps({"format": number, "training": {"augment": "some"}}))


SECTIONS: dict[str, type[Settings]] = {
    "run": RunConfig,
    "data": DataConfig,
    "training": TrainingConfig,
    "environment": Environment,
    "status": Status,
    **{model.name: type(model) for model in MODELS.values()},
}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_has_a_default_for_older_runs(section):
    required = [name for name, field in SECTIONS[section].model_fields.items() if field.is_required()]
    assert required == [], "runs that are there do not have it: give it the default that is what was done before"


def test_the_settings_and_files_of_older_runs_still_exist(old):
    """A field or a file that gets another name needs a new format, and a step to it."""
    known = {name: set(kind.model_fields) for name, kind in SECTIONS.items()}
    folder = FOLDERS / str(NUMBERS[-1])
    for name in ("conv", "course", "patch"):
        written = json.loads((folder / name / "config.json").read_text())
        kind = {"course": "reference"}.get(name, "vit")
        assert set(written) <= known["run"]
        assert set(written["model"]) <= known[kind]
        assert all(set(written[section]) <= known[section] for section in ("data", "training", "environment"))
        assert set(json.loads((folder / name / "status.json").read_text())) <= known["status"]
        files = {file.name for file in (folder / name).iterdir()}
        assert files <= {runs.CONFIG, runs.STATUS, runs.METRICS, runs.MODEL, runs.LAST, runs.SNAPSHOTS}


def test_the_command_line_lists_old_runs(old, capsys):
    assert main(["runs", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["runs"]
    assert {row["run"] for row in rows} == set(KINDS)
