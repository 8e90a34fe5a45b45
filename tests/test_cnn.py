"""The convolutional baselines; a run keeps their running statistics."""

import numpy as np
import pytest
import torch

from tests.trainer.test_loop import DATA, losses
from vit import load_checkpoint, runs
from vit.cnn import CNN
from vit.config import CNNConfig, DataConfig, RunConfig, TrainingConfig
from vit.cost.estimate import count_parameters
from vit.errors import SettingsError
from vit.runs.weights import load_snapshot, save_model, save_snapshot
from vit.trainer import Epoch, fit
from vit.trainer.resume_file import load_resume, save_resume


def config(residual: bool = False, **training) -> RunConfig:
    recipe = {"epochs": 2, "batch_size": 20, "device": "cpu"} | training
    return RunConfig(
        model=CNNConfig(image_size=32, residual=residual),
        data=DataConfig(image_size=32),
        training=TrainingConfig(**recipe),
    )


def test_parameters_are_those_of_the_baseline():
    assert sum(parameter.numel() for parameter in CNN(CNNConfig()).parameters()) == 390_181


def test_the_plain_network_s_weights_keep_their_names():
    names = [f"{index}.{name}" for index in range(4) for name in ("0.weight", "1.weight", "1.bias")]
    names += [
        f"{index}.1.{name}" for index in range(4) for name in ("running_mean", "running_var", "num_batches_tracked")
    ]
    assert set(CNN(CNNConfig()).state_dict()) == {"head.weight", "head.bias", *(f"blocks.{name}" for name in names)}


def test_the_residual_network_is_the_larger_one():
    plain, residual = (count_parameters(CNNConfig(residual=residual)) for residual in (False, True))
    assert plain < residual < 2 * plain
    assert residual == sum(parameter.numel() for parameter in CNN(CNNConfig(residual=True)).parameters())


@pytest.mark.parametrize("block", [1, 3])
def test_a_residual_block_adds_its_convolutions_to_its_input(block):
    torch.manual_seed(0)
    layers = CNN(CNNConfig(residual=True)).eval().blocks
    x = torch.rand(2, layers[block].conv1.in_channels, 16, 16)
    first = torch.relu(layers[block].norm1(layers[block].conv1(x)))
    second = layers[block].norm2(layers[block].conv2(first))
    assert second.shape[-1] == (16 if block == 1 else 8)
    came_in = x if block == 1 else layers[block].shortcut(x)
    torch.testing.assert_close(layers[block](x), torch.relu(came_in + second))


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("size", [32, 50, 224])
def test_it_takes_images_of_any_size_from_32(size, residual):
    model = CNN(CNNConfig(image_size=size, num_classes=3, residual=residual)).eval()
    assert model(torch.zeros(2, 3, size, size)).shape == (2, 3)
    with pytest.raises(SettingsError, match="32"):
        CNNConfig(image_size=size // 8)


@pytest.mark.parametrize("residual", [False, True])
def test_a_resumed_training_equals_an_uninterrupted_one_including_statistics(home, residual):
    run = runs.create("cnn", config(residual, snapshots=0))
    events = []
    for event in fit(run.config, DATA):
        events.append(event)
        if isinstance(event, Epoch) and event.epoch == 1:
            save_resume(run.path, event.checkpoint)
    rest = list(fit(run.config, DATA, resume=load_resume(run.path)))
    assert losses(rest) == losses(events)[3:]
    for name, value in events[-1].weights.items():
        torch.testing.assert_close(rest[-1].weights[name], value, rtol=0, atol=0)


def test_counts_stay_whole_numbers_in_the_kept_weights_and_in_snapshots(home):
    run = runs.create("cnn", config(epochs=1))
    *_, epoch, snapshot = fit(run.config, DATA)
    save_model(run.path, epoch.weights, {})
    (run.path / runs.SNAPSHOTS).mkdir()
    save_snapshot(run.path, 1, snapshot.weights)
    images = torch.from_numpy(np.array(DATA.val.images)).float() / 255
    logits = []
    for model, _ in (load_checkpoint("cnn"), load_snapshot("cnn", 1)):
        norm = model.blocks[0][1]
        assert (norm.num_batches_tracked.dtype, int(norm.num_batches_tracked)) == (torch.int64, 3)
        assert norm.running_var.dtype == torch.float32
        logits.append(model(images))
    torch.testing.assert_close(logits[0], logits[1], atol=0.05, rtol=0.05)
