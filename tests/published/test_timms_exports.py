"""What the installed timm writes opens: its own exports of every family, with all arguments that it records."""

import json

import pytest

timm = pytest.importorskip("timm")

import torch  # noqa: E402
from timm.models._hub import save_for_hf  # noqa: E402

from tests.published.models import FAMILIES, TINY, scramble, small  # noqa: E402
from vit.errors import UserError  # noqa: E402
from vit.published.open import open_file  # noqa: E402
from vit.runs.weights import load_checkpoint  # noqa: E402

ARCHITECTURE = "vit_tiny_patch16_224"


def exported(folder, model, **settings):
    """Return the folder that timm writes for a model."""
    save_for_hf(model, folder / "mine", safe_serialization=True, **settings)
    return folder / "mine"


def assert_same_outputs(run, model) -> None:
    found, info = load_checkpoint(run.path)
    images = torch.randn(1, 3, info.image_size, info.image_size)
    with torch.inference_mode():
        expected = model.eval()(images)
        ours = found(images) if found.config.num_classes else found.eval()(images)
    assert (ours - expected).abs().max() < 1e-3 * expected.abs().max().clamp(min=1)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_opens(home, family):
    model = small(family)
    names = [f"kind {number}" for number in range(model.num_classes)]
    folder = exported(home, model, model_config={"label_names": names} if names else None)
    run = open_file(folder)
    assert run.config.data.class_names == tuple(names)
    assert_same_outputs(run, model)


CREATED = {
    "everything that changes only the training": {
        "drop_rate": 0.1,
        "drop_path_rate": 0.1,
        "attn_drop_rate": 0.1,
        "patch_drop_rate": 0.1,
        "weight_init": "moco",
        "fix_init": True,
    },
    "other image sizes": {"dynamic_img_size": True, "dynamic_img_pad": True},
    "sizes as pairs": {"img_size": (48, 48), "patch_size": (8, 8)},
    "named layers": {"act_layer": "gelu_tanh", "norm_layer": "layernorm"},
    "tokens and scales": {"reg_tokens": 2, "init_values": 1e-5, "no_embed_class": True, "qkv_bias": False},
    "a mean": {"global_pool": "avg", "class_token": False},
    "one image channel more than none": {"in_chans": 3, "proj_bias": True, "qk_norm": False},
}


@pytest.mark.parametrize("what", CREATED)
def test_arguments_are_followed_or_ignored(home, what):
    model = scramble(timm.create_model(ARCHITECTURE, num_classes=3, **TINY | {"img_size": 64} | CREATED[what]))
    run = open_file(exported(home, model, model_args=CREATED[what]))
    assert run.config.data.class_names == ("class 0", "class 1", "class 2")
    assert_same_outputs(run, model)


REFUSED = {
    "it normalises queries and keys": {"qk_norm": True},
    "its images have 1 channel, not": {"in_chans": 1},
    "its images are not square but 64 x 144 pixels": {"img_size": (64, 144)},
    "its blocks have projections without a bias": {"proj_bias": False},
    "its norms are RmsNorm": {"norm_layer": "rmsnorm"},
    "the activation of its MLP is ReLU": {"act_layer": "relu"},
    "its head pools by attention": {"global_pool": "map"},
    "its head uses max pooling": {"global_pool": "max"},
    "it has differential attention": {"attn_layer": "diff"},
    "it has no learned positions": {"pos_embed": "none"},
}


@pytest.mark.parametrize("clause", REFUSED)
def test_arguments_that_are_not_possible_here_state_the_reason(home, clause):
    model = timm.create_model(ARCHITECTURE, num_classes=3, **TINY | {"img_size": 64} | REFUSED[clause])
    with pytest.raises(UserError, match=clause):
        open_file(exported(home, model))


def test_a_model_whose_head_and_size_were_changed_afterwards_opens(home):
    model = timm.create_model(ARCHITECTURE, num_classes=3, img_size=64, **TINY)
    model.reset_classifier(5, "avg")
    model.set_input_size(96)
    run = open_file(exported(home, scramble(model)))
    assert (run.config.model.image_size, run.config.model.pool, run.config.model.fc_norm) == (96, "mean", False)
    assert_same_outputs(run, model)


def test_arguments_that_nothing_states_are_read_from_the_weights(home):
    """Earlier versions of timm record no arguments."""
    model = timm.create_model(ARCHITECTURE, num_classes=5, img_size=64, depth=2)
    model.reset_classifier(5, "avg")
    folder = exported(home, scramble(model))
    settings = json.loads((folder / "config.json").read_text())
    del settings["model_args"]
    settings["pretrained_cfg"]["input_size"] = [3, 224, 224]
    (folder / "config.json").write_text(json.dumps(settings))
    run = open_file(folder)
    assert_same_outputs(run, model)
    assert "It has 2 blocks, where the published architecture has 12." in run.status.message
    assert "read as a square of 4 x 4 patches" in run.status.message


def test_names_by_index_are_read_and_missing_ones_numbered(home):
    model = scramble(timm.create_model(ARCHITECTURE, num_classes=3, img_size=64, **TINY))
    run = open_file(exported(home, model, model_config={"label_names": {0: "ant", 2: "cow"}}))
    assert run.config.data.class_names == ("ant", "class 1", "cow")
    assert run.config.published == "mine"  # not timm's model with a thousand classes


def test_a_head_without_a_bias_keeps_its_classes(home):
    model = scramble(timm.create_model(ARCHITECTURE, num_classes=5, img_size=64, **TINY))
    with torch.no_grad():
        model.head.bias.zero_()
    run = open_file(exported(home, model))
    assert run.config.data.class_names == tuple(f"class {number}" for number in range(5))
    assert_same_outputs(run, model)
