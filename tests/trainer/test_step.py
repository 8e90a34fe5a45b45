"""A training step: it does not synchronise with the host, and it can be replayed like a CUDA graph."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.torch_version import TorchVersion
from torch.utils._python_dispatch import TorchDispatchMode

from tests.trainer.test_loop import DATA, config, losses
from vit import trainer
from vit.config import CNNConfig, ReferenceConfig, TrainingConfig, ViTConfig
from vit.data.batches import Batches
from vit.networks import build_model
from vit.trainer import Epoch, fit, loop
from vit.trainer import optimizer as optimizer_module
from vit.trainer.muon import build_optimizer
from vit.trainer.objectives import LabelObjective
from vit.trainer.optimizer import AdamW
from vit.trainer.step import Stepper

NETWORKS = [
    ViTConfig(image_size=32, embed_dim=16, num_heads=2, stem="patch", pool="cls", dropout=0.1),
    ViTConfig(image_size=32, embed_dim=16, num_heads=2, drop_path=0.5),
    ReferenceConfig(image_size=32, patch_size=8, embed_dim=16),
    CNNConfig(image_size=32),
]


class NoSynchronisation(TorchDispatchMode):
    """Refuse operations that wait for a GPU or copy from the host, which a CUDA graph cannot contain."""

    WAITS = ("_local_scalar_dense", "nonzero", "lift_fresh", "is_nonzero", "equal", "masked_select", "unique")

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.name().removeprefix("aten::").split(".")[0]
        assert name not in self.WAITS, f"{name} waits for the device"
        return function(*args, **kwargs or {})


@pytest.fixture
def resident(monkeypatch) -> None:
    """Images lie on the device, as on a GPU with room for them."""
    monkeypatch.setattr(Batches, "_fits", lambda self: True)


STRONG = {
    "mixup": 0.4,
    "cutmix": 1.0,
    "randaugment": 2,
    "average": 0.9,
    "teacher": "a",
    "optimizer": "muon",
    "blank_images": 0.2,
    "diversity": 0.1,
}
CASES = [(network, {}) for network in NETWORKS] + [
    (NETWORKS[0], STRONG),
    (NETWORKS[0], STRONG | {"distillation": "hard"}),
]
IDS = [
    network.name + getattr(network, "stem", "") + recipe.get("distillation", "strong" * bool(recipe))
    for network, recipe in CASES
]


def stepper(network, **recipe) -> tuple[Stepper, torch.Tensor]:
    """A stepper, and the order of its first epoch."""
    training = TrainingConfig(**{"batch_size": 20, "device": "cpu"} | recipe)
    model, teacher = build_model(network, seed=0).train(), build_model(NETWORKS[3], seed=1)
    settings = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "augment": True, "recipe": training}
    batches = Batches(DATA.train, batch_size=20, device="cpu", **settings)
    return Stepper(LabelObjective(model, batches, training, teacher), build_optimizer(model, training)), batches.order(
        1
    )


@pytest.mark.parametrize(("network", "recipe"), CASES, ids=IDS)
def test_a_step_does_not_synchronise_with_the_host(network, recipe, resident):
    steps, order = stepper(network, **recipe)
    steps.take(order[:20], epoch=1, step=0, position=0, lr=1e-3)  # what is made once for a device is made here
    with NoSynchronisation():
        steps.take(order[20:40], epoch=1, step=1, position=1, lr=1e-3)
    assert len(steps.results()) == 2
    with pytest.raises(AssertionError, match="waits for the device"), NoSynchronisation():
        torch.ones(1).item()


@pytest.mark.parametrize(("network", "recipe"), CASES, ids=IDS)
def test_a_replayed_step_equals_an_eager_step(network, recipe, resident, monkeypatch):
    """Like a CUDA graph, read rows, learning rate and generators from the memory of the capture."""

    def replaying(self, rows):
        self._rows, self._result = torch.zeros_like(rows), torch.zeros(2)
        return SimpleNamespace(replay=lambda: self._result.copy_(self._step(self._rows)))

    def trained(captured: bool) -> tuple[list, dict]:
        results, (steps, order) = [], stepper(network, **recipe)
        steps.eager = "" if captured else "it is compared with"
        monkeypatch.setattr(Stepper, "_capture", replaying)

        for step in range(7):  # warm-up, capture, and the incomplete batch between replays
            rows = order[20 * (step % 3) : 20 * (step % 3) + 20][: 7 if step == 5 else 20]
            steps.take(rows, epoch=1, step=step, position=step % 3, lr=1e-3 * (step + 1))
            if step % 3 == 2:
                results.extend(steps.results())
        assert bool(steps._graph) is captured
        return results + steps.results(), steps.objective.evaluated.state_dict()

    eager, weights = trained(False)
    replayed, weights_there = trained(True)
    assert eager == replayed
    assert len(eager) == 7
    assert all(torch.equal(value, weights_there[name]) for name, value in weights.items())


@pytest.mark.parametrize("keep", ["validation", "training_loss"])
def test_losses_reported_rarely_equal_those_reported_at_each_step(keep, monkeypatch):
    monkeypatch.setattr(loop, "WINDOW", 2)
    settings = config(keep=keep, batch_size=10, resume_steps=4)
    each = list(fit(settings, DATA))
    monkeypatch.setitem(trainer.REPORT_SECONDS, "cpu", 1e9)
    rarely = list(fit(settings, DATA))
    assert [type(event) for event in each] == [type(event) for event in rarely]
    assert losses(each) == losses(rarely)
    seconds = [event.seconds for event in rarely if isinstance(event, trainer.Step)]
    assert seconds == sorted(seconds)
    for one, other in zip(each, rarely, strict=True):
        if isinstance(one, Epoch):
            assert (one.val_loss, one.train_accuracy, one.kept) == (other.val_loss, other.train_accuracy, other.kept)


def test_a_loss_that_is_not_finite_is_reported_with_its_step(monkeypatch):
    monkeypatch.setitem(trainer.REPORT_SECONDS, "cpu", 1e9)
    taken = Stepper.take

    def spoilt(self, rows, **position):
        taken(self, rows, **position)
        if position["step"] == 3:
            self._results[self._unread - 1, 0] = torch.nan

    monkeypatch.setattr(Stepper, "take", spoilt)
    with pytest.raises(trainer.TrainingFailed, match="at step 4 of epoch 1"):
        list(fit(config(batch_size=10), DATA))


@pytest.mark.parametrize("kernel", [True, False])
@pytest.mark.parametrize("clip_norm", [0.0, 1.0])
def test_the_optimiser_equals_torch_adamw(clip_norm, kernel, monkeypatch):
    assert optimizer_module.has_kernel()
    monkeypatch.setattr(optimizer_module, "has_kernel", lambda: kernel)
    recipe = TrainingConfig(weight_decay=0.3, betas=(0.8, 0.95))
    ours, theirs = (build_model(NETWORKS[1], seed=0).eval() for _ in range(2))
    optimizer = AdamW(ours, recipe)
    decayed = {id(parameter) for parameter in optimizer.decayed}
    groups = [
        {"params": [other for own, other in pairs if (id(own) in decayed) is wanted], "weight_decay": decay}
        for pairs in [list(zip(ours.parameters(), theirs.parameters(), strict=True))]
        for wanted, decay in ((True, 0.3), (False, 0.0))
    ]
    reference = torch.optim.AdamW(groups, lr=1.0, betas=(0.8, 0.95), fused=True)
    for step in range(5):
        images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(step))
        optimizer.lr.fill_(1e-3 * (step + 1))
        for model, other in ((ours, optimizer), (theirs, reference)):
            other.zero_grad()
            model(images).square().mean().backward()
            if clip_norm:
                torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        for group in reference.param_groups:
            group["lr"] = 1e-3 * (step + 1)
        optimizer.step()
        reference.step()
    for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(own, other)
    state = optimizer.state()
    for index, parameter in enumerate(reference.param_groups[0]["params"] + reference.param_groups[1]["params"]):
        for name, value in reference.state[parameter].items():
            assert torch.equal(state[f"{index}.{name}"], value)


PUBLIC = torch.optim.AdamW


def without_fused(*args, fused: bool = False, **settings) -> torch.optim.AdamW:
    """``torch.optim.AdamW`` on a device for which it has no fused kernel."""
    if fused:
        raise RuntimeError("`fused=True` requires all the params to be floating point Tensors of supported devices")
    return PUBLIC(*args, **settings)


def weights_after(steps: int, resumed_at: int, **settings) -> list[torch.Tensor]:
    """Weights and state after some steps, in which the optimizer is replaced once by a new one with its state."""
    model = build_model(NETWORKS[1], seed=0).eval()
    optimizer = AdamW(model, TrainingConfig(weight_decay=0.3), **settings)
    for step in range(steps):
        if step == resumed_at:
            state = {name: tensor.clone() for name, tensor in optimizer.state().items()}
            optimizer = AdamW(model, TrainingConfig(weight_decay=0.3), **settings)
            optimizer.load(state)
        optimizer.lr.fill_(1e-3 * (step + 1))
        optimizer.zero_grad()
        model(torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(step))).square().mean().backward()
        optimizer.step()
    return [*model.state_dict().values(), *optimizer.state().values()]


@pytest.mark.parametrize(
    ("change", "fused"),
    [
        ("a newer torch", True),
        ("a newer torch", False),
        ("an older torch", True),
        ("no function", False),  # which this version's torch.optim.AdamW(fused=True) calls, too
    ],
)
def test_without_the_private_function_the_weights_are_the_same(change, fused, monkeypatch):
    expected = weights_after(5, 3, layer_decay=0.7)
    if change == "no function":
        monkeypatch.delattr(torch, "_fused_adamw_")
    else:
        monkeypatch.setattr(torch, "__version__", TorchVersion("3.0.1+cpu" if "newer" in change else "2.9.1"))
    if not fused:
        monkeypatch.setattr(torch.optim, "AdamW", without_fused)
    assert not optimizer_module.has_kernel()
    # The plain optimizer rounds differently from the fused kernel.
    tolerance = {"rtol": 0, "atol": 0} if fused else {"rtol": 1e-4, "atol": 1e-6}
    for one, other in zip(weights_after(5, 3, layer_decay=0.7), expected, strict=True):
        torch.testing.assert_close(one, other, **tolerance)


def test_a_training_imports_neither_torch_s_compiler_nor_what_only_pages_need(home):
    """Each of these imports would delay the first step of every run."""
    program = """
import sys
from tests.helpers.working import config
from vit import jobs, runs
run = runs.create("run", config(2, clip_norm=1.0))
assert jobs.execute(run).state == "finished"
print(*sorted({"torch._dynamo", "torch._inductor", "sympy", "torchvision", "plotly", "streamlit"} & sys.modules.keys()))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
