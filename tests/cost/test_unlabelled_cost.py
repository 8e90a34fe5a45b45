"""The estimated cost of a training without labels, compared with the training itself."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.trainer.test_unlabelled import objective, unlabelled
from vit.config import RECIPES, RunConfig, ViTConfig
from vit.cost.estimate import count_trained, disk_bytes, memory_bytes, step_flops


@pytest.mark.parametrize("method", ["dino", "mae"])
@pytest.mark.parametrize("model", [{"stem": "conv", "patch_size": 4}, {"stem": "patch", "pool": "cls"}])
def test_operations_and_trained_parameters_are_those_of_a_step(method, model):
    settings, it = unlabelled(method, model), objective(method, model)
    it.before_step(1, 0)
    it.batches.seed(1, 0)
    with FlopCounterMode(display=False) as counter:
        it.loss(it.model, torch.arange(20), slice(None))[0].backward()
    # The estimate is a little high: no gradient of the images is computed, and MAE's attention is over fewer keys, too.
    assert 0.95 < step_flops(settings) / counter.get_total_flops() < 1.4
    trained = sum(value.numel() for module in (it.model, *it.modules.values()) for value in module.parameters())
    assert count_trained(settings) == pytest.approx(trained, rel=0.01)


def test_dino_takes_more_memory_and_disk_than_labels():
    labelled = RunConfig()
    without = RunConfig(model=ViTConfig(num_classes=0), training=RECIPES["dino"])
    assert memory_bytes(without, "cpu") > memory_bytes(labelled, "cpu")
    assert disk_bytes(without) > disk_bytes(labelled)
    assert 2.5 < step_flops(without) / step_flops(labelled) < 6
