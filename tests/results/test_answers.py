"""The stored answers of a run: equal to a fresh evaluation, and never used for anything else than what was measured."""

import io
import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import tiny_config
from vit import data, jobs, runs
from vit.cli.main import main
from vit.evaluation import Evaluation, evaluate
from vit.exports import run_zip
from vit.jobs import measurements
from vit.results.answers import answers, stored_answers
from vit.results.kinds import BYTES_MAX
from vit.runs.weights import load_checkpoint


def fresh(run: runs.Run) -> tuple[Evaluation, data.Split]:
    """Evaluate a run on its validation images."""
    model, info = load_checkpoint(run.path)
    split = data.load(run.config.data, splits=("val",)).val
    return evaluate(model, info, split), split


def assert_equal(found: Evaluation | None, expected: Evaluation) -> None:
    assert found is not None
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert found.probabilities.dtype == expected.probabilities.dtype
    assert found.to_dict() == expected.to_dict()


@pytest.fixture
def stored(trained) -> tuple[runs.Run, data.Split, Evaluation]:
    """Return a run that has stored answers, its validation images, and these answers."""
    run = runs.get_run("tiny")
    found, split = fresh(run)
    stored_answers(run, split).keep(found)
    return run, split, found


def test_stored_answers_are_those_of_a_fresh_evaluation(stored):
    run, split, found = stored
    assert_equal(stored_answers(run, split).read(), found)
    assert stored_answers(run, split).path.stat().st_size < 4000


def test_a_training_stores_the_answers_of_the_weights_that_it_keeps(home, monkeypatch):
    monkeypatch.setattr(measurements, "ANSWERS_BUDGET", 100.0)
    run = runs.create("one", tiny_config())
    assert jobs.execute(run).state == "finished"
    found, split = fresh(run)
    assert_equal(stored_answers(run, split).read(), found)
    assert found.accuracy == run.best["val_accuracy"]


def test_a_short_training_leaves_them_to_the_first_evaluation(home, monkeypatch, capsys):
    monkeypatch.setattr(measurements, "ANSWERS_BUDGET", 1e-9)
    run = runs.create("one", tiny_config())
    jobs.execute(run)
    found, split = fresh(run)
    assert stored_answers(run, split).read() is None
    assert main(["evaluate", "--run", "one", "--split", "train"]) == 0
    assert stored_answers(run, split).read() is None
    assert main(["evaluate", "--run", "one"]) == 0
    assert_equal(stored_answers(run, split).read(), found)


def test_the_command_runs_the_model_whatever_is_stored(stored, capsys):
    run, split, found = stored
    wrong = Evaluation(found.class_names, found.labels, np.roll(found.probabilities, 1, axis=1), found.loss)
    stored_answers(run, split).keep(wrong)
    assert main(["evaluate", "--run", "tiny"]) == 0
    assert f"accuracy {found.accuracy:.4f}" in capsys.readouterr().out
    assert answers(run, *load_checkpoint(run.path), split).accuracy == wrong.accuracy  # exports use what is stored


def test_other_weights_have_no_stored_answers(stored):
    run, split, _ = stored
    with (run.path / runs.MODEL).open("r+b") as file:
        file.seek(-4, io.SEEK_END)
        file.write(b"\0\0\0\x3f")
    assert stored_answers(run, split).read() is None


def test_other_images_labels_or_settings_have_no_stored_answers(stored):
    run, split, found = stored
    pixels = np.array(split.images)
    pixels[3, 0, 0, 0] ^= 1
    labels = np.array(split.labels)
    labels[0] = (labels[0] + 1) % 5
    first = slice(0, 20)
    fewer = replace(split, images=split.images[first], labels=split.labels[first], masks=split.masks[first])
    for other in (replace(split, images=pixels), replace(split, labels=labels), fewer):
        assert stored_answers(run, other).read() is None
    own = run.config
    for change in ({"mean": (0.4, 0.5, 0.5)}, {"class_names": ("a", "b", "c", "d", "e")}):
        runs.write_config(run.path, own.model_copy(update={"data": own.data.model_copy(update=change)}))
        assert stored_answers(run, split).read() is None
    network = own.model.model_copy(update={"num_heads": 4})
    runs.write_config(run.path, own.model_copy(update={"model": network}))
    assert stored_answers(run, split).read() is None
    runs.write_config(run.path, own)
    assert_equal(stored_answers(run, split).read(), found)


def test_a_copied_and_a_renamed_run_keep_them(stored):
    run, split, found = stored
    shutil.copytree(run.path, run.path.with_name("copy"))
    assert_equal(stored_answers(runs.get_run("copy"), split).read(), found)
    renamed = runs.rename(run, "other")
    assert_equal(stored_answers(renamed, split).read(), found)


def test_a_zip_leaves_them_out_and_does_not_bring_any(stored):
    run, split, found = stored
    content = io.BytesIO()
    run_zip.pack(run, content)
    with zipfile.ZipFile(content, "a") as archive:
        assert not [name for name in archive.namelist() if "results" in name]
        archive.writestr("tiny/results/answers.npz", stored_answers(run, split).path.read_bytes())
    again = run_zip.unpack(content, "again")
    assert not (again.path / "results").exists()
    assert_equal(answers(again, *load_checkpoint(again.path), split), found)


def test_a_run_on_an_uploaded_set_has_them_until_the_set_changes(home, photo_zip):
    base = tiny_config()
    source = data.describe(str(photo_zip)).config(32)
    network = base.model.model_copy(update={"num_classes": len(source.class_names)})
    run = runs.create("photos", base.model_copy(update={"data": source, "model": network}))
    assert jobs.execute(run).state == "finished"
    found, split = fresh(run)
    assert split.digests is not None
    stored_answers(run, split).keep(found)
    assert_equal(stored_answers(run, split).read(), found)
    digests = np.array(split.digests)
    digests[0] += 1
    assert stored_answers(run, replace(split, digests=digests)).read() is None


def test_a_resume_and_a_new_start_remove_them(stored):
    run, split, _ = stored
    runs.remove_measurements(run.path)
    assert not (run.path / "results").exists()
    runs.start_over(run)
    assert stored_answers(run, split).read() is None


def test_replaced_weights_and_an_active_run_keep_nothing(stored):
    run, split, found = stored
    runs.remove_measurements(run.path)
    place = stored_answers(run, split)
    (run.path / runs.MODEL).touch()
    place.keep(found)  # the weights were replaced since they were measured
    assert not place.path.exists()
    replace(stored_answers(run, split), writable=False).keep(found)
    assert not place.path.exists()
    with runs.run_lock(run.path):
        runs.update_status(run.path, state="running")
        stored_answers(run, split).keep(found)
    assert not place.path.exists()


def _saved(**arrays: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: {"probabilities": arrays["probabilities"] * 2},
        lambda arrays: {"probabilities": arrays["probabilities"] * np.float32(np.nan)},
        lambda arrays: {"probabilities": -arrays["probabilities"]},
        lambda arrays: {"probabilities": arrays["probabilities"].astype(np.float64)},
        lambda arrays: {"probabilities": arrays["probabilities"][:-1]},
        lambda arrays: {"probabilities": arrays["probabilities"][:, :-1]},
        lambda arrays: {"labels": arrays["labels"] + 5},
        lambda arrays: {"labels": arrays["labels"] - 1},
        lambda arrays: {"loss": np.array(np.inf)},
        lambda arrays: {"loss": np.array(-1.0)},
        lambda arrays: {"names": np.array(["<b>"] * 4)},
        lambda arrays: {"about": np.array("something else")},
    ],
)
def test_impossible_values_are_not_read(stored, change):
    run, split, _ = stored
    place = stored_answers(run, split)
    with np.load(place.path, allow_pickle=False) as file:
        arrays = dict(file)
    place.path.write_bytes(_saved(**arrays))
    assert place.read() is not None
    place.path.write_bytes(_saved(**arrays | change(arrays)))
    assert place.read() is None


def test_a_damaged_or_hostile_file_is_not_read(stored):
    run, split, found = stored
    place = stored_answers(run, split)
    whole = place.path.read_bytes()
    with np.load(place.path, allow_pickle=False) as file:
        arrays = dict(file)
    pickled = io.BytesIO()
    np.savez(pickled, **arrays | {"names": np.array([print, 1, 2, 3, 4], dtype=object)})
    huge = io.BytesIO()  # a header that promises 8 TB
    with zipfile.ZipFile(huge, "w") as archive:
        for name in arrays.keys() - {"probabilities"}:
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, arrays[name])
        with archive.open("probabilities.npy", "w") as member:
            np.lib.format.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": (10**12, 2)})
    bomb = _compressed(np.zeros(BYTES_MAX + 10**7, dtype=np.uint8))
    hostile = [b"", b"no zip", whole[: len(whole) // 2], whole[:-30], pickled.getvalue(), huge.getvalue(), bomb]
    for content in hostile:
        place.path.write_bytes(content)
        assert place.read() is None
    place.path.unlink()
    place.path.mkdir()
    assert place.read() is None
    place.keep(found)  # cannot be written, which is no failure


def _compressed(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, bomb=array)
    return content.getvalue()
