import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from vit import runs
from vit.cli.main import main
from vit.config import RECIPES, CNNConfig, DataConfig, ReferenceConfig, TrainingConfig, ViTConfig
from vit.paths import checkpoints_dir
from vit.runs import speeds

TINY = "--depth 1 --num-heads 1 --embed-dim 16 --image-size 32 --train-images 40 --val-images 20 --epochs 2 --threads 1"


@pytest.fixture
def call(capsys):
    """Runs a command in this process: (exit status, standard output, standard error)."""

    def run_command(line: str, *more: object) -> tuple[int, str, str]:
        try:
            status = main([*line.split(), *map(str, more)])
        except SystemExit as error:
            status = error.code
        return status, *capsys.readouterr()

    return run_command


@pytest.fixture
def picture(tmp_path):
    """A photograph's file, larger than what a model takes and not square."""
    path = tmp_path / "picture.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 130, 3), np.uint8)).save(path)
    return path


def test_json_is_the_only_standard_output(home):
    command = [sys.executable, "-m", "vit", "train", *TINY.split(), "--device", "cpu", "--run", "one", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert result["run"] == "one"
    assert result["state"] == runs.get_run("one").state == "finished"
    assert result["epochs"] == 2
    assert 0 <= result["val_accuracy"] <= 1
    assert [line.split()[:2] for line in done.stderr.splitlines() if line.startswith("epoch")] == [
        ["epoch", "1/2"],
        ["epoch", "2/2"],
    ]


def test_only_num_heads_given_keeps_the_default_head_width(home, call):
    assert (
        call("train --num-heads 2 --depth 1 --image-size 32 --train-images 40 --val-images 20 --epochs 1 --run a")[0]
        == 0
    )
    model = runs.get_run("a").config.model
    assert (model.num_heads, model.head_dim) == (2, ViTConfig().head_dim)
    assert runs.get_run("a").config.training.device == "auto"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train --num-heads 5 --embed-dim 64", "not a multiple of num_heads"),
        ("train --patch-size 7 --stem patch", "does not divide image_size"),
        ("train --epochs 0", "epochs"),
        ("train --num-heads many", "--num-heads"),
        ("train --image-size large", "neither auto nor a number"),
        ("train --stem wave", "--stem"),
        ("train --model cnn --stem conv", "--stem does not go with --model cnn"),
        ("train --model reference --pool cls", "--pool does not go with --model reference"),
        ("train --model reference --patch-size 4", "billion parameters"),
        ("train --model reference --mended mlp,wings", "'wings'"),
        ("train --model reference --mended mlp,wings", "'projection', 'softmax'"),
        ("train --mended mlp", "--mended does not go with --model vit: leave it out, or use --model reference"),
        ("train --model cnn-residual --depth 2", "--depth does not go with --model cnn-residual"),
        ("train --recipe grandmother", "--recipe"),
        ("train --schedule zigzag", "--schedule"),
        ("train --clip-norm -1", "clip_norm"),
        ("train --model resnet", "--model"),
        ("train --image-size 24 --patch-size 8", "32 to 224"),
        ("train --dataset cifar10", "python -m vit data --dataset cifar10"),
        ("train --dataset /no/such/folder", "/no/such/folder"),
        ("train --run ../x", "cannot be called"),
        ("evaluate --run nobody", "no run 'nobody'"),
        ("evaluate", "--run"),
        ("resume --run ../../etc", "no run"),
        ("stop --run nobody", "no run"),
        ("predict --run nobody x.jpg --top 0", "--top"),
        ("dance", "dance"),
    ],
)
def test_bad_input_exits_with_2_and_one_line(home, call, line, said):
    status, out, err = call(line)
    assert status == 2
    assert out == ""
    assert err.count("\n") == 1
    assert said in err
    assert not checkpoints_dir().exists() or not list(checkpoints_dir().iterdir())


def test_evaluate_prints_the_documented_object(trained, call):
    status, out, _ = call("evaluate --run tiny --json")
    result = json.loads(out)
    assert status == 0
    assert result["class_names"] == ["airplane", "bus", "cat", "dog", "pizza"]
    matrix = np.array(result["confusion_matrix"])
    assert matrix.sum() == 30
    assert result["accuracy"] == pytest.approx(np.trace(matrix) / 30)
    assert result["accuracy"] == pytest.approx(runs.get_run("tiny").best["val_accuracy"])
    assert [row["label"] for row in result["per_class"]] == result["class_names"]


def test_evaluate_measures_the_attention_dependence_once(trained, call):
    assert json.loads(call("evaluate --run tiny --json")[1])["attention_dependence"] is None
    assert "attention dependence: not measured" in call("evaluate --run tiny")[1]
    first = json.loads(call("evaluate --run tiny --json --dependence")[1])["attention_dependence"]
    assert first["images"] == 30
    assert first["accuracy"] == pytest.approx(runs.get_run("tiny").best["val_accuracy"])
    assert (len(first["layers"]), len(first["layers"][0]), first["heads"]) == (2, 2, 4)
    assert json.loads(call("evaluate --run tiny --json")[1])["attention_dependence"] == first
    words = " ".join(call("evaluate --run tiny")[1].split())
    assert f"on 30 images accuracy {first['accuracy']:.1%} accuracy without heads {first['without_heads']:.1%}" in words
    assert "attention_dependence" not in json.loads(call("evaluate --run tiny --json --dataset scenes")[1])
    status, _, err = call("evaluate --run tiny --dependence --dataset scenes")
    assert status == 2
    assert "leave --dataset out" in err


def test_another_data_set_is_matched_by_class_name_or_refused(trained, call, photo_zip, tmp_path):
    for label in ("pizza", "cat"):  # in another order than the model's, and only two of its five
        for index in range(10):
            folder = tmp_path / "mine" / label
            folder.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 40), (index * 20, 90, 90)).save(folder / f"{index}.png")
    status, out, _ = call("evaluate --run tiny --json --dataset", tmp_path / "mine")
    assert status == 0
    support = {row["label"]: row["support"] for row in json.loads(out)["per_class"]}
    assert support == {"airplane": 0, "bus": 0, "cat": 10, "dog": 0, "pizza": 10}  # all: the set has no splits
    status, _, err = call("evaluate --run tiny --json --dataset", photo_zip)
    assert status == 2
    assert "green, red" in err
    assert "airplane, bus, cat, dog, pizza" in err


def test_predict_answers_for_each_image_and_reports_unreadable_files(trained, call, picture, tmp_path):
    text = tmp_path / "text.png"
    text.write_text("not an image")
    status, out, err = call("predict --run tiny --top 2 --json", picture, text, tmp_path / "none.png")
    first, second, third = json.loads(out)["predictions"]
    assert status == 0
    assert first["image"] == str(picture)
    assert len(first["top"]) == 2
    assert first["top"][0]["probability"] >= first["top"][1]["probability"] > 0
    assert "text.png" in second["error"]
    assert "none.png" in third["error"]
    assert err.count("\n") == 2
    assert call("predict --run tiny", text)[0] == 2


def test_attention_arrays_are_as_documented(trained, call, picture, tmp_path):
    run, out = runs.get_run("tiny"), tmp_path / "maps.npz"
    assert call("attention", picture, "--run", run.path, "--out", out)[0] == 0
    with np.load(out) as arrays:
        tokens = run.config.model.num_tokens
        assert arrays["attention"].shape == (2, 2, tokens, tokens)
        np.testing.assert_allclose(arrays["attention"].sum(axis=-1), 1, atol=1e-5)
        assert arrays["class_names"].tolist() == list(run.config.data.class_names)
        assert arrays["probabilities"].sum() == pytest.approx(1)
        assert arrays["grid"].tolist() == [4, 4]
        assert arrays["prefix_tokens"] == 1


def test_an_attention_picture_changes_with_the_token_and_shrinks_to_the_chosen_head(trained, call, picture, tmp_path):
    def draw(*flags: object) -> np.ndarray:
        out = tmp_path / "maps.png"
        status, said, err = call("attention --run tiny", picture, "--out", out, *flags)
        assert (status, said) == (0, f"{out}\n"), err
        return np.asarray(Image.open(out))

    every, other = draw(), draw("--token", 6)
    assert every.shape == other.shape
    assert (every != other).any()
    assert draw("--layer", 2).shape[0] < every.shape[0]
    assert draw("--layer", 2, "--head", 1).shape[:2] != every.shape[:2]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--out maps.txt", ".npz or .png"),
        ("--out maps.png --layer 3", "1 to 2"),
        ("--out maps.png --token 18", "1 to 17"),
        ("--out maps.npz --method dream", "choose raw"),
        ("--out maps.npz --class tiger", "pizza"),
        ("--out /no/such/folder/maps.npz", "No such file"),
    ],
)
def test_attention_refuses_what_the_run_does_not_have(trained, call, picture, flags, said, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    status, _, err = call(f"attention --run tiny {picture} {flags}")
    assert status == 2
    assert said in err
    assert err.count("\n") == 1


def test_the_course_network_trains_and_shows_its_raw_maps_with_a_warning(home, call, picture, tmp_path):
    status, _, err = call(f"train --model reference-einsum {TINY}")
    assert status == 0, err
    run = runs.get_run("scenes-reference-einsum")
    model = run.config.model
    assert (model.architecture, model.attention, model.patch_size, model.depth) == ("reference", "einsum", 16, 1)
    status, _, err = call(f"attention --run {run.name}", picture, "--out", tmp_path / "maps.npz")
    assert status == 0
    assert "mixes positions" in err
    with np.load(tmp_path / "maps.npz") as arrays:
        assert arrays["attention"].shape == (1, 1, 5, 5)
        np.testing.assert_allclose(arrays["attention"].sum(axis=-2), 1, atol=1e-5)
    assert call(f"attention --run {run.name} --token 3", picture, "--out", tmp_path / "maps.png")[0] == 0
    status, _, err = call(f"attention --run {run.name} --method rollout", picture, "--out", tmp_path / "more.npz")
    assert (status, err.count("\n")) == (2, 1)
    assert "mixes positions" in err
    assert not (tmp_path / "more.npz").exists()


def test_the_cnn_trains_is_resumed_and_has_no_attention(home, call, picture, tmp_path):
    few = "--image-size 32 --train-images 40 --val-images 20 --threads 1 --batch-size 20 --epochs"
    assert call(f"train --model cnn {few} 1")[0] == 0
    run = runs.get_run("scenes-cnn")
    recipe = run.config.training.model_copy(update={"epochs": 2})
    runs.write_config(run.path, run.config.model_copy(update={"training": recipe}))
    runs.update_status(run.path, state="stopped")
    assert json.loads(call(f"resume --run {run.name} --json")[1])["state"] == "finished"
    assert len(json.loads(call(f"predict --run {run.name} --json", picture)[1])["predictions"][0]["top"]) == 5
    accuracy = json.loads(call(f"evaluate --run {run.name} --json")[1])["accuracy"]
    assert accuracy == pytest.approx(run.best["val_accuracy"])
    (listed,) = json.loads(call("runs --json")[1])["runs"]
    assert (listed["model"], listed["depth"], listed["num_heads"]) == ("cnn", None, None)
    assert [speed.network for speed in speeds.measured_speeds("cpu")] == ["cnn"]  # it tells nothing of a ViT
    for method in ("raw", "rollout"):
        status, _, err = call(f"attention --run {run.name} --method {method}", picture, "--out", tmp_path / "maps.npz")
        assert (status, err.count("\n")) == (2, 1)
        assert "Grad-CAM" in err


FEW = "--image-size 32 --train-images 55 --val-images 20 --threads 1 --epochs 1"


def test_a_mended_course_network_trains_by_the_course_recipe(home, call):
    status, out, err = call(
        f"train --model reference --mended projection,mlp --recipe course --json {FEW} --run mended"
    )
    assert status == 0, err
    assert json.loads(out)["state"] == "finished"
    run = runs.get_run("mended")
    assert run.config.model == ReferenceConfig(image_size=32, mended=("projection", "mlp"))
    changed = {"epochs": 1, "threads": 1}
    assert run.config.training == RECIPES["course"].model_copy(update=changed)
    assert run.status.steps_total == run.status.step == 3  # 55 images: three whole batches of 16
    accuracy = json.loads(call("evaluate --run mended --json")[1])["accuracy"]
    assert 0 <= accuracy <= 1


def test_the_residual_cnn_trains_by_the_standard_recipe(home, call):
    status, out, err = call(f"train --model cnn-residual --json {FEW}")
    assert status == 0, err
    run = runs.get_run(json.loads(out)["run"])
    assert run.name == "scenes-cnn-residual"
    assert run.config.model == CNNConfig(image_size=32, residual=True)
    assert run.config.training == TrainingConfig(epochs=1, threads=1)
    assert run.status.steps_total == run.status.step == 1
    accuracy = json.loads(call(f"evaluate --run {run.name} --json")[1])["accuracy"]
    assert accuracy == pytest.approx(run.best["val_accuracy"])


def test_a_flag_changes_one_setting_of_a_recipe(home, call):
    assert call(f"train --model cnn --recipe course --lr 0.001 --no-drop-last --keep last {FEW} --run a")[0] == 0
    changed = {"epochs": 1, "threads": 1, "lr": 1e-3, "drop_last": False, "keep": "last"}
    assert runs.get_run("a").config.training == RECIPES["course"].model_copy(update=changed)
    assert runs.get_run("a").status.steps_total == 4


def test_runs_lists_all_runs_and_reports_broken_ones(several, call):
    (checkpoints_dir() / "tiny-deep" / "config.json").write_text("{")
    status, out, err = call("runs --json")
    result = json.loads(out)
    assert status == 0
    assert {it["run"]: it["state"] for it in result["runs"]} == {"tiny": "finished", "tiny-mean": "finished"}
    assert [it["run"] for it in result["broken"]] == ["tiny-deep"]
    assert "tiny-deep" in err
    assert json.loads(call("stop --run tiny --json")[1] or "{}") == {}


def test_data_prepares_the_cache_and_counts_the_images(home, call, photo_zip):
    status, out, _ = call("data --json --image-size 32 --dataset", photo_zip)
    assert status == 0
    result = json.loads(out)
    assert result["class_names"] == ["green", "red"]
    assert (result["train_images"], result["val_images"], result["skipped"]) == (48, 16, 0)
    from vit.data import load

    config = DataConfig(source=str(photo_zip), image_size=32)
    assert len(load(config, progress=lambda done, total: None).train) == 48


def test_a_stopped_run_is_resumed_to_its_end(trained, call):
    run = runs.get_run("tiny")
    config = run.config
    runs.write_config(
        run.path, config.model_copy(update={"training": config.training.model_copy(update={"epochs": 3})})
    )
    runs.update_status(run.path, state="stopped")
    status, out, _ = call("resume --run tiny --json")
    assert status == 0
    assert (json.loads(out)["state"], json.loads(out)["epochs"]) == ("finished", 3)
    assert [line["epoch"] for line in run.metrics()[0] if line["event"] == "epoch"] == [1, 2, 3]


def test_train_tells_what_it_left_out_and_fails_when_that_is_most(home, call, tmp_path):
    for index in range(40):
        path = tmp_path / "pets" / ("cat", "dog")[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if index < 12:
            Image.fromarray(np.random.default_rng(index).integers(0, 255, (32, 32, 3), np.uint8)).save(path)
        else:
            path.write_bytes(b"no image")
    line = f"train --dataset {tmp_path / 'pets'} --depth 1 --num-heads 1 --embed-dim 16 --image-size 32 --epochs 1"
    status, _, errors = call(f"{line} --data-seed 1 --run one")
    assert status == 2
    assert "28 files are left out:" in errors
    assert errors.count("not an image that can be read") == 6  # five reasons, and the error
    assert "28 of the 40 files cannot be read as images" in errors
    assert not (checkpoints_dir() / "one").exists()
    status, _, errors = call(f"{line} --data-seed 1 --allow-unreadable --run one")
    assert (status, runs.get_run("one").state) == (0, "finished")
    assert "28 files are left out:" in errors
