"""Runs that were trained without labels: their files, their fine-tuning, and their exports."""

import numpy as np
import pytest
import torch

from tests.helpers.unlabelled_runs import train_unlabelled
from vit import data, jobs, runs
from vit.config import RECIPES, StartConfig
from vit.exports import run_zip
from vit.exports.report.report import report
from vit.flags import command_line, configure
from vit.hub import README, contents
from vit.runs import finetune
from vit.runs.weights import load_checkpoint
from vit.trainer.reconstruction import reconstructions
from vit.trainer.resume_file import load_resume


@pytest.fixture
def dino(home) -> runs.Run:
    return train_unlabelled("dino")


def test_the_run_keeps_the_teacher_and_reports_its_figures(dino):
    epochs = [line for line in dino.metrics()[0] if line["event"] == "epoch"]
    assert {"teacher_entropy", "divergence", "val_accuracy"} <= epochs[-1].keys()
    assert "train_accuracy" not in epochs[-1]
    assert dino.best["teacher_entropy"] == epochs[-1]["teacher_entropy"]
    model, info = load_checkpoint("dino")
    tensors = load_resume(dino.path).tensors
    for name, value in model.state_dict().items():
        assert torch.equal(value, tensors[f"objective.teacher.{name}"])
    assert info.class_names == ()


@pytest.mark.parametrize("frozen", [True, False])
def test_fine_tuning_gives_it_classes(dino, frozen):
    recipe = RECIPES["frozen" if frozen else "fine-tune"].model_copy(update={"epochs": 1, "device": "cpu"})
    config = finetune.run_config(dino.config, StartConfig(run="dino", frozen=frozen), dino.config.data, recipe)
    assert config.model.num_classes == 5
    tuned = runs.create("tuned", config)
    assert jobs.execute(tuned).state == "finished"
    before, after = (load_checkpoint(name)[0].state_dict() for name in ("dino", "tuned"))
    assert after["head.weight"].shape == (5, 16)
    same = [torch.equal(value, after[name]) for name, value in before.items()]
    assert all(same) if frozen else not any(same)


def test_a_stopped_run_resumes_to_the_same_weights(home, dino):
    whole = load_checkpoint("dino")[0].state_dict()
    assert dino.can_resume
    runs.update_status(dino.path, state="stopped")
    jobs.prepare_resume(dino)
    assert jobs.execute(dino, resume=True).state == "finished"
    assert all(torch.equal(value, whole[name]) for name, value in load_checkpoint("dino")[0].state_dict().items())


def test_the_command_of_such_a_run_describes_it(home):
    config = configure(
        recipe="dino", embed_dim=16, num_heads=2, pool="cls", epochs=3, local_crops=3, train_images=60, val_images=20
    )
    assert (config.model.num_classes, config.training.local_crops) == (0, 3)
    assert len(config.data.class_names) == 5
    assert configure(learn_from="dino").training == RECIPES["dino"]
    assert "--recipe dino" in command_line(config)
    assert "--local-crops 3" in command_line(config)


def test_packing_report_and_card_take_a_run_without_labels(dino, tmp_path):
    with (tmp_path / "dino.zip").open("w+b") as file:
        run_zip.pack(dino, file, resume=True)
        file.seek(0)
        unpacked = run_zip.unpack(file, name="copy")
    assert unpacked.metrics()[0] == dino.metrics()[0]
    assert unpacked.best == dino.best
    text = report(dino)
    assert "k-NN accuracy" in text
    card = contents(dino)[README].decode()
    assert "trained without labels" in card
    assert "image-classification" not in card


def test_mae_reconstructs_hidden_patches_only(home):
    run = train_unlabelled("mae")
    images = data.load(run.config.data, splits=("val",)).val.images[:3]
    found = reconstructions(run, images)
    assert found.originals.shape == (3, 32, 32, 3)
    same = (found.reconstructed == found.originals).all(axis=-1)
    seen = (found.masked == found.originals).all(axis=-1)
    patches = seen.reshape(3, 4, 8, 4, 8).all(axis=(2, 4))
    assert patches.sum(axis=(1, 2)).tolist() == [4, 4, 4]
    assert np.array_equal(same & np.kron(patches, np.ones((8, 8), bool)), np.kron(patches, np.ones((8, 8), bool)))
    assert not same.all()
