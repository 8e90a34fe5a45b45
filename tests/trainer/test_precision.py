"""The precision of steps: what it changes, what it leaves alone, and how a measurement chooses it."""

import pytest
import torch

from tests.trainer.test_loop import DATA, config, losses
from tests.trainer.test_step import stepper
from vit.config import TrainingConfig, ViTConfig
from vit.distributed import ALONE
from vit.support import hardware
from vit.trainer import fit, precision

NETWORK = ViTConfig(image_size=32, embed_dim=16, num_heads=2)


def test_steps_in_bfloat16_have_nearly_the_losses_of_float32():
    exact, rounded = (losses(fit(config(device="cpu", precision=it), DATA)) for it in ("float32", "bfloat16"))
    assert exact != rounded
    torch.testing.assert_close(torch.tensor(rounded), torch.tensor(exact), atol=0, rtol=0.03)


@pytest.mark.parametrize(("chosen", "dtype"), [("auto", torch.float32), ("bfloat16", torch.bfloat16)])
def test_only_steps_are_in_bfloat16_not_validation(chosen, dtype):
    steps, order = stepper(NETWORK, precision=chosen)
    seen = []
    steps.objective.model.head.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    steps.take(order[:20], epoch=1, step=0, position=0, lr=1e-3)
    steps.objective.validate(steps.batches, ALONE, lambda: False)
    assert seen[0] == dtype
    assert set(seen[1:]) == {torch.float32}
    assert {parameter.dtype for parameter in steps.objective.model.parameters()} == {torch.float32}


def test_a_measurement_changes_no_random_state():
    settings = config(device="cpu", precision="auto")
    before = torch.get_rng_state()
    assert precision.bfloat16_speedup(settings, DATA) > 0
    assert torch.equal(torch.get_rng_state(), before)


def test_a_measurement_takes_turns_and_compares_the_fastest_steps(monkeypatch):
    clock, taken = [0.0], []

    def take(self, rows, **_):
        taken.append(self.objective.precision)
        first = len(taken) <= 2
        clock[0] += 9.0 if first else {"float32": 3.0, "bfloat16": 2.0}[self.objective.precision]

    monkeypatch.setattr("vit.trainer.step.Stepper.take", take)
    monkeypatch.setattr("vit.trainer.step.Stepper.results", lambda self: [])
    monkeypatch.setattr("vit.trainer.precision.time.process_time", lambda: clock[0])
    assert precision.bfloat16_speedup(config(device="cpu"), DATA) == pytest.approx(1.5)
    assert taken == ["float32", "bfloat16"] * precision.ROUNDS


@pytest.mark.parametrize(
    ("chosen", "device", "steps", "capable", "expected"),
    [
        ("auto", "cpu", precision.STEPS_MIN, True, True),
        ("auto", "cpu", precision.STEPS_MIN - 1, True, False),
        ("auto", "cpu", precision.STEPS_MIN, False, False),
        ("auto", "cuda", precision.STEPS_MIN, True, False),
        ("float32", "cpu", precision.STEPS_MIN, True, False),
    ],
)
def test_only_a_long_training_on_a_capable_cpu_is_measured(monkeypatch, chosen, device, steps, capable, expected):
    monkeypatch.setattr(hardware, "has_bfloat16", lambda: capable)
    assert precision.should_measure(config(precision=chosen), device, steps) == expected


def test_auto_is_bfloat16_on_a_gpu_and_float32_elsewhere():
    assert [TrainingConfig().precision_on(device) for device in ("cuda", "cpu", "mps")] == [
        "bfloat16",
        "float32",
        "float32",
    ]
    assert TrainingConfig(precision="float32").precision_on("cuda") == "float32"
