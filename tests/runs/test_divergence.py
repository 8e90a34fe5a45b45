import math

import pytest

from vit import runs
from vit.runs.divergence import describe_divergence, is_diverged


def with_losses(run: runs.Run, train: float, val: float) -> str:
    runs.truncate_metrics(run.path, 0)
    runs.append_metrics(run.path, [{"event": "epoch", "epoch": 3, "step": 1, "train_loss": train, "val_loss": val}])
    return describe_divergence(run)


@pytest.mark.parametrize("loss", [1.4e8, 30.0, 5.0])
def test_losses_far_above_guessing_are_told(trained, loss):
    sentence = with_losses(runs.find_run("tiny"), loss, loss)
    assert sentence.startswith("Diverged: the training loss of the last epoch is")
    assert f"guessing has {math.log(5):.2f}" in sentence
    assert "learning rate below" in sentence


@pytest.mark.parametrize(("train", "val"), [(1.5, 1.5), (0.01, 6.0), (1.9, 1.7)])
def test_learning_by_heart_and_learning_nothing_are_no_divergence(trained, train, val):
    assert with_losses(runs.find_run("tiny"), train, val) == ""


def test_a_training_with_a_far_too_high_learning_rate_ends_as_diverged(home):
    from tests.conftest import tiny_config
    from vit import jobs

    config = tiny_config()
    recipe = config.training.model_copy(update={"lr": 1.0, "warmup": 0.0, "clip_norm": 0.0, "epochs": 2})
    run = runs.create("wild", config.model_copy(update={"training": recipe}))
    status = jobs.execute(run, resume=False)
    assert is_diverged(status) or status.state == "failed", status.message
    assert "learning rate" in status.message
