"""The included run: small, complete, and as accurate as stated."""

import pytest

from vit import load_checkpoint, runs
from vit.config import RunConfig
from vit.data import load
from vit.evaluation import evaluate
from vit.paths import project_root

RUN = project_root() / "checkpoints" / runs.SHIPPED_RUN


@pytest.fixture
def shipped(home) -> runs.Run:
    return runs.get_run(RUN)


def test_it_has_the_default_model_and_recipe_except_for_fewer_snapshots(shipped):
    default, config = RunConfig(), shipped.config
    assert config.model == default.model
    assert config.training.model_copy(update={"snapshots": default.training.snapshots}) == default.training
    assert config.data.model_copy(update={"class_names": ()}) == default.data


def test_it_is_finished_validated_and_small(shipped):
    assert shipped.state == "finished"
    assert shipped.status.validated
    assert shipped.best["val_accuracy"] >= 0.95
    assert shipped.size_bytes <= 10_000_000
    assert 1 <= len(shipped.snapshots) <= 6
    assert not (RUN / runs.LAST).exists()
    assert shipped.picture


def test_it_still_classifies_the_images_that_the_program_draws(shipped):
    model, info = load_checkpoint(RUN)
    val = load(info.config.data.model_copy(update={"val_images": 200}), splits=("val",)).val
    assert evaluate(model, info, val).accuracy >= 0.9
