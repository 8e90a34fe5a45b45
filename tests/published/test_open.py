"""Files of weights become runs that work with every explanation; errors are sentences."""

import json
import struct

import pytest

timm = pytest.importorskip("timm")

import torch  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from tests.published.models import save, scramble, small  # noqa: E402
from vit import hub, jobs, runs  # noqa: E402
from vit.cli.main import main  # noqa: E402
from vit.data import describe, title  # noqa: E402
from vit.errors import DataError, RunError, UserError  # noqa: E402
from vit.explain import capture  # noqa: E402
from vit.exports import run_zip  # noqa: E402
from vit.paths import checkpoints_dir  # noqa: E402
from vit.published import guess_architecture, model_description  # noqa: E402
from vit.published.architecture import build  # noqa: E402
from vit.published.guess_architecture import Ambiguous, candidates  # noqa: E402
from vit.published.open import open_file  # noqa: E402
from vit.published.weights_file import WeightsFile  # noqa: E402
from vit.runs.weights import load_checkpoint  # noqa: E402

ARGUMENTS = {"img_size": 64, "depth": 2, "embed_dim": 24, "num_heads": 3}


def described(folder, architecture="vit_tiny_patch16_224", **more) -> None:
    """Write a config.json in timm's format next to the weights."""
    content = {"architecture": architecture, "model_args": ARGUMENTS, "pretrained_cfg": {"crop_pct": 0.9}} | more
    (folder / "config.json").write_text(json.dumps(content))


@pytest.fixture
def file(home):
    """The weights of a small ViT with three classes, with a config.json."""
    model = scramble(timm.create_model("vit_tiny_patch16_224", num_classes=3, **ARGUMENTS))
    described(home, num_classes=3, label_names=["ant", "bee", "cow"])
    return save(model, home / "model.safetensors")


def test_a_file_becomes_a_run_that_works_with_every_explanation(file):
    run = open_file(file, run="three")
    assert (run.state, run.has_weights, run.best) == ("finished", True, None)
    model, info = load_checkpoint("three")
    assert info.class_names == ("ant", "bee", "cow")
    assert (info.crop_pct, info.image_size, info.config.published) == (0.9, 64, file.parent.name)
    theirs = timm.create_model("vit_tiny_patch16_224", num_classes=3, **ARGUMENTS).eval()
    theirs.load_state_dict(load_file(file))
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert (model(images) - theirs(images)).abs().max() < 1e-4
    assert capture(model, images).attention.shape == (1, 2, 3, 17, 17)
    assert [one.name for one in runs.list_runs()] == ["three"]


def test_missing_images_are_reported_in_a_sentence(file):
    source = open_file(file).config.data.source
    assert title(source) == "not on this machine"
    with pytest.raises(DataError, match="pretrained model, and the images that it was trained on are not here"):
        describe(source)


def test_it_is_packed_and_unpacked_like_any_run(file, tmp_path):
    run = open_file(file, run="three")
    run_zip.pack(run, tmp_path / "three.zip")
    again = run_zip.unpack(tmp_path / "three.zip", "four")
    assert again.config == run.config
    assert again.status.message == run.status.message
    assert load_checkpoint("four")[1].class_names == ("ant", "bee", "cow")


def test_it_cannot_be_trained_again(file):
    run = open_file(file, run="three")
    for again in (jobs.prepare_restart, jobs.prepare_resume):
        with pytest.raises(RunError, match="was not trained here: fine-tune it"):
            again(run)
    assert run.has_weights


def test_a_clip_tower_is_opened_without_its_projection(home):
    model = scramble(timm.create_model("vit_base_patch32_clip_224", num_classes=512, **ARGUMENTS | {"img_size": 96}))
    with torch.no_grad():
        model.head.bias.zero_()  # timm does this for a projection, which has no bias
    described(home, "vit_base_patch32_clip_224", num_classes=512, model_args=ARGUMENTS | {"img_size": 96})
    run = open_file(save(model, home / "clip.safetensors"))
    assert run.config.model.num_classes == 0
    assert "opened without its head, whose 512 outputs are not classes" in run.status.message
    found, info = load_checkpoint(run.path)
    assert info.class_names == ()
    images = torch.randn(1, 3, 96, 96)
    with torch.inference_mode():
        assert (found(images) - model.forward_head(model.forward_features(images), pre_logits=True)).abs().max() < 1e-4


def test_classes_without_names_are_numbered(home, file):
    described(home, num_classes=3)
    run = open_file(file)
    assert run.config.data.class_names == ("class 0", "class 1", "class 2")
    assert "The names of its 3 classes are unknown" in run.status.message


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_become_float32(home, file, kind):
    save_file({name: value.to(kind) for name, value in load_file(file).items()}, file)
    open_file(file, run="three")
    assert {value.dtype for value in load_checkpoint("three")[0].state_dict().values()} == {torch.float32}


def test_positions_are_resampled_like_in_timm(home, file):
    run = open_file(file, image_size=96)
    theirs = timm.create_model("vit_tiny_patch16_224", num_classes=3, **ARGUMENTS).eval()
    theirs.load_state_dict(load_file(file))
    theirs.set_input_size(96)
    model, info = load_checkpoint(run.path)
    images = torch.randn(1, 3, 96, 96)
    with torch.inference_mode():
        assert (model(images) - theirs(images)).abs().max() < 1e-4
    assert info.image_size == 96
    assert "resampled from 64 to 96 pixels" in run.status.message


def test_metas_layout_is_converted_by_timm(home):
    model = small("deit3")
    described(home, "deit3_small_patch16_224", num_classes=1000)
    renamed = {
        name.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2"): value
        for name, value in model.state_dict().items()
    }
    save_file(renamed, home / "deit3.safetensors")
    found, info = load_checkpoint(open_file(home / "deit3.safetensors").path)
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert (found(images) - model(images)).abs().max() < 1e-4
    assert info.class_names[0] == "tench"


def test_an_architecture_is_guessed_from_weights(monkeypatch):
    some = ["vit_tiny_patch16_224", "vit_tiny_patch16_384", "deit_tiny_patch16_224", "deit_tiny_distilled_patch16_224"]
    some += ["vit_small_patch16_224", "deit3_small_patch16_224", "deit3_small_patch16_384", "vit_small_patch32_224"]
    monkeypatch.setattr(guess_architecture, "names", lambda: some)
    guess_architecture._architectures.cache_clear()

    def found(name: str) -> tuple[str, ...]:
        return candidates({key: tuple(value.shape) for key, value in build(name).state_dict().items()})

    try:
        assert found("deit3_small_patch16_224") == ("deit3_small_patch16_224",)
        assert found("vit_tiny_patch16_224") == ("deit_tiny_patch16_224", "vit_tiny_patch16_224")
        assert candidates({"conv1.weight": (64, 3, 7, 7)}) == ()
    finally:
        guess_architecture._architectures.cache_clear()


def test_ambiguous_weights_are_decided_by_the_file_name_only(home, monkeypatch):
    monkeypatch.setattr(
        guess_architecture, "candidates", lambda shapes: ("deit_tiny_patch16_224", "vit_tiny_patch16_224")
    )
    path = home / "weights.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(Ambiguous, match="name one, such as deit_tiny_patch16_224, vit_tiny_patch16_224"):
        guess_architecture.guess(WeightsFile(path), "weights")
    assert guess_architecture.guess(WeightsFile(path), "deit_tiny_patch16_224-a1311bcf") == "deit_tiny_patch16_224"


@pytest.mark.parametrize(
    "name", ["tiny", "tiny-deep"]
)  # with and without a convolutional stem, which timm does not have
def test_a_run_that_was_exported_for_the_hub_opens_again(several, tmp_path, name):
    hub.write_folder(runs.get_run(name), tmp_path / "mine")
    run = open_file(tmp_path / "mine" / "model.safetensors")
    assert (run.name, run.config.published) == ("mine", "mine")
    assert (run.config.model, run.config.data.source) == (runs.get_run(name).config.model, "scenes")
    before, after = load_checkpoint(name)[0], load_checkpoint("mine")[0]
    assert all(torch.equal(value, after.state_dict()[key]) for key, value in before.state_dict().items())
    (tmp_path / "mine" / "model.safetensors").write_bytes(
        (several / "checkpoints/tiny-mean/model.safetensors").read_bytes()
    )
    if name == "tiny-deep":
        with pytest.raises(UserError, match="to another network"):
            open_file(tmp_path / "mine" / "model.safetensors")


# What is wrong


def nothing_left() -> bool:
    return not checkpoints_dir().exists() or not list(checkpoints_dir().iterdir())


def test_a_taken_name_is_refused_before_the_file_is_read(file):
    open_file(file, run="three")
    with pytest.raises(RunError, match=r"There is a run 'three' already: .*'three-2'"):
        open_file(file, run="three")
    assert open_file(file).name != open_file(file).name


@pytest.mark.parametrize(
    "content",
    [
        b"PK\x03\x04 as torch.save writes",
        b"\x80\x04\x95 a pickle",
        b"",
        struct.pack("<Q", 2**62) + b"{}",
        struct.pack("<Q", 2**23) + b"{}",
        struct.pack("<Q", 20) + b"{" * 20,
        struct.pack("<Q", 8) + b"[[[[]]]]",
    ],
)
def test_other_files_are_never_opened(file, content):
    file.write_bytes(content)
    with pytest.raises(UserError, match="safetensors file"):
        open_file(file)
    assert nothing_left()


def header(**tensors) -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text


def test_huge_shapes_allocate_no_memory(file):
    many = {"dtype": "F32", "shape": [2**30, 2**20], "data_offsets": [0, 2**52]}
    file.write_bytes(header(**{"patch_embed.proj.weight": many}))
    with pytest.raises(UserError, match="damaged safetensors file"):
        open_file(file)


def change(file, **values) -> None:
    weights = load_file(file)
    weights.update(values)
    save_file({name: value for name, value in weights.items() if value is not None}, file)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("norm.weight", torch.full((24,), float("nan")), "not finite"),
        ("norm.weight", torch.zeros(25), r"norm.weight is \(25,\), where this one has \(24,\)"),
        ("norm.weight", None, "norm.weight is missing"),
        ("extra", torch.zeros(3), r"extra is \(3,\), where this one has none"),
        ("pos_embed", torch.zeros(1, 18, 24), "pos_embed"),
        ("pos_embed", torch.zeros(17, 24), "pos_embed"),
        ("blocks.0.attn.qkv.weight", torch.zeros(72, 24, dtype=torch.int32), "qkv.weight is missing"),
        ("extra", torch.zeros(200_000), r"extra is \(200000,\)"),
    ],
)
def test_other_weights_are_refused_and_leave_no_run(file, name, value, sentence):
    change(file, **{name: value})
    with pytest.raises(UserError, match=sentence):
        open_file(file)
    assert nothing_left()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("checkpoint_path", "/etc/passwd"),
        ("pretrained_cfg", {"file": "x.bin"}),
        ("depth", 10**6),
        ("depth", True),
        ("block_fn", "os.system"),
        ("act_layer", "../relu"),
        ("img_size", [64, True]),
        ("global_pool", []),
        ("use_naflex", True),
    ],
)
def test_forbidden_arguments_in_a_config_are_refused(home, file, key, value):
    described(home, model_args={key: value})
    with pytest.raises(UserError, match=f"asks for {key}"):
        open_file(file)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '{"architecture": 3}',
        '{"architecture": "hf-hub:a/b"}',
        '{"architecture": "x", "model_args": 3}',
    ],
)
def test_an_invalid_config_is_refused(home, file, text):
    (home / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json"):
        open_file(file)


def test_an_unsupported_network_states_the_reason(home):
    model = timm.create_model("vit_relpos_small_patch16_224", **ARGUMENTS)
    described(home, "vit_relpos_small_patch16_224")
    with pytest.raises(UserError, match="it has relative positions"):
        open_file(save(model, home / "model.safetensors"))


def test_outputs_that_differ_from_timm_are_detected(file, monkeypatch):
    from vit.published import architecture

    judged = architecture.config_of
    monkeypatch.setattr(
        architecture, "config_of", lambda model: judged(model).model_copy(update={"act_layer": "quick_gelu"})
    )
    with pytest.raises(UserError, match="gives other outputs than timm's with the same weights"):
        open_file(file)
    assert nothing_left()


def test_a_full_disk_is_reported(file, monkeypatch):
    from vit.published import open

    monkeypatch.setattr(open, "free_bytes", lambda folder: 1000)
    with pytest.raises(RunError, match=r"takes 0\.1 MB of the disk, and 0\.0 MB are free"):
        open_file(file)
    assert nothing_left()


def test_without_timm_the_error_says_how_to_install_it(file, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(UserError, match="pip install timm"):
        open_file(file)
    with pytest.raises(UserError, match="pip install timm"):
        model_description.by_name("vit_tiny_patch16_224")


# The command line


def test_the_command_opens_a_file(file, capsys):
    assert main(["open", str(file), "--run", "three", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["run"], found["num_heads"], found["num_classes"]) == ("three", 3, 3)


def test_the_command_lists_supported_models_and_reasons(home, capsys):
    assert main(["open", "--list", "vit_tiny_*_224*", "--json"]) == 0
    models = {one["name"]: one for one in json.loads(capsys.readouterr().out)["models"]}
    assert models["vit_tiny_patch16_224.augreg_in21k_ft_in1k"]["opens"]
    assert models["vit_tiny_patch16_224.augreg_in21k_ft_in1k"]["licence"] == "apache-2.0"
    assert "hybrid" in models["vit_tiny_r_s16_p8_224.augreg_in21k"]["reason"]


@pytest.mark.parametrize(
    ("pattern", "name", "reason"),
    [
        (
            "swin_tiny",
            "swin_tiny_patch4_window7_224.ms_in1k",
            "it is not a plain Vision Transformer but timm's SwinTransfor",
        ),
        ("resnet50.a1", "resnet50.a1_in1k", "it is not a plain Vision Transformer but timm's ResNet"),
        ("vit_giant_patch14_224", "vit_giant_patch14_224", "timm has no weights of it"),
    ],
)
def test_every_model_of_timm_is_listed_with_a_reason(home, capsys, pattern, name, reason):
    assert main(["open", "--list", pattern, "--json"]) == 0
    models = {one["name"]: one for one in json.loads(capsys.readouterr().out)["models"]}
    assert reason in models[name]["reason"]


CLASSES = {
    "names.txt": "ant\nhoney bee\ncow\n",
    "names.json": '["ant", "honey bee", "cow"]',
    "config_of_transformers.json": '{"id2label": {"1": "honey bee", "0": "ant", "2": "cow"}}',
}


@pytest.mark.parametrize("name", CLASSES)
def test_the_names_of_the_classes_are_read_from_a_file(home, file, capsys, name):
    (home / name).write_text(CLASSES[name], encoding="utf-8-sig")
    assert main(["open", str(file), "--run", "three", "--class-names", str(home / name)]) == 0
    assert load_checkpoint("three")[1].class_names == ("ant", "honey bee", "cow")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"ant\nbee\n", "2 class names were given, but the model has 3 outputs"),
        (b"ant\nant\nbee\n", "holds the class name 'ant' twice"),
        (b"ant\n\nbee\n", "without empty lines"),
        (b"\xff\xfe\x00", "not text in UTF-8"),
        (b"{}", "holds no list of class names"),
        (b"[1, 2, 3]", "holds no list of class names"),
    ],
)
def test_a_wrong_file_of_class_names_is_one_line(home, file, capsys, content, sentence):
    (home / "names.txt").write_bytes(content)
    assert main(["open", str(file), "--class-names", str(home / "names.txt")]) == 2
    assert sentence in capsys.readouterr().err
    assert nothing_left()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["open"], "either a model or --list"),
        (["open", "vit_tiny_patch16_224", "--list", "x"], "either a model or --list"),
        (["open", "--list", "nosuchmodel"], "No model of timm has 'nosuchmodel'"),
        (["open", "vit_small_patch16_223"], "timm has no model"),
        (["open", "vit_small_patch16_224.nosuchtag"], "timm has no weights"),
        (["open", "vit_relpos_small_patch16_224"], "it has relative positions"),
        (["open", "nowhere.safetensors"], "cannot be read"),
        (["open", "vit_tiny_patch16_224", "--image-size", "100"], "at an image size of 96 it can be opened"),
    ],
)
def test_bad_input_is_one_line(home, capsys, words, sentence):
    assert main(words) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
