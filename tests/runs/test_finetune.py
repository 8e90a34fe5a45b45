"""Fine-tuning: which weights are copied, which are trained, and that a resume no longer needs the first run."""

import argparse
import json
import shutil
from types import SimpleNamespace

import pytest
import torch

from tests.helpers.outcomes import outcome
from tests.trainer.test_loop import DATA
from vit import jobs, networks, runs
from vit.cli import main
from vit.config import (
    RECIPES,
    CNNConfig,
    DataConfig,
    ReferenceConfig,
    RunConfig,
    StartConfig,
    TrainingConfig,
    ViTConfig,
    recipe_of,
)
from vit.cost.estimate import Speed, count_trained, disk_bytes, estimate, memory_bytes
from vit.distributed import ALONE
from vit.errors import RunError, SettingsError
from vit.flags import add_flags, command_line, to_config
from vit.runs import Run, finetune, weights
from vit.trainer import Checkpoint, Epoch, Step, TrainingFailed, fit, loop
from vit.trainer.optimizer import AdamW

CLASSES = ("airplane", "bus", "cat", "dog", "pizza")
TINY = {"embed_dim": 16, "depth": 2, "num_heads": 2, "image_size": 32}


def made(name: str, model, class_names: tuple[str, ...] = CLASSES, owner: str = "", **data) -> Run:
    """A run with drawn weights that are as good as trained."""
    images = DataConfig(image_size=model.image_size, class_names=class_names, **data)
    config = RunConfig(model=model, data=images, training=TrainingConfig(device="cpu"), owner=owner)
    run = runs.create(name, config)
    weights.save_model(run.path, networks.build_model(model, seed=7).state_dict(), {"epoch": 1, "validated": True})
    runs.update_status(run.path, state="finished", validated=True, best={"epoch": 1, "val_accuracy": 0.5})
    return run


def tuned(run: Run, *, class_names: tuple[str, ...] = CLASSES, size: int = 32, epochs: int = 2, **start) -> RunConfig:
    """A fine-tuning of a run on scenes, small."""
    images = DataConfig(image_size=size, class_names=class_names, train_images=60, val_images=20)
    recipe = {"epochs": epochs, "batch_size": 20, "device": "cpu", "threads": 1, "snapshots": 1}
    training = TrainingConfig(**RECIPES["fine-tune"].model_dump() | recipe)
    return finetune.run_config(run.config, StartConfig(run=run.name, **start), images, training)


@pytest.fixture
def plain(home) -> Run:
    """A run with linear patches and a class token, on images with other means."""
    model = ViTConfig(**TINY, stem="patch", pool="cls", dropout=0.1, drop_path=0.1)
    return made("plain", model, mean=(0.1, 0.2, 0.3), crop_pct=0.9)


def test_the_settings_are_those_of_the_backbone_but_for_size_and_classes(plain):
    config = tuned(plain, class_names=("a", "b"), size=48)
    assert config.model == plain.config.model.model_copy(update={"image_size": 48, "num_classes": 2})
    assert (config.data.mean, config.data.crop_pct) == ((0.1, 0.2, 0.3), 0.9)
    assert config.start == StartConfig(run="plain")
    assert tuned(plain, frozen=True).model.dropout == tuned(plain, frozen=True).model.drop_path == 0
    with pytest.raises(SettingsError, match="does not divide"):
        tuned(plain, size=50)


@pytest.mark.parametrize(
    "extra",
    [
        {"stem": "conv"},
        {"stem": "patch", "pool": "cls", "reg_tokens": 2},
        {
            "stem": "patch",
            "class_token": False,
            "pool": "mean",
            "fc_norm": True,
            "no_embed_class": True,
            "reg_tokens": 1,
        },
        {"stem": "patch", "pool": "cls", "pre_norm": True, "act_layer": "quick_gelu"},
    ],
)
def test_any_vit_hands_its_weights_on_and_its_positions_to_a_new_grid(home, extra):
    model = ViTConfig(**TINY, **extra)
    run = made("run", model)
    config = tuned(run, class_names=("x", "y", "z"), size=64)
    given = finetune.initial_weights(config)
    assert not any(name.startswith("head.") for name in given)
    before = weights.load_checkpoint(run.path)[0].state_dict()
    assert all(torch.equal(given[name], before[name]) for name in given if name != "pos_embed")
    prefix = model.num_positions - model.grid**2
    assert given["pos_embed"].shape == (1, prefix + 64, 16)
    assert torch.equal(given["pos_embed"][:, :prefix], before["pos_embed"][:, :prefix])
    network = networks.build_model(config.model)
    missing, unexpected = network.load_state_dict(given, strict=False)
    assert (set(missing), unexpected) == ({"head.weight", "head.bias"}, [])
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 3)


def test_the_head_is_kept_for_the_same_classes_in_their_new_order_and_drawn_anew_for_others(plain):
    turned = CLASSES[::-1]
    before = weights.load_checkpoint(plain.path)[0].state_dict()
    given = finetune.initial_weights(tuned(plain, class_names=turned))
    assert torch.equal(given["head.weight"], before["head.weight"].flip(0))
    assert torch.equal(given["head.bias"], before["head.bias"].flip(0))
    others = ("airplane", "bus", "cat", "dog", "bird")
    config = tuned(plain, class_names=others)
    first = next(iter(fit(config, DATA, initial=finetune.initial_weights(config))))
    assert isinstance(first, Checkpoint)
    assert first.position["step"] == 0
    drawn = networks.build_model(config.model, seed=config.training.seed).state_dict()
    assert torch.equal(first.tensors["model.head.weight"], drawn["head.weight"])
    assert torch.equal(first.tensors["model.blocks.0.attn.qkv.weight"], before["blocks.0.attn.qkv.weight"])


def test_a_network_without_a_head_gets_one(home):
    run = made("run", ViTConfig(**TINY, stem="patch", num_classes=0), class_names=())
    assert "head.weight" not in finetune.initial_weights(tuned(run))


@pytest.mark.parametrize(
    "model",
    [
        ViTConfig(**TINY, stem="patch", dropout=0.3, drop_path=0.3),
        ReferenceConfig(image_size=32, patch_size=16, embed_dim=16),
        CNNConfig(image_size=32),
    ],
    ids=lambda model: model.name,
)
def test_frozen_trains_the_head_and_leaves_the_rest_bit_by_bit(home, model):
    run = made("run", model)
    config = tuned(run, frozen=True)
    initial = finetune.initial_weights(config)
    *_, last = [event for event in fit(config, DATA, initial=initial) if isinstance(event, Epoch)]
    before = {name: value.clone() for name, value in initial.items()}
    after = last.checkpoint.tensors
    for name, value in before.items():
        assert torch.equal(after[f"model.{name}"], value) != name.startswith("head."), name
    assert {name for name in after if name.startswith("optimizer.")} == {
        f"optimizer.{index}.{what}" for index in (0, 1) for what in ("exp_avg", "exp_avg_sq", "step")
    }


def test_a_frozen_backbone_keeps_nothing_for_a_backward_pass_and_has_no_dropout(plain):
    config = tuned(plain, frozen=True, epochs=1)
    training = loop._Loop(config, DATA, lambda: False, ALONE)
    training.begin_from(finetune.initial_weights(config))
    list(training.run())
    assert {name for name, value in training.model.named_parameters() if value.grad is not None} == {
        "head.weight",
        "head.bias",
    }
    summary = []
    training.model.head.register_forward_pre_hook(lambda _, args: summary.append(args[0]))
    training.model(torch.zeros(2, 3, 32, 32))
    assert not summary[0].requires_grad


def test_layer_decay_is_timms_by_parameter_name():
    timm = pytest.importorskip("timm")
    from timm.optim import param_groups_layer_decay

    model = networks.build_model(ViTConfig(**TINY | {"depth": 3}, stem="patch", pool="cls", reg_tokens=1))
    other = timm.models.vision_transformer.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=16, depth=3, num_heads=2, mlp_ratio=2, num_classes=5, reg_tokens=1
    )
    names = {id(parameter): name for name, parameter in other.named_parameters()}
    assert set(names.values()) == {name for name, _ in model.named_parameters()}
    groups = param_groups_layer_decay(other, 0.05, other.no_weight_decay() | {"reg_token"}, layer_decay=0.75)
    expected = {
        names[id(parameter)]: (group["lr_scale"], group["weight_decay"])
        for group in groups
        for parameter in group["params"]
    }
    optimizer = AdamW(model, TrainingConfig(weight_decay=0.05), layer_decay=0.75)
    ours = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {
        ours[id(parameter)]: (group.scale, group.weight_decay)
        for group in optimizer.groups
        for parameter in group.parameters
    }
    assert found.keys() == expected.keys()
    assert all(found[name] == pytest.approx(expected[name]) for name in expected)


def test_a_step_with_layer_decay_moves_each_parameter_by_its_own_rate():
    torch.manual_seed(0)
    model = networks.build_model(ViTConfig(**TINY, stem="patch"))
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimizer = AdamW(model, TrainingConfig(weight_decay=0.0), layer_decay=0.5)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.lr.fill_(1e-2)
    optimizer.step()
    for name, value in model.named_parameters():  # Adam's first step is the rate itself
        layer = 0 if name.startswith(("cls", "pos", "patch")) else {"b": 1, "n": 2, "h": 3}[name[0]]
        layer += int(name.split(".")[1]) if name.startswith("blocks.") else 0
        moved = (before[name] - value).mean().item()
        assert moved == pytest.approx(1e-2 * 0.5 ** (3 - layer), rel=1e-3), name


def test_with_one_rate_the_optimiser_is_the_default_one(plain):
    config = tuned(plain)
    model = networks.build_model(config.model, seed=0)
    whole = AdamW(model, config.training, layer_decay=1.0)
    assert [len(group.parameters) for group in whole.groups] == [
        len(whole.decayed),
        len(whole.parameters) - len(whole.decayed),
    ]


def test_a_killed_fine_tuning_goes_on_bit_by_bit_without_the_run_that_it_started_from(plain):
    config = tuned(plain, class_names=CLASSES, epochs=3, layer_decay=0.75)
    whole, run = runs.create("whole", config), runs.create("run", config)
    assert jobs.execute(whole).state == "finished", whole.log()
    expected = outcome(whole)

    def die(event: object) -> None:
        if isinstance(event, Step):  # before anything of the training is kept
            raise SystemExit

    with pytest.raises(SystemExit):
        jobs.execute(run, report=die)
    runs.update_status(run.path, state="failed")
    given = finetune.initial_weights(config)
    network, info = weights.load_checkpoint(run.path)
    assert (info.metrics, run.can_resume) == ({"epoch": 0, "validated": False}, True)
    assert all(torch.equal(network.state_dict()[name], value) for name, value in given.items())
    runs.delete(plain)
    jobs.prepare_resume(run)
    assert jobs.execute(run, resume=True).state == "finished", run.log()
    assert outcome(run) == expected
    with pytest.raises(RunError, match="'plain' that this one starts from was deleted"):
        jobs.prepare_restart(run)
    assert run.state == "finished"  # nothing is deleted
    assert run.has_weights


@pytest.mark.parametrize("happens", ["deleted", "renamed", "replaced", "emptied"])
def test_a_start_that_is_gone_before_the_job_begins_ends_it_with_a_sentence(plain, happens):
    run = runs.create("run", tuned(plain))
    if happens == "renamed":
        runs.rename(plain, "other")
    elif happens == "emptied":
        (plain.path / runs.MODEL).unlink()
    else:
        runs.delete(plain)
    if happens == "replaced":
        made("plain", ViTConfig(**TINY | {"depth": 1}))
    status = jobs.execute(run)
    assert status.state == "failed"
    words = {"replaced": "has changed", "emptied": "has no weights"}
    assert words.get(happens, "was deleted or renamed") in status.message
    assert status.message.count(".") == 1


def test_a_visitor_may_start_only_from_own_and_shared_runs(home):
    mine, yours = "a" * 32, "b" * 32
    made("shipped", ViTConfig(**TINY))
    made("own", ViTConfig(**TINY), owner=mine)
    made("foreign", ViTConfig(**TINY), owner=yours)
    for name in ("shipped", "own"):
        assert finetune.find_start(StartConfig(run=name), mine).name == name
    with pytest.raises(RunError, match="was deleted or renamed") as refusal:
        finetune.find_start(StartConfig(run="foreign"), mine)
    assert yours not in str(refusal.value)
    config = tuned(runs.find_run("own")).model_copy(update={"owner": mine, "start": StartConfig(run="foreign")})
    assert jobs.execute(runs.create("run", config)).state == "failed"  # even where the settings say so


def test_fit_refuses_weights_that_are_none_or_of_another_network(plain):
    config = tuned(plain)
    with pytest.raises(TrainingFailed, match="give fit the weights"):
        fit(config, DATA)
    given = finetune.initial_weights(config)
    for wrong in (
        given | {"norm.weight": torch.ones(3)},
        given | {"extra": torch.ones(3)},
        {"norm.bias": given["norm.bias"]},
    ):
        with pytest.raises(TrainingFailed, match="do not fit this network"):
            fit(config, DATA, initial=wrong)


def test_what_cannot_be_is_refused_in_a_sentence(home):
    course, cnn = made("course", ReferenceConfig(image_size=32, patch_size=16, embed_dim=16)), made("cnn", CNNConfig())
    with pytest.raises(SettingsError, match="choose 32 pixels"):
        tuned(course, size=64)
    with pytest.raises(SettingsError, match="needs the blocks of a transformer"):
        tuned(cnn, layer_decay=0.5)
    with pytest.raises(SettingsError, match="leave one of them out"):
        StartConfig(run="a", frozen=True, layer_decay=0.5)
    assert finetune.image_sizes(course.config.model) == [32]
    assert {112, 224} <= set(finetune.image_sizes(ViTConfig(image_size=224, patch_size=14, stem="patch")))


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    return parser.parse_args(words)


def test_the_command_line_says_what_a_fine_tuning_is_made_of(plain):
    config = to_config(parsed("--start", "plain", "--layer-decay", "0.75", "--image-size", "48", "--drop-path", "0.3"))
    assert config.model.image_size == 48
    assert (config.model.drop_path, config.model.dropout) == (0.3, 0.1)
    assert config.start == StartConfig(run="plain", layer_decay=0.75)
    assert config.training == RECIPES["fine-tune"]
    frozen = to_config(parsed("--start", "plain", "--frozen"))
    assert frozen.training == RECIPES["frozen"]
    assert recipe_of(frozen.training, frozen.start) == "frozen"
    assert command_line(frozen) == "python -m vit train --start plain --frozen"
    for made_ in (config, frozen, to_config(parsed("--start", "plain", "--recipe", "standard"))):
        assert to_config(parsed(*command_line(made_).split()[4:])) == made_


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--depth", "3"], "--depth does not go with --start, which brings its own network: leave it out."),
        (["--model", "cnn"], "--model does not go with --start, which brings its own network: leave it out."),
        (["--mended", "mlp"], "--mended does not go with --start, which brings its own network: leave it out."),
        (["--frozen", "--dropout", "0.1"], "--dropout has no effect with --frozen: leave it out."),
        (["--frozen", "--layer-decay", "0.5"], "leave one of them out"),
    ],
)
def test_flags_that_contradict_a_start_are_refused_in_one_sentence(plain, words, said):
    with pytest.raises(SettingsError) as refusal:
        to_config(parsed("--start", "plain", *words))
    assert said in str(refusal.value)


def test_flags_of_a_start_need_one_and_a_sweep_has_none(plain, capsys):
    for words in (["--frozen"], ["--layer-decay", "0.5"], ["--recipe", "frozen"]):
        with pytest.raises(SettingsError, match="add --start RUN"):
            to_config(parsed(*words))
    assert main.main(["sweep", "--start", "plain", "--name", "wide"]) == 2
    assert "leave --start out" in capsys.readouterr().err


def test_the_command_trains_and_tells_where_it_started(plain, capsys):
    words = ["--train-images", "40", "--val-images", "20", "--epochs", "1", "--device", "cpu", "--snapshots", "1"]
    assert main.main(["train", "--start", "plain", "--frozen", *words, "--run", "new", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "finished"
    assert "starts from the weights of plain, with their head" in runs.get_run("new").log()
    again = shutil.copytree(runs.get_run("new").path, runs.get_run("new").path.with_name("newer"))
    assert finetune.can_start_from(Run(again))  # and so on, from a fine-tuned one
    assert runs.suggest_name(runs.get_run("new").config) == "scenes-from-plain"


def test_a_frozen_backbone_costs_less_time_memory_and_disk():
    model = ViTConfig(image_size=224, patch_size=16, embed_dim=192, depth=12, num_heads=3, stem="patch", pool="cls")
    images = DataConfig(image_size=224, class_names=CLASSES)
    origin = RunConfig(model=model, data=images)
    full, frozen = (
        finetune.run_config(origin, StartConfig(run="a", frozen=still), images, RECIPES["fine-tune"])
        for still in (False, True)
    )
    assert count_trained(frozen) == 5 * 192 + 5
    assert memory_bytes(frozen, "cpu") < memory_bytes(full, "cpu") / 2
    assert disk_bytes(full) > disk_bytes(frozen) > disk_bytes(full) / 2
    one, other = (estimate(config, train_count=1000, speeds=(Speed("", 1e9, 1e9),)) for config in (full, frozen))
    assert other.seconds == pytest.approx(one.seconds / 3)
    assert (one.trained, other.parameters) == (one.parameters, one.parameters)


def test_layers_of_published_networks_are_sorted_by_what_they_do():
    from vit.trainer.optimizer import layer_of

    found = SimpleNamespace(**{name: layer_of(f"{name}.weight", 4) for name in ("norm_pre", "norm", "fc_norm", "head")})
    assert (found.norm_pre, found.norm, found.fc_norm, found.head) == (0, 4, 5, 5)
