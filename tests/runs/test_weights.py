"""Weights on disk: what goes in comes out, and nothing damaged or foreign becomes a model."""

import pickle

import pytest
import torch

from vit import load_checkpoint, runs
from vit.errors import RunError
from vit.runs.weights import load_snapshot
from vit.trainer.checkpoint import Checkpoint
from vit.trainer.resume_file import load_resume, save_resume


def test_a_checkpoint_loads_frozen_in_eval_mode_with_what_goes_with_it(trained):
    model, info = load_checkpoint("tiny")
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert info.class_names == ("airplane", "bus", "cat", "dog", "pizza")
    assert (info.image_size, info.dataset) == (32, "scenes")
    assert info.metrics["validated"] is True
    assert 0 <= info.metrics["val_accuracy"] <= 1
    by_path, _ = load_checkpoint(runs.get_run("tiny").path)
    torch.testing.assert_close(by_path.state_dict(), model.state_dict())


def test_the_last_snapshot_is_the_last_weights_in_half_precision(trained):
    run = runs.get_run("tiny")
    assert run.snapshots == [1, 2]
    model, _ = load_snapshot("tiny", 2)
    last = load_resume(run.path)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, last.tensors[f"model.{name}"], atol=1e-2, rtol=1e-2)


def test_resume_state_survives_the_disk_bit_by_bit(home):
    run = home / "run"
    run.mkdir()
    assert load_resume(run) is None
    checkpoint = Checkpoint(
        {"model.w": torch.randn(3, 4).t()}, {"epoch": 2, "step": 10, "seconds": 0.1 + 0.2, "best": 1 / 3}
    )
    save_resume(run, checkpoint)
    loaded = load_resume(run)
    assert torch.equal(loaded.tensors["model.w"], checkpoint.tensors["model.w"])
    assert loaded.position == checkpoint.position


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"epoch": 1, "step": 3},
        {"epoch": 1, "step": 3, "seconds": float("nan")},
        {"epoch": -1, "step": 3, "seconds": 1.0},
        {"epoch": 1, "step": "3", "seconds": 1.0},
        {"epoch": 1, "step": 3, "seconds": 1.0, "evil": 1},
    ],
)
def test_a_resume_that_does_not_say_where_it_was_is_refused_with_what_to_do(home, metadata):
    run = home / "run"
    run.mkdir()
    save_resume(run, Checkpoint({"model.w": torch.zeros(1)}, metadata))
    with pytest.raises(RunError, match="start the run over"):
        load_resume(run)


def test_a_resume_that_is_damaged_is_refused_with_what_to_do(home):
    run = home / "run"
    run.mkdir()
    save_resume(run, Checkpoint({"model.w": torch.zeros(100)}, {"epoch": 1, "step": 3, "seconds": 1.0}))
    whole = (run / runs.LAST).read_bytes()
    deep = b"[" * 100_000
    header = b'{"__metadata__":{"epoch":"' + deep + b'"}}'
    for content in (b"", whole[:7], whole[:50], whole[:-1], len(header).to_bytes(8, "little") + header, b"\0" * 500):
        (run / runs.LAST).write_bytes(content)
        with pytest.raises(RunError, match=r"last\.safetensors.*start the run over"):
            load_resume(run)


def test_a_run_tells_what_its_kept_weights_say_of_themselves(trained):
    from dataclasses import fields

    from vit.runs.folder import kept_metrics
    from vit.trainer import Epoch

    run = runs.get_run("tiny")
    found = kept_metrics(run.path)
    assert found == run.best == run.status.best
    assert set(found) == {field.name for field in fields(Epoch) if field.repr and field.name != "kept"}
    assert load_checkpoint("tiny")[1].metrics == found | {"validated": True}


def test_a_run_that_is_missing_or_damaged_or_foreign_is_refused_in_a_sentence(trained):
    with pytest.raises(RunError, match="nosuch"):
        load_checkpoint("nosuch")
    path = runs.get_run("tiny").path / runs.MODEL
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RunError, match="damaged"):
        load_checkpoint("tiny")
    path.write_bytes(pickle.dumps({"w": torch.zeros(1)}))
    with pytest.raises(RunError, match="damaged"):
        load_checkpoint("tiny")
    path.unlink()
    with pytest.raises(RunError, match="train it first"):
        load_checkpoint("tiny")


def test_weights_that_do_not_fit_the_settings_are_refused(several):
    small, deep = runs.get_run("tiny").path, runs.get_run("tiny-deep").path
    (small / runs.MODEL).write_bytes((deep / runs.MODEL).read_bytes())
    with pytest.raises(RunError, match="do not fit"):
        load_checkpoint("tiny")
