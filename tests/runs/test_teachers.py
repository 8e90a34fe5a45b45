"""The teacher of a distillation: which runs can be it, and a job that learns from one."""

import shutil

import pytest
import torch

from tests.jobs.test_resume import stop_after
from tests.runs.test_finetune import CLASSES, made
from vit import jobs, runs
from vit.cli import main
from vit.config import CNNConfig, DataConfig, RunConfig, TrainingConfig, ViTConfig
from vit.errors import RunError, SettingsError
from vit.flags import command_line, configure
from vit.runs import teachers
from vit.runs.privacy import PRIVATE_RUN, without_private_settings
from vit.runs.weights import load_checkpoint
from vit.trainer.resume_file import load_resume

NETWORK = {"embed_dim": 16, "depth": 1, "num_heads": 2, "image_size": 32}


def learning(teacher: str = "cnn", classes: tuple[str, ...] = CLASSES, owner: str = "", **training) -> RunConfig:
    """A small training on scenes with a teacher."""
    images = DataConfig(image_size=32, class_names=classes, train_images=60, val_images=20)
    recipe = {"epochs": 2, "batch_size": 20, "device": "cpu", "threads": 1, "snapshots": 0} | training
    network = ViTConfig(**NETWORK, num_classes=len(classes))
    return RunConfig(model=network, data=images, training=TrainingConfig(teacher=teacher, **recipe), owner=owner)


@pytest.fixture
def cnn(home) -> runs.Run:
    return made("cnn", CNNConfig(image_size=32), CLASSES[::-1], mean=(0.1, 0.2, 0.3))


def test_a_job_learns_from_its_teacher_and_is_resumed_with_it(cnn):
    whole = runs.create("whole", learning(average=0.9))
    assert jobs.execute(whole).state == "finished"
    run = runs.create("run", learning(average=0.9))
    stop_after(run, 1)
    jobs.prepare_resume(run)
    assert jobs.execute(run, resume=True).state == "finished"
    expected = load_resume(whole.path).tensors
    for name, value in load_resume(run.path).tensors.items():
        assert torch.equal(value, expected[name]), name


def test_the_answers_are_in_the_order_of_the_training_s_classes(cnn):
    network, images = teachers.load_teacher(learning()), torch.rand(2, 3, 32, 32)
    own, _ = load_checkpoint(cnn.path)
    shift = torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)
    torch.testing.assert_close(network((images - 0.5) / 0.5), own((images - shift) / 0.5).flip(1), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        (learning("gone"), RunError, "The teacher 'gone' was deleted or renamed: choose another run"),
        (learning("new"), RunError, "The teacher 'new' has no weights yet: train it first"),
        (learning("large"), SettingsError, "takes images of 64 pixels, and this training has 32"),
        (learning(classes=("a", "b")), SettingsError, "has other classes than these images"),
        (learning("theirs", owner="a" * 32), RunError, "The teacher 'theirs' was deleted or renamed"),
    ],
)
def test_a_run_that_cannot_be_the_teacher_is_refused_with_a_sentence(cnn, settings, error, words):
    runs.create("new", learning(""))
    made("large", CNNConfig(image_size=64))
    made("theirs", CNNConfig(image_size=32), owner="b" * 32)
    with pytest.raises(error, match=words):
        teachers.find_teacher(settings, settings.owner)


def test_without_a_teacher_nothing_is_loaded(home):
    assert teachers.find_teacher(learning("")) is None
    assert teachers.load_teacher(learning("")) is None


def test_a_deleted_teacher_is_told_before_the_run_is_queued_again(cnn):
    run = runs.create("run", learning())
    runs.update_status(run.path, state="stopped")
    shutil.rmtree(cnn.path)
    with pytest.raises(RunError, match="The teacher 'cnn' was deleted"):
        jobs.prepare_resume(run)
    with pytest.raises(RunError, match="The teacher 'cnn' was deleted"):
        jobs.prepare_restart(run)


def test_the_command_line_has_the_recipe_and_refuses_a_teacher_that_does_not_fit(cnn, capsys):
    settings = {"recipe": "strong", "teacher": "cnn", "image_size": 32, "mixup": 0.3, "device": "cpu"}
    config = configure(**settings)
    assert (config.training.teacher, config.training.mixup) == ("cnn", 0.3)
    command = command_line(config)
    assert "--recipe strong" in command
    assert "--teacher cnn" in command
    assert "--mixup 0.3" in command
    assert main.main(["train", "--teacher", "cnn", "--image-size", "64"]) == 2
    assert "takes images of 32 pixels" in capsys.readouterr().err


def test_a_teacher_that_belongs_to_another_visitor_is_not_named_in_an_export(cnn):
    made("theirs", CNNConfig(image_size=32), owner="b" * 32)
    assert without_private_settings(learning("theirs", owner="a" * 32)).training.teacher == PRIVATE_RUN
    assert without_private_settings(learning("cnn", owner="a" * 32)).training.teacher == "cnn"
