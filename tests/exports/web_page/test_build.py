"""The file of a page: hostile names stay text, nothing private is in it, and the runtime is the one that is stated."""

import base64
import gzip
import hashlib
import io
import json
import tarfile
from html.parser import HTMLParser

import numpy as np
import pytest

from tests.conftest import tiny_config
from vit import runs
from vit.data import load
from vit.errors import RunError, SettingsError
from vit.exports import formats, web_page
from vit.exports.web_page import build, export_web_page, network, read_manifest, runtime, samples, vendor
from vit.networks import build_model
from vit.runs.weights import save_model

HOSTILE = "</script><img src=x onerror=alert(1)><!--<script>"


class Reader(HTMLParser):
    """The elements of a page, and the text of its scripts."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.texts: dict[str, str] = {}
        self.feed(page.decode())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        if self.tags:
            tag, attributes = self.tags[-1]
            self.texts[attributes.get("id", tag)] = self.texts.get(attributes.get("id", tag), "") + data


@pytest.fixture
def converted(monkeypatch):
    """Without the conversion to ONNX, which takes seconds and is tested elsewhere."""
    found = network.Difference(2, 0.001, 0.002, 0, classes=True)
    monkeypatch.setattr(network, "export", lambda model, info, weights: b"onnx of " + weights.encode())
    monkeypatch.setattr(network, "measure", lambda content, model, images: found)


def test_hostile_names_stay_text(tmp_path):
    manifest = {"title": HOSTILE, "class_names": [HOSTILE, '\u2028 & "', "חתול"]}
    page = build.build(manifest, b"onnx")
    found = Reader(page)
    expected = Reader(build.build({"title": "run", "class_names": []}, b"onnx"))
    assert found.tags == expected.tags
    assert found.texts["title"].strip() == HOSTILE
    assert json.loads(found.texts["manifest"]) == manifest
    (tmp_path / "page.html").write_bytes(page)
    assert read_manifest(tmp_path / "page.html") == manifest


def test_the_policy_allows_no_connection_and_no_script_but_its_own():
    found = Reader(build.build({"title": "run"}, b"onnx"))
    [policy] = [tag["content"] for name, tag in found.tags if tag.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["connect-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert "'unsafe-inline'" not in rules["script-src"]
    assert "'unsafe-eval'" not in rules["script-src"].replace("'wasm-unsafe-eval'", "")
    assert not [source for source in policy.split() if "://" in source or source == "*"]
    links = [value for _, tag in found.tags for name, value in tag.items() if name in ("src", "href")]
    assert all(link.startswith(("data:", "#")) for link in links)


def test_network_runtime_and_licences_are_in_the_page(trained, converted):
    page = export_web_page(runs.find_run("tiny"), weights="float16", samples=3)
    found = Reader(page.content)
    unpacked = {
        name: gzip.decompress(base64.b64decode(found.texts[name])) for name in ("network", "runtime-wasm", "licences")
    }
    assert unpacked["network"] == b"onnx of float16"
    assert hashlib.sha256(unpacked["runtime-wasm"]).hexdigest() == runtime.FILES[runtime.BUILDS["wasm"].wasm]
    assert b"MIT License" in unpacked["licences"]
    assert "runtime-webgpu" not in found.texts
    manifest = json.loads(found.texts["manifest"])
    assert manifest["title"] == "tiny"
    assert [sample["label"] for sample in manifest["samples"]] == ["airplane", "bus", "cat"]
    assert all(sample["licence"] and sample["src"].startswith("data:image/png") for sample in manifest["samples"])
    assert np.sum(manifest["card"]["confusion_matrix"]) == 30
    assert manifest["weights"]["type"] == "float16"
    assert page.words == manifest["weights"]["sentence"]
    assert str(trained) not in page.content.decode()


def test_a_large_network_gets_the_runtime_for_webgpu(trained, converted, monkeypatch):
    monkeypatch.setattr(web_page, "WEBGPU_FLOPS", 0)
    found = Reader(export_web_page(runs.find_run("tiny"), samples=0).content)
    content = gzip.decompress(base64.b64decode(found.texts["runtime-webgpu"]))
    assert hashlib.sha256(content).hexdigest() == runtime.FILES[runtime.BUILDS["webgpu"].wasm]


def test_own_images_stay_on_the_machine_unless_they_are_asked_for(trained, converted, photo_zip):
    config = tiny_config()
    changes = {"source": str(photo_zip), "class_names": ("green", "red"), "train_images": None, "val_images": None}
    data = config.data.model_copy(update=changes)
    model = config.model.model_copy(update={"num_classes": 2})
    run = runs.create("own", config.model_copy(update={"data": data, "model": model}))
    save_model(run.path, build_model(model, seed=0).state_dict(), {"epoch": 1})
    assert web_page.default_samples(run) == 0
    assert web_page.default_samples(runs.find_run("tiny")) == samples.SAMPLES
    content = export_web_page(run).content
    manifest = json.loads(Reader(content).texts["manifest"])
    assert manifest["samples"] == []
    assert str(photo_zip.parent) not in content.decode()
    load(data)  # decoded images are at hand
    given = json.loads(Reader(export_web_page(run, samples=2).content).texts["manifest"])["samples"]
    assert [sample["label"] for sample in given] == ["green", "red"]
    assert [sample["licence"] for sample in given] == ["", ""]


def test_what_is_not_possible_is_said(trained, converted, monkeypatch):
    run = runs.find_run("tiny")
    with pytest.raises(SettingsError, match="choose one of float32, float16, int8"):
        export_web_page(run, weights="int4")
    with pytest.raises(SettingsError, match="0 to 64 sample images, not 65"):
        export_web_page(run, samples=65)
    monkeypatch.setattr(samples, "load", lambda *_, **__: (_ for _ in ()).throw(RunError("gone")))
    with pytest.raises(RunError, match="sample images are not on this machine"):
        export_web_page(run, samples=1)
    assert json.loads(Reader(export_web_page(run).content).texts["manifest"])["samples"] == []
    monkeypatch.setattr(web_page, "BYTES_MAX", 1000)
    with pytest.raises(RunError, match="store the weights as float16 or int8"):
        export_web_page(run)


def test_a_made_page_is_found_again_with_its_options(trained, converted):
    run, options = runs.find_run("tiny"), {"weights": "int8", "samples": 1}
    path = formats.make(run, "web", lambda done, total: None, options)
    assert formats.find(run, "web", options) == path
    assert formats.find(run, "web", options | {"samples": 2}) is None
    assert read_manifest(path)["weights"]["type"] == "int8"
    assert formats.find(runs.rename(run, "other"), "web", options) is None  # the page shows the name


def test_a_changed_package_is_refused(tmp_path, monkeypatch):
    with tarfile.open(tmp_path / "package.tgz", "w:gz") as archive:
        for name in runtime.FILES:
            info = tarfile.TarInfo(f"package/dist/{name}")
            info.size = 5
            archive.addfile(info, io.BytesIO(b"other"))
    monkeypatch.setattr(vendor, "FOLDER", tmp_path / "runtime")
    with pytest.raises(ValueError, match="is not the file of version"):
        vendor.vendor(tmp_path / "package.tgz")
    assert not (tmp_path / "runtime").exists()


def test_the_vendored_files_are_those_of_the_stated_sums():
    for backend in runtime.BUILDS:
        names = runtime.BUILDS[backend]
        assert hashlib.sha256(runtime.module(backend)).hexdigest() == runtime.FILES[names.module]
        assert hashlib.sha256(gzip.decompress(runtime.wasm(backend))).hexdigest() == runtime.FILES[names.wasm]
        assert f"v{runtime.VERSION}".encode() in runtime.module(backend)
