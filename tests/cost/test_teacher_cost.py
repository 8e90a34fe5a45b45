"""The estimated cost of a training with a teacher, compared with its steps."""

import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.runs.test_finetune import CLASSES, made
from tests.runs.test_teachers import learning
from tests.trainer.test_loop import DATA, config
from vit import runs
from vit.config import CNNConfig, Environment, ModelConfig, RunConfig, ViTConfig
from vit.cost.estimate import Speed, count_parameters, estimate, fits, memory_bytes, step_flops
from vit.data.batches import Batches
from vit.networks import build_model
from vit.runs.speeds import measured_speeds
from vit.runs.teachers import teacher_model
from vit.support import hardware
from vit.support.hardware import Device
from vit.trainer.objectives import build_objective


@pytest.mark.parametrize("teacher", [CNNConfig(image_size=32), ViTConfig(image_size=32, patch_size=8, pool="mean")])
def test_a_teacher_adds_the_operations_of_its_forward_pass_to_a_step(teacher: ModelConfig):
    batches = Batches(DATA.train, batch_size=20, device="cpu", mean=(0.5,) * 3, std=(0.5,) * 3, augment=True)
    batches.seed(1, 0)

    def measured(settings: RunConfig, taught: bool) -> int:
        network = build_model(teacher, seed=1) if taught else None
        it = build_objective(build_model(settings.model, seed=0), batches, settings.training, network)
        with FlopCounterMode(display=False) as counter:
            it.loss(it.model, torch.arange(20), slice(None))[0].backward()
        return counter.get_total_flops()

    added = measured(config(teacher="big"), True) - measured(config(), False)
    estimated = step_flops(config(teacher="big"), teacher) - step_flops(config())
    assert estimated == pytest.approx(added, rel=0.05)  # the counter does not know the attention kernel of a CPU
    assert estimated > step_flops(config())  # most of the work would be left out


def test_a_training_with_a_teacher_takes_longer_and_more_memory(home):
    teacher = made("cnn", CNNConfig(image_size=32), CLASSES)
    settings = learning()
    theirs = teacher_model(settings)
    assert theirs == teacher.config.model
    speed = (Speed(settings.model.name, step_flops(settings, theirs), 1e9),)
    alone, taught = (estimate(settings, train_count=1000, speeds=speed, teacher=each) for each in (None, theirs))
    assert taught.seconds > 1.5 * alone.seconds
    assert taught.memory_bytes >= alone.memory_bytes + 4 * count_parameters(theirs)
    enough = int(memory_bytes(settings, "cpu", teacher=theirs) / 0.9) + 1
    assert fits(settings, Device("cpu", "CPU", enough, enough), theirs)
    assert not fits(settings, Device("cpu", "CPU", enough - 10**6, enough), theirs)
    runs.delete(teacher)
    assert teacher_model(settings) is None


def test_the_measured_speed_of_a_training_counts_its_teacher(home):
    teacher = made("cnn", CNNConfig(image_size=32), CLASSES)
    run = runs.create("taught", learning())
    environment = Environment(processor=hardware.processor(), device="cpu")
    saved = runs.Run(run.path).config
    runs.write_config(run.path, saved.model_copy(update={"environment": environment}))
    runs.update_status(run.path, state="finished", steps_total=6)
    line = {"event": "epoch", "epoch": 2, "step": 6, "seconds": 10.0}
    (run.path / runs.METRICS).write_text(json.dumps(line) + "\n", encoding="utf-8")
    [speed] = measured_speeds("cpu")
    assert speed.step_flops == step_flops(saved, teacher.config.model)
    assert speed.flops_per_second == pytest.approx(speed.step_flops * 6 / 10)
    again = estimate(saved, train_count=60, speeds=(speed,), teacher=teacher.config.model)
    assert (again.measured, again.seconds) == (True, pytest.approx(10.0))
    runs.delete(teacher)
    assert measured_speeds("cpu") == ()
