"""The costs shown on the Train page, compared with those of the networks."""

import json
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from tests.conftest import tiny_config
from vit import ViTConfig, runs
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
from vit.cost import estimate
from vit.cost.counts import count
from vit.cost.measure import measure_briefly
from vit.networks import build_model
from vit.runs import speeds
from vit.support import heap
from vit.support.hardware import Device

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


class Live(TorchDispatchMode):
    """Track the bytes of all live tensors, and their peak."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes, self.peak, self.known = 0, 0, set()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in self.known:
                storage = tensor.untyped_storage()
                self.known.add(storage._cdata)
                self.bytes += storage.nbytes()
                weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        self.peak = max(self.peak, self.bytes)
        return result

    def _gone(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.bytes -= size


@contextmanager
def autocast(device: str) -> Iterator[None]:
    """Imitate autocast on a GPU; :class:`torch.autocast` itself needs one."""
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    torch.set_autocast_enabled("cuda", device == "cuda")
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_enabled("cuda", False)
        torch.set_autocast_cache_enabled(True)


def traced(model: ModelConfig, device: str, batch: int) -> tuple[int, int]:
    """Bytes that autograd holds on to, with the images and without the weights, and the peak of forward and backward.

    No number is computed, so it works for a device that is not here (backward does not: then the peak is forward's).
    """
    kernel = "_scaled_dot_product_flash_attention" + ("" if device == "cuda" else "_for_cpu")
    fused = getattr(torch.ops.aten, kernel)
    with torch.device("meta"):
        network = build_model(model)
    saved = {}
    with pytest.MonkeyPatch.context() as patch, FakeTensorMode(allow_non_fake_inputs=True):
        patch.setattr(functional, "scaled_dot_product_attention", lambda q, k, v: fused(q, k, v)[0])
        network = network.to_empty(device=device).train()
        own = {tensor.untyped_storage()._cdata for tensor in (*network.parameters(), *network.buffers())}

        def note(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            saved[storage._cdata] = storage.nbytes()  # no reference, or backward could not free it
            return tensor

        with Live() as live, torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            images = torch.empty(batch, model.in_channels, model.image_size, model.image_size, device=device)
            note(images)
            with autocast(device):
                logits = network(images)
            loss = functional.cross_entropy(logits.float(), torch.zeros(batch, dtype=torch.long, device=device))
            if device == "cpu":
                loss.backward()
        return sum(size for key, size in saved.items() if key not in own), live.peak


TRACED = [
    ViTConfig(),
    ViTConfig(pool="cls", patch_size=4),
    ViTConfig(stem="patch", dropout=0.1, drop_path=0.1),
    ViTConfig(stem="patch", patch_size=16, embed_dim=128, num_heads=4, depth=3, mlp_ratio=4.0),
    CNNConfig(),
    CNNConfig(residual=True),
    ReferenceConfig(image_size=32, patch_size=8, embed_dim=64),
    ReferenceConfig(mended=DEPARTURES),
]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("model", TRACED, ids=ids)
def test_activations_are_those_that_autograd_keeps(model, device):
    # What an image adds: some things, such as standardised filters, are held once a batch.
    few, many = traced(model, device, batch=8), traced(model, device, batch=16)
    kept, peak = ((after - before) / 8 for before, after in zip(few, many, strict=True))
    counts = count(model, device)
    assert counts.kept == pytest.approx(kept, rel=0.04)
    if not isinstance(model, ReferenceConfig):  # its weights' gradients outweigh its activations
        assert counts.peak == pytest.approx(peak, rel=0.08)
    assert counts.kept < counts.peak


def test_validation_and_files_count_where_they_take_more_than_a_step():
    def training(batch_size, **model):
        config = RunConfig(model=ViTConfig(**model), training=TrainingConfig(batch_size=batch_size, device="cpu"))
        return estimate.training_bytes(config, "cpu")

    assert training(8) == training(16) < training(256)  # 256 images are validated at once
    few = RunConfig(data=DataConfig(val_images=20), training=TrainingConfig(batch_size=16))
    assert estimate.training_bytes(few, "cpu") < training(16)


def test_a_gpu_holds_the_images_and_keeps_the_memory_of_a_captured_step():
    config = RunConfig(training=TrainingConfig(batch_size=512))
    alone = estimate.training_bytes(config, "cuda")
    assert estimate.training_bytes(config, "cuda", images=1000) == alone + 1000 * 3 * 64 * 64
    need = int(estimate.memory_bytes(config, "cuda") / 0.9) + 1
    assert not estimate.fits(config, Device("cuda", "GPU", need, need))  # validation has its own memory beside it
    assert estimate.fits(config, Device("cuda", "GPU", 2 * need, 2 * need))


def test_processes_share_a_batch_and_each_has_a_runtime():
    def memory(processes, device):
        config = RunConfig(training=TrainingConfig(batch_size=512, processes=processes))
        return estimate.memory_bytes(config, device)

    assert memory(2, "cuda") < memory(1, "cuda")
    assert memory(2, "cpu") > memory(1, "cpu") + 2 * estimate.RUNTIME_BYTES["cpu"]  # the job, which starts the ranks


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc has malloc_trim")
def test_free_memory_between_tensors_goes_back_to_the_system():
    size = 2**20
    tensors = [torch.ones(size // 4) for _ in range(300)]
    kept, full = tensors[::30], psutil.Process().memory_info().rss
    del tensors
    heap.return_free_memory()
    assert psutil.Process().memory_info().rss < full - 200 * size
    assert all(tensor.sum() == size // 4 for tensor in kept)


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


def test_the_course_network_s_weights_exceed_the_memory_of_a_device():
    def training(device="cpu", keep="training_loss"):
        recipe = RECIPES["course"].model_copy(update={"keep": keep})
        return estimate.training_bytes(RunConfig(model=ReferenceConfig(), training=recipe), device)

    weights = 52_213_253 * 4
    # The weights, gradients and moments, and at the writing of the resume file thrice the weights, as bytes and a file.
    assert training(keep="last") == pytest.approx(10 * weights, rel=0.01)
    assert training() == pytest.approx(11 * weights, rel=0.01)
    assert training("cuda") == pytest.approx(4.5 * weights, rel=0.06)  # with CUDA the file is not written in GPU memory
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
        return estimate.estimate(config, train_count=count, speeds=(estimate.Speed("vit", 1e9, 1e9),)).seconds

    assert seconds(127, drop_last=True) == seconds(64)
    assert seconds(128, drop_last=True) == seconds(128)
    assert seconds(40, drop_last=True) == seconds(40)  # the only batch is not dropped


def test_time_grows_with_epochs_and_follows_the_measured_speed_of_this_machine(trained):
    config = tiny_config()
    measured = speeds.measured_speeds("cpu")
    best = runs.get_run("tiny").status.best
    cost = estimate.estimate(config, train_count=60, val_count=30, speeds=measured)
    assert cost.seconds == pytest.approx(best["seconds"] / best["step"] * 3 * config.training.epochs)
    longer = config.model_copy(update={"training": config.training.model_copy(update={"epochs": 20})})
    assert cost.measured
    assert estimate.estimate(longer, train_count=60, speeds=measured).seconds == pytest.approx(10 * cost.seconds)


def test_only_the_measured_speed_of_a_similar_network_is_used(trained):
    (speed,) = speeds.measured_speeds("cpu")
    assert speed.network == "vit"
    for model, measured in ((tiny_config().model, True), (CNNConfig(image_size=32), False)):
        config = tiny_config().model_copy(update={"model": model})
        own = speed._replace(step_flops=estimate.step_flops(config))
        cost = estimate.estimate(config, train_count=60, speeds=(own,))
        assert (cost.measured, cost.seconds is not None) == (measured, measured)


def test_of_equally_similar_runs_the_newest_tells_the_speed():
    config = RunConfig(model=ViTConfig(image_size=32), data=DataConfig(image_size=32))
    size = estimate.step_flops(config)
    newest, older, far = (estimate.Speed("vit", factor * size, 1e9 * rate) for factor, rate in ((1, 1), (1, 5), (4, 9)))
    first, second = (
        estimate.estimate(config, train_count=5000, speeds=found).seconds
        for found in ((far, newest, older), (far, older, newest))
    )
    assert first == pytest.approx(5 * second)


def test_no_time_is_stated_before_a_similar_network_was_measured(home):
    assert speeds.measured_speeds("cpu") == ()
    config = RunConfig(model=ViTConfig(image_size=32), data=DataConfig(image_size=32))
    cost = estimate.estimate(config, train_count=5000, val_count=1000)
    assert (cost.seconds, cost.measured) == (None, False)
    toy = estimate.Speed("vit", estimate.step_flops(config) / 1000, 1e6)
    assert estimate.estimate(config, train_count=5000, val_count=1000, speeds=(toy,)) == cost
    pair = config.model_copy(update={"training": TrainingConfig(processes=2, device="cpu")})
    own = estimate.Speed("vit", estimate.step_flops(pair), 1e9)
    assert estimate.estimate(pair, train_count=5000, speeds=(own,)).seconds is None
    assert estimate.total_seconds([1.0, None]) is None
    assert estimate.total_seconds([1.0, 2.5]) == 3.5


def test_a_brief_measurement_gives_a_rough_time_until_a_similar_run_was_measured(trained, monkeypatch):
    monkeypatch.setattr(speeds, "_brief", {})
    brief = measure_briefly()
    assert brief.flops_per_second > 1e6
    speeds.keep_brief_measurement("cpu", brief)
    found = speeds.measured_speeds("cpu")
    assert [one.network for one in found] == ["vit", ""]
    assert speeds.measured_speeds("cuda") == ()
    assert estimate.estimate(tiny_config(), train_count=60, speeds=found).measured
    rough = estimate.estimate(RunConfig(), train_count=640, val_count=10, speeds=found)
    work = 3 * 640 + 10  # in forward passes; validation is added
    assert not rough.measured
    assert rough.seconds == pytest.approx(
        RunConfig().training.epochs * work * estimate.count_flops(RunConfig().model) / brief.flops_per_second
    )


def test_a_run_tells_its_speed_after_some_steps_and_a_shipped_one_not_that_of_this_machine(trained):
    run = runs.get_run("tiny")
    (whole,) = speeds.measured_speeds("cpu")
    lines = run.metrics()[0]
    for steps, counted in ((speeds.STEPS_MIN - 1, 0), (speeds.STEPS_MIN, 1)):
        line = lines[0] | {"event": "step", "step": steps, "seconds": 0.5 * steps}
        (run.path / runs.METRICS).write_text(json.dumps(line) + "\n")
        found = speeds.measured_speeds("cpu")
        assert [one.flops_per_second for one in found] == [pytest.approx(2 * whole.step_flops)] * counted
    run.path.rename(run.path.with_name(runs.SHIPPED_RUN))
    assert speeds.measured_speeds("cpu") == ()


def test_a_training_run_tells_the_time_that_it_needs_by_its_own_pace_and_its_limit(trained):
    run = runs.get_run("tiny")
    counts = {"train_count": 60, "val_count": 30, "speeds": (estimate.Speed("", 1e6, 1e6),)}
    runs.append_metrics(run.path, [{"event": "step", "step": 6, "epoch": 2, "seconds": 12.0}])
    runs.update_status(run.path, state="running", steps_total=10, step=6)
    assert speeds.seconds_left(run, **counts) == pytest.approx(8.0)
    limited = run.config.model_copy(update={"training": run.config.training.model_copy(update={"max_seconds": 15.0})})
    runs.write_config(run.path, limited)
    assert speeds.seconds_left(run, **counts) == pytest.approx(3.0)
    (run.path / runs.METRICS).unlink()
    assert speeds.seconds_left(run, **counts) == 15.0  # the estimate is longer than the limit
    assert speeds.seconds_left(run, **counts | {"speeds": ()}) is None
