"""The command ``export``: each form it makes, and one sentence for what cannot be."""

import json
import zipfile

import pytest
import timm
import torch

from vit import hub, runs
from vit.cli.main import main
from vit.errors import UserError
from vit.exports import onnx_file, run_zip
from vit.runs.weights import load_checkpoint


def exported(capsys, *flags: str) -> dict:
    assert main(["export", "--json", *flags]) == 0
    return json.loads(capsys.readouterr().out)


def test_timm_loads_the_exported_folder(several, capsys):
    out = several / "out"
    assert exported(capsys, "--run", "tiny-deep", "--out", str(out)) == {
        "run": "tiny-deep",
        "format": "hub",
        "out": str(out),
        "timm": True,
    }
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        theirs = timm.create_model(f"local-dir:{out}", pretrained=True).eval()(images)
        torch.testing.assert_close(theirs, load_checkpoint("tiny-deep")[0](images), atol=1e-5, rtol=1e-5)
    assert str(several) not in (out / "README.md").read_text()
    assert main(["open", str(out / "model.safetensors"), "--run", "back"]) == 0
    with torch.inference_mode():
        torch.testing.assert_close(load_checkpoint("back")[0](images), theirs, atol=1e-5, rtol=1e-5)
    assert load_checkpoint("back")[1].class_names == load_checkpoint("tiny-deep")[1].class_names
    capsys.readouterr()
    assert main(["export", "--run", "tiny", "--out", str(several / "conv")]) == 0
    assert "timm cannot load it: its patches are made by small convolutions" in capsys.readouterr().out


def test_onnx_with_attention(trained, capsys, monkeypatch):
    """The file itself is for ``tests/test_onnx.py``: translating takes seconds."""
    asked = []

    def to_onnx(model, info, *, attention, head_mask, say):
        asked.append((model.config, attention, head_mask))
        return onnx_file.Onnx(b"onnx", 1e-7)

    monkeypatch.setattr(onnx_file, "to_onnx", to_onnx)
    out = trained / "tiny.onnx"
    assert exported(capsys, "--run", "tiny", "--out", str(out), "--attention", "--head-mask")["difference"] == 1e-7
    assert asked == [(runs.find_run("tiny").config.model, True, True)]
    assert out.read_bytes() == b"onnx"
    assert main(["export", "--run", "tiny", "--out", str(out)]) == 0
    assert "differ by at most 1e-07" in capsys.readouterr().out
    assert asked[1][1:] == (False, False)


def test_a_zip_can_be_opened_by_another_explorer(trained, capsys):
    exported(capsys, "--run", "tiny", "--out", str(trained / "tiny.zip"))
    assert "tiny/last.safetensors" in zipfile.ZipFile(trained / "tiny.zip").namelist()
    assert run_zip.unpack(trained / "tiny.zip").config == runs.find_run("tiny").config


def test_a_push_prints_the_url(trained, capsys, monkeypatch):
    pushed = []
    monkeypatch.setattr(hub, "push", lambda run, repo, **options: pushed.append((run.name, repo)) or "https://hub/x")
    assert exported(capsys, "--run", "tiny", "--push", "me/tiny")["url"] == "https://hub/x"
    assert pushed == [("tiny", "me/tiny")]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ((), "add --out, or --push"),
        (("--out", "x.onnx", "--format", "hub"), "--format hub makes a folder"),
        (("--out", "x", "--format", "onnx"), "choose a name that ends in .onnx"),
        (("--out", "x.zip", "--format", "onnx"), "choose a name that ends in .onnx"),
        (("--out", "x", "--attention"), "--attention has an effect only with --format onnx"),
        (("--out", "x.zip", "--format", "web"), "choose a name that ends in .html"),
        (("--out", "x.html", "--format", "onnx"), "choose a name that ends in .onnx"),
        (("--out", "x.zip", "--samples", "3"), "--samples has an effect only with --format web"),
        (("--out", "x.onnx", "--weights", "int8"), "--weights has an effect only with --format web"),
        (("--out", "x.html", "--head-mask"), "--head-mask has an effect only with --format onnx"),
        (("--out", "x.html", "--samples", "65"), "A page holds 0 to 64 sample images, not 65"),
        (("--out", "x", "--private"), "--private has an effect only with --push"),
        (("--out", "x.onnx", "--push", "me/x"), "--push needs --format hub"),
        (("--out", "no/such/x"), "does not exist"),
        (("--push", "nowhere"), "use USER/NAME"),
    ],
)
def test_incompatible_flags_are_refused_in_one_line(trained, capsys, monkeypatch, flags, sentence):
    monkeypatch.chdir(trained)
    assert main(["export", "--run", "tiny", *flags]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (trained / "x").exists()


def test_an_error_of_the_hub_is_one_line(trained, capsys, monkeypatch):
    def refuse(*_, **__):
        raise UserError(hub.NO_TOKEN)

    monkeypatch.setattr(hub, "push", refuse)
    assert main(["export", "--run", "tiny", "--push", "me/tiny"]) == 2
    assert "hf auth login" in capsys.readouterr().err
