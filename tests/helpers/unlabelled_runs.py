"""Runs that were really trained without labels, as small as can be."""

from tests.conftest import tiny_config
from vit import jobs, runs
from vit.config import RECIPES, TrainingConfig, ViTConfig


def train_unlabelled(learn_from: str, **training) -> runs.Run:
    """Train a run without labels in the folder of runs and return it; its name is the method's."""
    tiny = tiny_config(pool="cls")
    recipe = {"epochs": 1, "batch_size": 30, "device": "cpu", "threads": 1, "local_crops": 1}
    network = ViTConfig(**tiny.model.model_dump() | {"num_classes": 0})
    recipe = RECIPES[learn_from].model_dump() | recipe | training
    config = tiny.model_copy(update={"model": network, "training": TrainingConfig(**recipe)})
    run = runs.create(learn_from, config)
    jobs.execute(run)
    assert run.state == "finished", run.status.message
    return run
