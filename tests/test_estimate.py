"""The counts that the Train page shows, against the networks themselves."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.conftest import tiny_config
from vit import ViTConfig, estimate, runs
from vit.config import (
    DEPARTURES,
    RECIPES,
    CNNConfig,
    DataConfig,
    ModelConfig,
    ReferenceConfig,
    RunConfig,
    TrainingConfig,
)
from vit.counts import IMAGE_COPIES, count
from vit.hardware import Device
from vit.networks import build_model

MODELS = [
    ViTConfig(),
    ViTConfig(stem="patch", patch_size=16, embed_dim=96, num_heads=3, mlp_ratio=4.0),
    ViTConfig(patch_size=4, image_size=32, embed_dim=24, num_heads=1, depth=1, num_classes=10),
    ViTConfig(dropout=0.1, drop_path=0.1),
    CNNConfig(),
    CNNConfig(image_size=50, num_classes=7, in_channels=1),
    CNNConfig(residual=True),
    CNNConfig(residual=True, image_size=90, num_classes=3),
    ReferenceConfig(),
    ReferenceConfig(attention="einsum", image_size=48, embed_dim=36, num_heads=3, depth=3, num_classes=2),
    *(ReferenceConfig(image_size=32, patch_size=8, embed_dim=32, mended=(name,)) for name in DEPARTURES),
    *(ReferenceConfig(image_size=32, patch_size=8, mended=DEPARTURES[:rung]) for rung in range(2, 7)),
]


def ids(model: ModelConfig) -> str:
    return f"{model.name}, {model.title}"


@pytest.mark.parametrize("model", MODELS, ids=ids)
def test_parameters_and_operations_are_those_of_the_model(model):
    with torch.device("meta"):
        network = build_model(model).eval()
        images = torch.empty(1, model.in_channels, model.image_size, model.image_size)
        # The written-out attention's products are known to the counter on every device.
        record = {} if isinstance(model, CNNConfig) else {"record": {}}
        with FlopCounterMode(display=False) as counter:
            network(images, **record)
    assert estimate.count_parameters(model) == sum(parameter.numel() for parameter in network.parameters())
    assert estimate.count_flops(model) == pytest.approx(counter.get_total_flops(), rel=0.001)


def kept_for_backward(model: ModelConfig, batch: int) -> int:
    """Bytes that autograd holds on to in a training step, each storage once, the weights not counted."""
    network = build_model(model, seed=0).train()
    own = {tensor.untyped_storage().data_ptr() for tensor in (*network.parameters(), *network.buffers())}
    storages = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage
        return tensor

    images = torch.randn(batch, model.in_channels, model.image_size, model.image_size)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = torch.nn.functional.cross_entropy(network(images), torch.zeros(batch, dtype=torch.long))
    assert loss.requires_grad
    return sum(storage.nbytes() for storage in storages.values())


@pytest.mark.parametrize(
    "model",
    [
        ViTConfig(),
        ViTConfig(stem="patch", dropout=0.1, drop_path=0.1),
        CNNConfig(),
        CNNConfig(residual=True),
        ReferenceConfig(image_size=32, patch_size=8, embed_dim=64),
        ReferenceConfig(mended=DEPARTURES),
    ],
    ids=ids,
)
def test_activations_are_about_what_autograd_keeps(model):
    counts = count(model)
    floats = counts.floats - (IMAGE_COPIES - 1) * model.in_channels * model.image_size**2
    # What an image adds: standardised filters are held once a batch.
    kept = (kept_for_backward(model, batch=8) - kept_for_backward(model, batch=4)) / 4
    assert 0.95 * kept < estimate.FLOAT * floats < 1.8 * kept
    assert estimate.activation_bytes(model) > estimate.FLOAT * counts.floats


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


def test_the_course_network_outgrows_a_device_by_its_weights():
    def memory(device="cpu", patch_size=16, keep="training_loss", **training):
        recipe = RECIPES["course"].model_copy(update={"keep": keep, **training})
        return (
            estimate.memory_bytes(RunConfig(model=ReferenceConfig(patch_size=patch_size), training=recipe), device)
            - estimate.RUNTIME_BYTES[device]
        )

    weights = 52_213_253 * 4
    # Measured: 2.5 GB beyond the runtime's share, at the writing of the resume file.
    assert memory() == pytest.approx(11 * weights, rel=0.01)
    assert memory(keep="last") == pytest.approx(10 * weights, rel=0.01)
    assert memory("cuda") == pytest.approx(5 * weights, rel=0.05)  # there the file is written elsewhere
    config = RunConfig(model=ReferenceConfig(patch_size=8), training=RECIPES["course"])
    assert estimate.count_parameters(config.model) > 14 * 52_213_253
    assert not estimate.fits(config, Device("cuda", "GPU", int(12e9), 0))
    assert estimate.fits(config, Device("cuda", "GPU", int(48e9), 0))


@pytest.mark.parametrize("model", MODELS[4:9:2], ids=ids)
def test_only_a_transformer_has_tokens(home, model):
    config = RunConfig(model=model, data=DataConfig(image_size=model.image_size))
    cost = estimate.estimate(config, train_count=100)
    assert cost.tokens == (17 if isinstance(model, ReferenceConfig) else None)
    assert cost.parameters == estimate.count_parameters(model)


def test_a_dropped_last_batch_costs_no_time(home):
    def seconds(count, **training):
        config = RunConfig(training=TrainingConfig(batch_size=64, device="cpu", **training))
        return estimate.estimate(config, train_count=count).seconds

    assert seconds(127, drop_last=True) == seconds(64)
    assert seconds(128, drop_last=True) == seconds(128)
    assert seconds(40, drop_last=True) == seconds(40)  # the only batch is not dropped


def test_time_grows_with_epochs_and_follows_the_measured_speed_of_this_machine(trained):
    config = tiny_config()
    speeds = estimate.measured_speeds("cpu")
    best = runs.get_run("tiny").status.best
    cost = estimate.estimate(config, train_count=60, val_count=30, speeds=speeds)
    assert cost.seconds == pytest.approx(best["seconds"] / best["step"] * 3 * config.training.epochs)
    longer = config.model_copy(update={"training": config.training.model_copy(update={"epochs": 20})})
    assert cost.measured
    assert estimate.estimate(longer, train_count=60, speeds=speeds).seconds == pytest.approx(10 * cost.seconds)


def test_speed_of_an_epoch_is_that_of_all_its_steps_wherever_the_kept_weights_were_taken(trained):
    (before,) = estimate.measured_speeds("cpu")
    run = runs.get_run("tiny")
    runs.update_status(run.path, best=run.status.best | {"step": 1})
    assert estimate.measured_speeds("cpu") == (before,)


def test_the_speed_of_one_network_tells_nothing_of_another_s(trained):
    (speed,) = estimate.measured_speeds("cpu")
    assert speed.network == "vit"
    for model, measured in ((tiny_config().model, True), (CNNConfig(image_size=32), False)):
        config = tiny_config().model_copy(update={"model": model})
        own = speed._replace(step_flops=estimate.step_flops(config))
        assert estimate.estimate(config, train_count=60, speeds=(own,)).measured is measured


def test_without_any_run_the_time_is_a_guess_and_says_so(home):
    assert estimate.measured_speeds("cpu") == ()
    config = RunConfig(model=ViTConfig(image_size=32), data=DataConfig(image_size=32))
    cost = estimate.estimate(config, train_count=5000, val_count=1000)
    assert not cost.measured
    assert 1 < cost.seconds < 3600
    tiny = estimate.Speed("vit", estimate.step_flops(config) / 1000, 1e6)  # a toy run says nothing of this one
    assert estimate.estimate(config, train_count=5000, val_count=1000, speeds=(tiny,)) == cost
