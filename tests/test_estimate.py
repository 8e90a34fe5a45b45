"""The counts that the Train page shows, against the model itself."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.conftest import tiny_config
from vit import ViT, ViTConfig, estimate, runs
from vit.config import DataConfig, RunConfig, TrainingConfig
from vit.hardware import Device

MODELS = [
    {},
    {"stem": "patch", "patch_size": 16, "embed_dim": 96, "num_heads": 3, "mlp_ratio": 4.0},
    {"patch_size": 4, "image_size": 32, "embed_dim": 24, "num_heads": 1, "depth": 1, "num_classes": 10},
]


@pytest.mark.parametrize("settings", MODELS)
def test_parameters_are_those_of_the_model(settings):
    config = ViTConfig(**settings)
    assert estimate.count_parameters(config) == sum(parameter.numel() for parameter in ViT(config).parameters())


@pytest.mark.parametrize("settings", MODELS)
def test_operations_are_those_that_torch_counts(settings):
    config = ViTConfig(**settings)
    with torch.device("meta"):
        model, images = ViT(config), torch.empty(1, 3, config.image_size, config.image_size)
        with FlopCounterMode(display=False) as counter:
            model(images, record={})  # the written-out attention, whose products the counter knows on every device
    assert estimate.count_flops(config) == pytest.approx(counter.get_total_flops(), rel=0.001)


def test_memory_grows_with_batch_depth_and_tokens_and_bounds_what_fits():
    def memory(batch_size=64, **model):
        config = RunConfig(model=ViTConfig(**model), training=TrainingConfig(batch_size=batch_size, device="cpu"))
        need = estimate.memory_bytes(config, "cpu")
        assert estimate.fits(config, Device("cpu", "CPU", int(2 * need), 0))
        assert not estimate.fits(config, Device("cpu", "CPU", int(need), 0))
        return need

    assert (
        memory()
        < memory(batch_size=128)
        < memory(batch_size=128, depth=8)
        < memory(batch_size=128, depth=8, patch_size=4)
    )


def test_time_grows_with_epochs_and_follows_the_measured_speed_of_this_machine(trained):
    config = tiny_config()
    speeds = estimate.measured_speeds("cpu")
    best = runs.get_run("tiny").status.best
    cost = estimate.estimate(config, train_count=60, val_count=30, speeds=speeds)
    assert cost.seconds == pytest.approx(best["seconds"] / best["step"] * 3 * config.training.epochs)
    longer = config.model_copy(update={"training": config.training.model_copy(update={"epochs": 20})})
    assert cost.measured
    assert estimate.estimate(longer, train_count=60, speeds=speeds).seconds == pytest.approx(10 * cost.seconds)


def test_without_any_run_the_time_is_a_guess_and_says_so(home):
    assert estimate.measured_speeds("cpu") == ()
    config = RunConfig(model=ViTConfig(image_size=32), data=DataConfig(image_size=32))
    cost = estimate.estimate(config, train_count=5000, val_count=1000)
    assert not cost.measured
    assert 1 < cost.seconds < 3600
    tiny = ((estimate.step_flops(config) / 1000, 1e6),)  # a toy run says nothing of this one
    assert estimate.estimate(config, train_count=5000, val_count=1000, speeds=tiny) == cost
