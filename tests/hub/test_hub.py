"""Folders for the Hugging Face hub: loading with timm and the mixin, the model card, pushing."""

import base64
import io
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import yaml
from huggingface_hub import ModelCard
from PIL import Image

from tests.conftest import tiny_config
from tests.helpers.dependence import LOW
from tests.helpers.foreign_names import ANY_NAMES, SOURCE
from vit import hub, runs
from vit.config import CNNConfig, DataConfig, ReferenceConfig, RunConfig, ViTConfig
from vit.data import title
from vit.data.files import preparation
from vit.errors import RunError, SettingsError, UserError
from vit.hub.card import Card
from vit.hub.models import HubCNN, HubReferenceViT, HubViT
from vit.networks import build_model
from vit.runs import Run
from vit.runs.dependence import Dependence, write_dependence
from vit.runs.privacy import without_private_settings
from vit.runs.weights import load_checkpoint, save_model
from vit.support.untrusted_text import shown

TINY = {"image_size": 32, "patch_size": 8, "embed_dim": 16, "num_heads": 2, "depth": 2}
GAP = {"class_token": False, "pool": "mean", "reg_tokens": 2, "no_embed_class": True, "pre_norm": True, "fc_norm": True}
LOADABLE = {
    "class-token": ViTConfig(**TINY, stem="patch", pool="cls", init_values=0.1, mlp_ratio=2.3),
    "mean": ViTConfig(**TINY, stem="patch", act_layer="gelu_tanh"),
    "clip": ViTConfig(**TINY, **GAP, stem="patch", qkv_bias=False, act_layer="quick_gelu", norm_eps=1e-5),
    "features": ViTConfig(**TINY, stem="patch", pool="cls", reg_tokens=1, num_classes=0),
}
OTHERS = {
    "conv": (ViTConfig(**TINY), HubViT, "small convolutions"),
    "course": (ReferenceConfig(**TINY | {"patch_size": 16}), HubReferenceViT, "course network"),
    "cnn": (CNNConfig(image_size=32), HubCNN, "convolutional network"),
    "epsilon": (ViTConfig(**TINY, stem="patch", norm_eps=1e-3), HubViT, "an epsilon of 0.001"),
}


def made(name: str, model, **data) -> Run:
    """Create a run with large random weights and a missing data set."""
    settings = {"source": "/home/somebody/photos.zip", "image_size": 32, "mean": (0.1, 0.2, 0.3), "crop_pct": 0.9}
    run = runs.create(name, RunConfig(model=model, data=DataConfig(**settings | data), owner="a" * 32))
    weights = build_model(model, seed=0)
    with torch.no_grad():
        for tensor in weights.parameters():
            tensor.mul_(2).add_(0.01)
    save_model(run.path, weights.state_dict(), {"epoch": 3, "validated": False})
    runs.update_status(run.path, state="finished")
    return run


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("kind", LOADABLE)
def test_timm_and_the_mixin_load_one_folder_with_equal_logits(home, kind):
    run, folder = made(kind, LOADABLE[kind]), home / "out"
    hub.write_folder(run, folder)
    expected = logits(load_checkpoint(run.path)[0])
    theirs = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    torch.testing.assert_close(logits(theirs), expected, atol=1e-5, rtol=1e-5)
    ours = HubViT.from_pretrained(folder)
    torch.testing.assert_close(logits(ours), expected, atol=0, rtol=0)
    assert ours.run.model == run.config.model
    data = timm.data.resolve_model_data_config(theirs)
    assert (tuple(data["mean"]), data["crop_pct"], data["interpolation"]) == ((0.1, 0.2, 0.3), 0.9, "bicubic")
    assert tuple(data["input_size"]) == (3, 32, 32)
    assert "timm loads it" in hub.timm_words(run)


@pytest.mark.parametrize("kind", OTHERS)
def test_networks_unknown_to_timm_say_so_and_load_with_the_mixin(home, kind):
    model, network, reason = OTHERS[kind]
    run, folder = made(kind, model), home / "out"
    hub.write_folder(run, folder)
    assert reason in hub.timm_words(run)
    assert "architecture" not in json.loads((folder / "config.json").read_text())
    card = ModelCard.load(folder / "README.md")
    assert card.data.library_name == "pytorch"
    assert "timm cannot load it" in card.text
    assert preparation.sentence(run.config.data) in card.text
    assert f"{network.__name__}.from_pretrained" in card.text
    torch.testing.assert_close(logits(network.from_pretrained(folder)), logits(load_checkpoint(run.path)[0]))


def test_the_mixin_saves_the_same_folder_except_for_measurements(home):
    run = made("mean", LOADABLE["mean"])
    hub.write_folder(run, home / "out")
    model = HubViT.of_run(run)
    model.save_pretrained(home / "again")
    ours, again = (json.loads((home / folder / "config.json").read_text()) for folder in ("out", "again"))
    assert again["run"].pop("data") == ours["run"].pop("data")
    assert again["pretrained_cfg"] == ours["pretrained_cfg"]
    theirs = timm.create_model(f"local-dir:{home / 'again'}", pretrained=True).eval()
    torch.testing.assert_close(logits(theirs), logits(model), atol=1e-5, rtol=1e-5)
    assert "timm.create_model" in (home / "again" / "README.md").read_text()


def test_a_folder_with_other_weights_or_a_pickle_or_another_network_is_refused(home):
    hub.write_folder(made("mean", LOADABLE["mean"]), home / "out")
    hub.write_folder(made("other", ViTConfig(**TINY | {"depth": 1}, stem="patch")), home / "other")
    with pytest.raises(RunError, match="open it with HubViT"):
        HubCNN.from_pretrained(home / "out")
    (home / "out" / "model.safetensors").write_bytes((home / "other" / "model.safetensors").read_bytes())
    with pytest.raises(RuntimeError, match="Missing key"):
        HubViT.from_pretrained(home / "out")
    with pytest.raises(RunError, match="pickle is not opened"):
        HubViT._load_as_pickle(None, "pytorch_model.bin", "cpu", True)


def test_a_card_contains_the_measurements(trained):
    run = runs.find_run("tiny")
    Image.new("RGB", (30, 20), "red").save(run.path / "attention.png")
    write_dependence(run.path, LOW)
    hub.write_folder(run, trained / "out")
    assert {path.name for path in (trained / "out").iterdir()} == set(hub.FILES)
    card = ModelCard.load(trained / "out" / "README.md")
    [result] = card.data.eval_results
    assert (result.metric_type, result.metric_value) == ("accuracy", round(run.best["val_accuracy"], 4))
    assert "60 training and 30 validation images" in card.text
    assert "5 classes, in the order of the logits: airplane, bus, cat, dog, pizza." in card.text
    rows = re.findall(r"^\| (?:airplane|bus|cat|dog|pizza) \| ((?:\d+ \| ?)+)$", card.text, re.MULTILINE)
    counts = np.array([[int(cell) for cell in row.split("|") if cell.strip()] for row in rows])
    assert counts.shape == (5, 5)
    assert counts.trace() / counts.sum() == pytest.approx(run.best["val_accuracy"])
    for name in ("curves.png", "confusion.png", "attention.png"):
        assert f"]({name})" in card.text
        with Image.open(trained / "out" / name) as picture:
            assert picture.format == "PNG"
    assert f"**{LOW.warning}**" in card.text
    assert Dependence.from_json((trained / "out" / runs.DEPENDENCE).read_bytes()) == LOW
    assert "| Learning rate | 0\\.002 |" in card.text
    assert "torch" in card.text.partition("## Environment")[2]


def test_names_are_escaped_in_the_card(home):
    names = tuple(name for name in ANY_NAMES if name.strip())
    run = made("named", ViTConfig(**TINY, stem="patch", num_classes=len(names)), source=SOURCE, class_names=names)
    files = hub.contents(run)
    text = files["README.md"].decode()
    front, body = text.removeprefix("---\n").split("---\n", 1)
    assert yaml.safe_load(front)["datasets"] == [shown(title(without_private_settings(run.config).data.source), 40)]
    assert set(yaml.safe_load(front)) == {"library_name", "pipeline_tag", "tags", "datasets"}
    prose = re.sub(
        r"^(```+).*?^\1$", "", body, flags=re.MULTILINE | re.DOTALL
    )  # code blocks show their content unchanged
    assert not re.search(r"<\w", prose)
    assert not re.search(r"(?<!\\)\]\((?!https://huggingface\.co/docs/timm|\w+\.png)", prose)
    assert not re.search(r"(?<!\\):(?=[\w/])", prose.replace("https:", ""))
    assert "/gone" not in text
    assert json.loads(files["config.json"])["label_names"] == list(names)


@pytest.mark.parametrize("name", ANY_NAMES, ids=range(len(ANY_NAMES)))
def test_any_name_is_text_in_the_metadata(name):
    config = RunConfig(model=ViTConfig(**TINY), data=DataConfig(source=name, image_size=32))
    card = ModelCard(str(Card(name, config, best={"epoch": 1, "val_accuracy": 0.5}).model_card()))
    [result] = card.data.eval_results
    assert card.data.model_name == shown(name)
    assert card.data.datasets == [result.dataset_name] == [shown(title(name), 40)]
    assert (result.metric_value, result.dataset_split) == (0.5, "validation")
    metadata = {"library_name", "pipeline_tag", "tags", "datasets", "metrics", "model-index"}
    assert set(card.data.to_dict()) == metadata


def test_a_folder_contains_neither_the_owner_nor_the_path_of_the_images(home):
    files = hub.contents(made("mean", LOADABLE["mean"], class_names=tuple("abcde")))
    everything = b"".join(files.values())
    assert b"somebody" not in everything
    assert b"a" * 32 not in everything
    assert b"photos.zip" in files["config.json"]


@pytest.mark.parametrize("classes", [2, 40])
def test_a_matrix_of_any_size_is_drawn(classes):
    from vit.hub.drawing import confusions

    matrix = np.arange(classes**2).reshape(classes, classes)
    picture = confusions(matrix, ["w" * 300, "<b>", *map(str, range(classes - 2))])
    assert picture.width == picture.height <= 900


def test_a_folder_with_other_files_is_not_changed(home):
    run = made("mean", LOADABLE["mean"])
    with pytest.raises(RunError, match=r"status\.json.*choose a new folder"):
        hub.write_folder(run, run.path)
    (home / "file").write_text("x")
    with pytest.raises(RunError, match="cannot be written"):
        hub.write_folder(run, home / "file")
    for _ in range(2):  # an earlier export is replaced
        hub.write_folder(run, home / "out")
    assert not list((home / "out").glob(".*"))


# Pushing: the hub's own client speaks to a small server that stands for the hub


class _Hub(BaseHTTPRequestHandler):
    """Answers a push of small files like the API of the hub."""

    def do_GET(self) -> None:
        self._answer({"id": "me/tiny", "sha": "0" * 40, "siblings": []})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, self.headers["Authorization"]))
        if self.server.status != 200:
            self._answer({"error": "Not you"})
        elif self.path == "/api/repos/create":
            self._answer({"url": f"http://{self.headers['Host']}/me/tiny", "id": "1", "name": "me/tiny"})
        elif "/preupload/" in self.path:
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            self._answer({"files": files})
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self._answer(
                {"commitUrl": f"http://{self.headers['Host']}/me/tiny/commit/1", "commitOid": "1", "success": True}
            )
        else:
            self._answer({"errors": [], "warnings": []})  # the check of the card's metadata

    def _answer(self, content: dict) -> None:
        data = json.dumps(content).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch) -> Iterator[HTTPServer]:
    import huggingface_hub

    found = HTTPServer(("127.0.0.1", 0), _Hub)
    found.status, found.asked, found.files = 200, [], {}
    threading.Thread(target=found.serve_forever, daemon=True).start()
    place(monkeypatch, f"http://127.0.0.1:{found.server_port}")
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    yield found
    found.shutdown()
    found.server_close()


def place(monkeypatch, endpoint: str) -> None:
    """Point the hub's client to a local server."""
    import huggingface_hub

    client = huggingface_hub.HfApi
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda **settings: client(endpoint=endpoint, **settings))


def test_a_push_uploads_every_file_with_the_token(home, server):
    run = made("mean", LOADABLE["mean"])
    assert hub.push(run, "me/tiny", token="hf_secret") == f"http://127.0.0.1:{server.server_port}/me/tiny"
    assert {token for _, token in server.asked} == {"Bearer hf_secret"}
    expected = hub.contents(run, repo="me/tiny")
    assert server.files == expected
    assert b'"hf-hub:me/tiny"' in expected["README.md"]


@pytest.mark.parametrize(("status", "sentence"), [(401, "does not know your token"), (403, "no permission to write")])
def test_a_refused_push_is_one_sentence_without_the_token(home, server, status, sentence):
    server.status = status
    with pytest.raises(UserError, match=sentence) as error:
        hub.push(made("mean", LOADABLE["mean"]), "me/tiny", token="hf_secret")
    assert "secret" not in str(error.value)
    assert error.value.__cause__ is None


def test_a_push_without_a_token_or_a_connection_is_one_sentence(home, server, monkeypatch):
    run = made("mean", LOADABLE["mean"])
    with pytest.raises(UserError, match="hf auth login"):
        hub.push(run, "me/tiny")
    for repo in ("tiny", "a/b/c", "../x", "me/ti ny", "me/<b>", "/x", "x/"):
        with pytest.raises(SettingsError, match="use USER/NAME"):
            hub.push(run, repo, token="hf_secret")
    place(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(UserError, match="cannot be reached"):
        hub.push(run, "me/tiny", token="hf_secret")


def test_a_zip_contains_the_same_files(home):
    import zipfile

    run, file = made("mean", LOADABLE["mean"]), io.BytesIO()
    hub.write_zip(run, file)
    with zipfile.ZipFile(file) as archive:
        assert {name: archive.read(f"mean/{name}") for name in hub.contents(run)} == hub.contents(run)


def test_a_run_without_weights_is_refused_with_one_sentence(home):
    with pytest.raises(RunError, match="train it first"):
        hub.write_folder(runs.create("new", tiny_config()), Path(home) / "out")
    assert not (home / "out").exists()
