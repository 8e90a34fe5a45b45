"""``python -m vit attention``: the methods that give one map, without a browser."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import tiny_config
from vit import jobs, runs
from vit.cli import attention as cli_attention
from vit.cli.main import main
from vit.config import CNNConfig, ReferenceConfig
from vit.data.batches import to_tensor
from vit.evaluation import model_view, predict
from vit.explain import METHODS, Target
from vit.runs import weights


@pytest.fixture
def picture(tmp_path) -> Path:
    """A file that is larger than what a model takes, and not square."""
    path = tmp_path / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 130, 3), np.uint8)).save(path)
    return path


@pytest.fixture
def attention(capsys, picture):
    """Runs the command on the picture: (exit status, standard output, standard error)."""

    def command(line: str, out: Path) -> tuple[int, str, str]:
        return main(["attention", *line.split(), str(picture), "--out", str(out)]), *capsys.readouterr()

    return command


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """A folder with the runs "cnn" and "course"."""
    folder = tmp_path_factory.mktemp("others")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIT_CHECKPOINTS", str(folder / "checkpoints"))
        patch.setenv("VIT_DATA", str(folder / "data"))
        for name, model in {
            "cnn": CNNConfig(image_size=32),
            "course": ReferenceConfig(image_size=32, patch_size=8, embed_dim=16),
        }.items():
            jobs.execute(runs.create(name, tiny_config().model_copy(update={"model": model})))
    return folder / "checkpoints"


def expected(run, image, method, label, against=None, **options) -> np.ndarray:
    model, info = weights.load_checkpoint(run)
    images = to_tensor([model_view(info, Image.open(image).convert("RGB"))], info.mean, info.std)
    target = Target(info.class_names.index(label), None if against is None else info.class_names.index(against))
    return METHODS[method].function(model, images, target, **options)[0]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_one_map_for_the_given_class(trained, attention, picture, tmp_path, method):
    run, out = runs.get_run("tiny").path, tmp_path / "maps.npz"
    status, said, err = attention(f"--run tiny --method {method} --class dog --json", out)
    assert status == 0, err
    with np.load(out) as arrays:
        assert arrays["attention"].shape == (2, 2, 17, 17)
        assert (arrays["grid"].tolist(), arrays["relevance"].shape) == ([4, 4], (4, 4))
        np.testing.assert_allclose(arrays["relevance"], expected(run, picture, method, "dog"), rtol=1e-4, atol=1e-7)
    result = json.loads(said)
    assert result["method"] == method
    assert result.get("class") == ("dog" if METHODS[method].for_class else None)
    assert attention(f"--run tiny --method {method}", tmp_path / "map.png")[0] == 0
    assert Image.open(tmp_path / "map.png").size == (512, 512)


def test_the_most_probable_class_is_explained_by_default(trained, attention, picture, tmp_path):
    run, out = runs.get_run("tiny").path, tmp_path / "maps.npz"
    model, info = weights.load_checkpoint(run)
    likeliest = info.class_names[predict(model, info, [Image.open(picture)])[0].argmax()]
    status, said, _ = attention("--run tiny --method chefer --json", out)
    assert (status, json.loads(said)["class"]) == (0, likeliest)
    np.testing.assert_allclose(np.load(out)["relevance"], expected(run, picture, "chefer", likeliest), rtol=1e-4)


@pytest.mark.parametrize(
    ("flags", "method", "against", "options"),
    [
        ("--method occlusion --against cat", "occlusion", "cat", {}),
        ("--method rollout --fusion max --discard 0.9", "rollout", None, {"fusion": "max", "discard": 0.9}),
        ("--method gradient-rollout --discard 0.5 --against cat", "gradient-rollout", "cat", {"discard": 0.5}),
    ],
)
def test_settings_reach_the_method(trained, attention, picture, tmp_path, flags, method, against, options):
    out = tmp_path / "maps.npz"
    status, _, err = attention(f"--run tiny --class dog {flags}", out)
    assert status == 0, err
    heat = expected(runs.get_run("tiny").path, picture, method, "dog", against, **options)
    np.testing.assert_allclose(np.load(out)["relevance"], heat, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--method dream", "choose raw, last, rollout"),
        ("--method chefer --fusion max", "--fusion does not go with --method chefer: use rollout"),
        ("--method occlusion --discard 0.5", "use rollout or gradient-rollout"),
        ("--discard 0.5", "--discard does not go with --method raw"),
        ("--method rollout --fusion median", "choose mean, max, min"),
        ("--method rollout --discard 1", "from 0 to below 1"),
        ("--method rollout --discard nan", "from 0 to below 1"),
        ("--method rollout --against dog", "which knows no classes"),
        ("--against dog", "which knows no classes"),
        ("--method chefer --against tiger", "--against tiger is not a class"),
        ("--method chefer --class dog --against dog", "is the explained class itself"),
    ],
)
def test_incompatible_flags_are_refused_in_one_line(trained, attention, tmp_path, flags, said):
    status, out, err = attention(f"--run tiny {flags}", tmp_path / "maps.npz")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert not (tmp_path / "maps.npz").exists()


def test_a_convolutional_network_has_the_methods_that_need_no_attention(others, attention, picture, tmp_path):
    for method in ("gradcam", "integrated", "occlusion"):
        out = tmp_path / f"{method}.npz"
        line = f"--run {others / 'cnn'} --method {method} --class cat --against dog"
        assert attention(line, out)[0] == 0
        with np.load(out) as arrays:
            assert set(arrays) == {"class_names", "probabilities", "grid", "relevance"}
            assert arrays["grid"].tolist() == list(arrays["relevance"].shape)
            assert arrays["probabilities"].sum() == pytest.approx(1)
            heat = expected(others / "cnn", picture, method, "cat", "dog")
            np.testing.assert_allclose(arrays["relevance"], heat, rtol=1e-4, atol=1e-6)
        assert attention(line, tmp_path / "map.png")[0] == 0
    for method in ("raw", "last", "rollout", "chefer"):
        out = tmp_path / "refused.npz"
        status, _, err = attention(f"--run {others / 'cnn'} --method {method}", out)
        assert (status, err.count("\n"), out.exists()) == (2, 1, False)
        assert "Grad-CAM" in err


def test_the_course_network_has_the_methods_that_use_pixels(others, attention, tmp_path):
    for method in ("last", "integrated", "occlusion"):
        out = tmp_path / f"{method}.npz"
        status, _, err = attention(f"--run {others / 'course'} --method {method}", out)
        assert status == 0
        assert "mixes positions" in err
        assert np.load(out)["relevance"].shape == (4, 4)
    status, _, err = attention(f"--run {others / 'course'} --method gradcam", tmp_path / "x.npz")
    assert (status, err.count("\n")) == (2, 1)


def test_help_names_every_method():
    for name in METHODS:
        assert name in cli_attention.METHODS_HELP
