"""Runs as zips: packed runs come back unchanged, and untrusted zips are checked."""

import io
import json
import resource
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import tiny_config
from tests.helpers.dependence import measured
from vit import data, runs
from vit.config import CNNConfig, ReferenceConfig
from vit.errors import RunError
from vit.evaluation import evaluate
from vit.exports import run_zip
from vit.paths import checkpoints_dir
from vit.runs import Run, weights
from vit.runs.dependence import read_dependence, write_dependence


@pytest.fixture
def run(trained) -> Run:
    return runs.find_run("tiny")


def packed(run: Run, **options: bool) -> io.BytesIO:
    file = io.BytesIO()
    run_zip.pack(run, file, **options)
    return file


def altered(run: Run, files: dict[str, bytes | None], **options: bool) -> io.BytesIO:
    """Return the packed run with some files replaced, added, or removed (None)."""
    content = {}
    with zipfile.ZipFile(packed(run, **options)) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content |= {f"{run.name}/{name}": value for name, value in files.items()}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in content.items():
            if value is not None:
                archive.writestr(name, value)
    return file


def refused(file: io.BytesIO | Path, sentence: str, name: str | None = None) -> None:
    """Check that the zip is refused with one sentence, and nothing is left behind."""
    before = sorted(checkpoints_dir().iterdir())
    with pytest.raises(RunError, match=sentence) as error:
        run_zip.unpack(file, name)
    assert "\n" not in str(error.value)
    assert sorted(checkpoints_dir().iterdir()) == before


def test_an_unpacked_run_has_equal_weights_and_an_equal_evaluation(run):
    again = run_zip.unpack(packed(run), "again")
    assert again.config == run.config
    assert again.metrics()[0] == run.metrics()[0]
    assert (again.best, again.snapshots, again.state) == (run.best, run.snapshots, "finished")
    (model, info), (other, other_info) = weights.load_checkpoint(run.path), weights.load_checkpoint(again.path)
    assert info == other_info
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], tensor, rtol=0, atol=0)
    split = data.load(run.config.data, splits=("val",)).val
    results = [evaluate(it, info, split).probabilities for it in (model, other)]
    np.testing.assert_array_equal(*results)


def test_a_zip_contains_the_requested_files_and_never_the_lock(run):
    (run.path / runs.LOCK).touch()
    (run.path / runs.LOG).touch()

    def names(**options: bool) -> set[str]:
        return {name.removeprefix("tiny/") for name in zipfile.ZipFile(packed(run, **options)).namelist()}

    few = {"config.json", "status.json", "metrics.jsonl", "model.safetensors"}
    assert names(snapshots=False) == few
    assert names() == few | {"snapshots/00001.safetensors", "snapshots/00002.safetensors"}
    assert names(snapshots=False, resume=True) == few | {"last.safetensors"}


def test_the_attention_dependence_travels_with_the_run_unless_it_is_damaged(run):
    found = measured()
    write_dependence(run.path, found)
    assert read_dependence(run_zip.unpack(packed(run), "again")) == found
    (run.path / runs.DEPENDENCE).write_text("{")
    assert not (run_zip.unpack(packed(run), "third").path / runs.DEPENDENCE).exists()


def test_a_run_packed_with_its_position_can_be_resumed(run):
    from vit import jobs

    again = run_zip.unpack(packed(run, resume=True), "again")
    recipe = again.config.training.model_copy(update={"epochs": 3})
    runs.write_config(again.path, again.config.model_copy(update={"training": recipe}))
    runs.update_status(again.path, state="stopped")
    jobs.prepare_resume(again)
    assert jobs.execute(again, resume=True).state == "finished"
    assert [line["epoch"] for line in again.metrics()[0] if line["event"] == "epoch"] == [1, 2, 3]


@pytest.mark.parametrize("model", [ReferenceConfig(image_size=32, embed_dim=16), CNNConfig(image_size=32)])
def test_every_kind_of_network_is_recognised(home, model):
    from vit.networks import build_model

    run = runs.create("other", tiny_config().model_copy(update={"model": model}))
    weights.save_model(run.path, build_model(model).state_dict(), {"epoch": 1})
    runs.update_status(run.path, state="stopped")
    assert run_zip.unpack(packed(run)).has_weights


def test_a_run_without_a_name_gets_the_next_free_one_and_a_taken_name_is_refused(run, tmp_path):
    assert run_zip.unpack(packed(run)).name == "tiny-2"
    assert run_zip.unpack(packed(run)).name == "tiny-3"
    refused(packed(run), "such as 'tiny-4'", "tiny")
    refused(packed(run), "cannot be called", "../tiny")
    with zipfile.ZipFile(tmp_path / "Mine & yours (1).zip", "w") as archive:  # a zip without a folder
        archive.write(run.path / runs.CONFIG, runs.CONFIG)
    assert run_zip.unpack(tmp_path / "Mine & yours (1).zip").name == "mine-yours-1"


def test_a_zip_repacked_on_a_mac_is_accepted(run):
    extra = {"../__MACOSX/tiny/._config.json": b"x", ".DS_Store": b"x", "log.txt": b"hello", ".lock": b""}
    file = altered(run, {})
    with zipfile.ZipFile(file, "a") as archive:
        for name, value in extra.items():
            archive.writestr(name.removeprefix("../") if name.startswith("..") else f"tiny/{name}", value)
    again = run_zip.unpack(file)
    assert not (again.path / ".lock").exists()
    assert again.log() == ""


@pytest.mark.parametrize("state", runs.ACTIVE)
def test_a_run_packed_during_training_is_stopped_after_unpacking(run, state):
    status = runs.read_status(run.path).model_copy(update={"state": state, "pid": 1, "ticket": 2**60})
    again = run_zip.unpack(altered(run, {"status.json": status.model_dump_json().encode()}))
    assert (again.state, again.status.pid) == ("stopped", None)
    assert "2 complete epochs" in again.status.message


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("../evil.json", "outside its folder"),
        ("/etc/evil", "not a file of a run"),
        ("tool.exe", "not a file of a run"),
        ("snapshots/1.safetensors", "not a file of a run"),
        ("more/config.json", "not a file of a run"),
        ("snapshots/inner.zip", "another archive"),
    ],
)
def test_an_unknown_file_is_refused(run, name, sentence):
    refused(altered(run, {name: b"x"}), sentence)


def test_links_and_duplicate_names_are_refused(run):
    file = packed(run)
    with zipfile.ZipFile(file, "a") as archive:
        info = zipfile.ZipInfo("tiny/attention.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    refused(file, "a link")
    file = packed(run)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(file, "a") as archive:
        archive.writestr("tiny/config.json", "{}")
    refused(file, "two files of the same name")


def test_other_files_are_refused(run, tmp_path):
    (tmp_path / "letter.zip").write_text("Dear sir or madam")
    refused(tmp_path / "letter.zip", "letter.zip is not a zip file.*Runs page")
    refused(altered(run, {"config.json": None}), "no config.json")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(200):
            archive.writestr(f"tiny/{number}", b"")
    refused(file, "200 files, but at most 120 are allowed")


def test_a_zip_bomb_is_refused_during_expansion(run, monkeypatch):
    monkeypatch.setattr(run_zip, "RATIO_FREE_BYTES", 2**20)
    refused(altered(run, {"metrics.jsonl": bytes(64 * 2**20)}), "over 100 times its size")
    monkeypatch.setattr(run_zip, "BYTES_MAX", 10_000)
    refused(packed(run), "expands to more than")


EPOCH = {"event": "epoch", "epoch": 1, "step": 3, "lr": 0.1, "seconds": 1.0, "train_loss": 1.0, "val_loss": 1.0}


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("config.json", b'{"model": {"architecture": "vit", "depth": 0}}', "depth = '0' is not possible"),
        ("config.json", b"[" * 100_000, "not JSON|not possible"),
        ("config.json", b" " * (3 * 2**20), "config.json is too long"),
        ("config.json", b'{"data": {"source": "~nobody-at-all/x"}}', "data set has a name"),
        ("config.json", b'{"data": {"source": "a\\u0000b"}}', "data set has a name"),
        ("status.json", b'{"state": "asleep"}', "state = 'asleep'"),
        ("status.json", b'{"state": "finished", "validated": true, "best": {"epoch": 1}}', "best epoch"),
        ("metrics.jsonl", b'{"event":"step","step":1}\n', "line 1 of its metrics.jsonl"),
        ("metrics.jsonl", json.dumps(EPOCH | {"train_accuracy": 1, "val_accuracy": "high"}).encode(), "line 1"),
        ("metrics.jsonl", json.dumps(EPOCH | {"train_accuracy": 1, "val_accuracy": float("nan")}).encode(), "line 1"),
        ("metrics.jsonl", b"[" * 1_000_000, "line 1"),
        ("model.safetensors", b"\xff" * 100, "model.safetensors is damaged"),
        ("model.safetensors", b"", "model.safetensors is damaged"),
        ("snapshots/00001.safetensors", b"\x80\x04.", "00001.safetensors is damaged"),
        ("attention.png", b"<svg onload='alert(1)'>", "attention.png is not an image"),
        ("dependence.json", b'{"images": "<b>"}', "not possible"),
        ("dependence.json", measured(depth=3).model_dump_json().encode(), "does not fit the network"),
    ],
)
def test_an_invalid_file_is_named_in_the_error(run, name, content, sentence):
    refused(altered(run, {name: content}), sentence)


def test_settings_of_a_huge_network_allocate_no_memory(run):
    """The course network with half a billion parameters (two gigabytes) is refused by its shapes."""
    model = ReferenceConfig(image_size=64, patch_size=8, num_heads=1, depth=1)
    images = run.config.data.model_copy(update={"image_size": 64})
    config = run.config.model_copy(update={"model": model, "data": images})
    file = altered(run, {"config.json": config.model_dump_json().encode()})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(file, "does not fit the network")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kilobytes


def test_weights_and_positions_of_another_network_are_refused(run, several_weights):
    refused(altered(run, {"model.safetensors": several_weights}), "model.safetensors does not fit")
    refused(altered(run, {"snapshots/00001.safetensors": several_weights}), "00001.safetensors does not fit")
    refused(
        altered(run, {"last.safetensors": several_weights}, resume=True), "last.safetensors does not hold what a resume"
    )


@pytest.fixture
def several_weights(workshop) -> bytes:
    """The weights of a run of another depth."""
    return (workshop / "checkpoints" / "tiny-deep" / "model.safetensors").read_bytes()


def test_only_numbers_of_the_metrics_are_kept(run):
    lines = run.metrics()[0]
    lines[0] |= {"note": "<script>", "more": {"deep": 1}}
    text = "".join(json.dumps(line) + "\n" for line in lines)
    again = run_zip.unpack(altered(run, {"metrics.jsonl": text.encode()}))
    assert again.metrics()[0] == run.metrics()[0]


def safetensors(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_the_header_of_weights_is_checked_before_they_are_read(run, several_weights, monkeypatch):
    size = int.from_bytes(several_weights[:8], "little")
    monkeypatch.setattr(run_zip, "_HEADER_BYTES_MAX", 100_000)
    for content in (
        safetensors(b"{" + b" " * 200_000 + b"}"),  # longer than the header of any network
        (2**62).to_bytes(8, "little") + several_weights[8:],
        several_weights[: 8 + size],  # header without the tensors
        safetensors({"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 4]}}, bytes(4)),
        safetensors({"x": {"dtype": "F32", "shape": [1], "data_offsets": [2**62, 4]}}, bytes(4)),
        safetensors(b'{"__metadata__":{"a":"' + b"[" * 50_000 + b'"}}'),
    ):
        refused(altered(run, {"model.safetensors": content}), r"model\.safetensors is (damaged|too long)")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(run, number):
    from safetensors.torch import load, save

    tensors = load((run.path / runs.MODEL).read_bytes())
    tensors["head.bias"][0] = number
    refused(altered(run, {"model.safetensors": save(tensors)}), "weights that are not finite")


def test_weights_of_another_dtype_are_refused(run):
    from safetensors.torch import load, save

    tensors = {name: value.to(torch.uint8) for name, value in load((run.path / runs.MODEL).read_bytes()).items()}
    refused(altered(run, {"model.safetensors": save(tensors)}), "does not fit the network")


def test_metadata_of_weights_must_be_numbers(run):
    from safetensors.torch import load, save

    tensors = load((run.path / runs.MODEL).read_bytes())
    for value in ('"<script>"', "[1]", "NaN", "{"):
        content = save(tensors, metadata={"epoch": value})
        refused(altered(run, {"model.safetensors": content}), "are not numbers|damaged")


def test_too_many_weights_are_refused_during_expansion(run):
    content = (run.path / runs.MODEL).read_bytes() + bytes(8 * 2**20)
    refused(altered(run, {"model.safetensors": content}), r"model\.safetensors is too long")


def test_a_zip_neither_contains_nor_sets_an_owner(run):
    mine = run.config.model_copy(update={"owner": "a" * 32})
    again = run_zip.unpack(altered(run, {"config.json": mine.model_dump_json().encode()}))
    assert again.config.owner == ""
    runs.write_config(run.path, mine)
    assert b"a" * 32 not in packed(run).getvalue()
    with zipfile.ZipFile(packed(run)) as archive:
        assert b"a" * 32 not in archive.read("tiny/config.json")


def test_only_the_last_of_duplicate_json_keys_is_kept(run):
    text = run.config.model_dump_json().encode()
    again = run_zip.unpack(altered(run, {"config.json": b'{"owner": "<script>", ' + text[1:]}))
    assert b"<script>" not in (again.path / runs.CONFIG).read_bytes()


@pytest.mark.parametrize(
    "changes", [{"started": 1e300}, {"ended": -5.0}, {"step": 10**40}, {"epoch": -1}, {"steps_total": 10**400}]
)
def test_impossible_times_and_steps_are_refused(run, changes):
    status = json.loads(runs.read_status(run.path).model_dump_json()) | changes
    refused(altered(run, {"status.json": json.dumps(status).encode()}), "status.json|not possible")


def test_an_impossible_date_is_removed(run):
    for text in ("9999-12-31T23:59:59+00:00", "0001-01-01", "<b>now</b>"):
        config = run.config.model_copy(update={"created": text})
        assert run_zip.unpack(altered(run, {"config.json": config.model_dump_json().encode()})).config.created == ""


def test_only_the_pixels_of_a_picture_are_kept(run):
    from tests.helpers.hostile import encoded, pixels

    picture = encoded(Image.fromarray(pixels(0)), "GIF", comment=b"<script>alert(1)</script>")
    again = run_zip.unpack(altered(run, {"attention.png": picture}))
    content = (again.path / "attention.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert b"script" not in content
