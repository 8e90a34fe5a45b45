"""Weights as people save them: with prefixes, in parts, beside other things; a refusal names the real reason."""

import json
from contextlib import suppress

import pytest

timm = pytest.importorskip("timm")

import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from tests.published.models import TINY, scramble  # noqa: E402
from vit.errors import UserError  # noqa: E402
from vit.published import guess_architecture  # noqa: E402
from vit.published.open import open_file  # noqa: E402
from vit.runs.weights import load_checkpoint  # noqa: E402

ARCHITECTURE = "vit_tiny_patch16_224"
ARGUMENTS = TINY | {"img_size": 64, "num_classes": 3}


@pytest.fixture(scope="module")
def model():
    return scramble(timm.create_model(ARCHITECTURE, **ARGUMENTS))


@pytest.fixture(scope="module")
def weights(model):
    return {name: value.contiguous() for name, value in model.state_dict().items()}


def saved(folder, weights, name="mine.safetensors", **settings):
    """Save weights with a config.json beside them, and return the path."""
    content = {"architecture": ARCHITECTURE, "model_args": ARGUMENTS} | settings
    (folder / "config.json").write_text(json.dumps(content))
    save_file(weights, folder / name)
    return folder / name


def assert_opens(path, model):
    run = open_file(path)
    found, info = load_checkpoint(run.path)
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert (found(images) - model(images)).abs().max() < 1e-4
    assert info.class_names == ("class 0", "class 1", "class 2")
    return run


def prefixed(weights, prefix):
    return {prefix + name: value for name, value in weights.items()}


PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "encoder.", "_orig_mod.module.", "module.model.backbone.")


@pytest.mark.parametrize("prefix", [*PREFIXES, "timm_model.", "student.net."])
def test_prefixes_are_removed(home, model, weights, prefix):
    assert_opens(saved(home, prefixed(weights, prefix)), model)


def test_prefixes_within_names_are_removed(home, model, weights):
    inner = {name.replace("blocks.0.", "blocks.0._orig_mod."): value for name, value in weights.items()}
    assert_opens(saved(home, inner), model)


def test_a_head_beside_the_encoder_and_training_state_are_recognised(home, model, weights):
    beside = {f"{'' if name.startswith('head.') else 'backbone.'}{name}": value for name, value in weights.items()}
    beside = {name.replace("head.", "classifier."): value for name, value in beside.items()}
    extra = {"optimizer.exp_avg": torch.zeros(5), "loss.scale": torch.ones(1)}
    run = assert_opens(saved(home, beside | extra), model)
    assert "Its head is classifier, outside of backbone." in run.status.message
    assert "1 tensor of the training's state is left out." in run.status.message
    assert "Left out, because it is outside of backbone: loss.scale." in run.status.message


def in_parts(folder, weights, *, index=True):
    names = sorted(weights)
    parts = {f"model-0000{number + 1}-of-00003.safetensors": names[number::3] for number in range(3)}
    for file, own in parts.items():
        saved(folder, {name: weights[name] for name in own}, file)
    if index:
        where = {name: file for file, own in parts.items() for name in own}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    return folder


@pytest.mark.parametrize("opened", ["", "model.safetensors.index.json", "model-00002-of-00003.safetensors"])
def test_parts_are_joined(home, model, weights, opened):
    assert_opens(in_parts(home, weights) / opened, model)


def test_parts_without_an_index_are_joined(home, model, weights):
    assert_opens(in_parts(home, weights, index=False), model)


def test_a_missing_part_is_named(home, weights):
    in_parts(home, weights)
    (home / "model-00003-of-00003.safetensors").unlink()
    with pytest.raises(UserError, match=r"model-00002-of-00003\.safetensors is part 2 of 3 of a model"):
        open_file(home / "model-00002-of-00003.safetensors")
    with pytest.raises(UserError, match=r"lists model-00003-of-00003\.safetensors, which is missing"):
        open_file(home / "model.safetensors.index.json")


@pytest.mark.parametrize("name", ["/etc/passwd", "../secret.safetensors", "a/b.safetensors", 3])
def test_an_index_names_no_file_elsewhere(home, name):
    (home / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": name}}))
    with pytest.raises(UserError, match="not an index of safetensors files"):
        open_file(home / "model.safetensors.index.json")


def test_a_folder_without_a_model_is_refused(home):
    (home / "empty").mkdir()
    with pytest.raises(UserError, match="holds no safetensors file"):
        open_file(home / "empty")


QKV = {f"blocks.{block}.attn.{part}_norm.weight": torch.ones(8) for block in range(2) for part in "qk"}
REASONS = {
    "it normalises queries and keys": QKV,
    "its images have 1 channel, not red, green and blue": {"patch_embed.proj.weight": torch.zeros(24, 1, 16, 16)},
    "it has a decoder": {"mask_token": torch.zeros(1, 1, 24), "decoder_embed.weight": torch.zeros(16, 24)},
    "it has relative positions": {"blocks.0.attn.relative_position_bias_table": torch.zeros(9, 3)},
    "it has a gated MLP": {"blocks.0.mlp.w12.weight": torch.zeros(8, 24)},
    "its head pools by attention": {"attn_pool.latent": torch.zeros(1, 1, 24)},
    "it has a distillation token": {"dist_token": torch.zeros(1, 1, 24)},
    "its patches are not square": {"patch_embed.proj.weight": torch.zeros(24, 3, 8, 16)},
    "it holds adapters": {"blocks.0.attn.qkv.lora_A.default.weight": torch.zeros(4, 24)},
    "fits no square grid": {"pos_embed": torch.zeros(1, 33, 24)},
    "it has 3 blocks and not 2": {"blocks.2.norm1.weight": torch.zeros(24)},
}


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("reason", REASONS)
def test_the_real_reason_is_named(home, weights, reason, prefix):
    with pytest.raises(UserError, match=reason) as refusal:
        open_file(saved(home, prefixed(weights | REASONS[reason], prefix)))
    assert "mine.safetensors" in str(refusal.value)


OTHERS = {
    "Hugging Face's transformers": "vit.encoder.layer.0.attention.attention.query.weight",
    "torchvision": "encoder.layers.encoder_layer_0.ln_1.weight",
    "vit-pytorch": "transformer.layers.0.0.norm.weight",
    "it is not a Vision Transformer: it begins with a convolution": "conv1.weight",
    "it has no patch embedding in timm's layout: it holds something": "something",
}


@pytest.mark.parametrize("library", OTHERS)
@pytest.mark.parametrize("stated", [True, False])
def test_another_librarys_layout_is_named(home, library, stated):
    path = saved(home, {OTHERS[library]: torch.zeros(4, 4)})
    if not stated:
        (home / "config.json").unlink()
    with pytest.raises(UserError, match=library):
        open_file(path)


def test_a_config_of_transformers_is_named(home, weights):
    path = saved(home, weights)
    (home / "config.json").write_text(json.dumps({"model_type": "vit", "architectures": ["ViTModel"]}))
    with pytest.raises(UserError, match="one of Hugging Face's transformers"):
        open_file(path)


def test_two_networks_in_one_file_are_refused(home, weights):
    copies = {name: value.clone() for name, value in weights.items()}
    path = saved(home, prefixed(weights, "student.") | prefixed(copies, "teacher."))
    with pytest.raises(UserError, match=r"holds 2 networks \(student\., teacher\.\)"):
        open_file(path)


def test_weights_with_other_blocks_fit_the_architectures_of_their_kind(monkeypatch):
    monkeypatch.setattr(guess_architecture, "names", lambda: [ARCHITECTURE, "deit_tiny_patch16_224"])
    guess_architecture._architectures.cache_clear()
    try:
        shapes = timm.create_model(ARCHITECTURE, depth=2, img_size=64).state_dict()
        found = guess_architecture.candidates({name: tuple(value.shape) for name, value in shapes.items()})
        assert found == ("deit_tiny_patch16_224", ARCHITECTURE)
    finally:
        guess_architecture._architectures.cache_clear()


def test_a_grid_that_nothing_states_is_told(home):
    wide = timm.create_model(ARCHITECTURE, img_size=(64, 144), **TINY)
    path = saved(home, wide.state_dict(), model_args=TINY)
    assert "36 positions, read as a square of 6 x 6 patches" in open_file(path).status.message
    path = saved(home, wide.state_dict(), model_args=TINY, pretrained_cfg={"input_size": [3, 64, 144]})
    with pytest.raises(UserError, match="its images are not square but 64 x 144 pixels"):
        open_file(path)


# Networks of all kinds


def models_of_each_module() -> dict[str, str]:
    """Return the first model of each of timm's modules."""
    found = {}
    for name in timm.list_models():
        found.setdefault(timm.models.model_entrypoint(name).__module__.rpartition(".")[2], name)
    return found


def test_a_file_of_any_timm_module_opens_or_states_a_reason(home, weights):
    found = models_of_each_module()
    assert len(found) > 90
    for architecture in found.values():
        path = saved(home, weights, architecture=architecture)
        with pytest.raises(UserError) as refusal:
            open_file(path)
        assert " cannot be opened: it" in str(refusal.value) or "another network" in str(refusal.value)


HOSTILE = (
    {"num_classes": "many"},
    {"num_classes": [1]},
    {"pretrained_cfg": []},
    {"pretrained_cfg": {"input_size": [3, 1e999, 1e999]}},
    {"pretrained_cfg": {"input_size": "large", "mean": 3}},
    {"pretrained_cfg": {"mean": ["a"], "tag": {}}},
    {"pretrained_cfg": {"crop_pct": 1e999, "interpolation": []}},
    {"label_names": {"0": 5}, "global_pool": []},
    {"label_names": [["ant"], "bee", "cow"], "label_descriptions": 3},
    {"model_args": {"embed_dim": 25}},
    {"model_args": []},
)


@pytest.mark.parametrize("settings", HOSTILE)
def test_any_config_opens_or_is_refused_with_a_sentence(home, weights, settings):
    path = saved(home, weights, **settings)
    with suppress(UserError):  # any other error fails the test
        assert open_file(path).has_weights
