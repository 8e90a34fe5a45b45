"""ONNX export: outputs equal PyTorch for every kind of network, batch and output; the file describes itself."""

import json
import logging
import subprocess
import sys
from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from vit.config import CNNConfig, DataConfig, ReferenceConfig, RunConfig, ViTConfig
from vit.errors import RunError, UserError
from vit.explain import capture
from vit.exports import onnx_file
from vit.exports.onnx_file import to_onnx
from vit.networks import build_model
from vit.runs.weights import CheckpointInfo
from vit.support import optional_packages

TINY = {"image_size": 32, "patch_size": 16, "embed_dim": 16, "num_heads": 2, "depth": 2}
SHORT = TINY | {"depth": 1}
UNUSUAL = {
    "class_token": False,
    "pool": "mean",
    "reg_tokens": 2,
    "no_embed_class": True,
    "pre_norm": True,
    "fc_norm": True,
}
CLASSES = ("<b>cat</b>", "dog's", 'two\n"lines"', "חתול", "🐱")
NETWORKS = {
    "patch": ViTConfig(**TINY, stem="patch", pool="cls", init_values=0.1),
    "conv": ViTConfig(**SHORT),
    "published": ViTConfig(
        **SHORT, **UNUSUAL, stem="patch", num_classes=0, qkv_bias=False, act_layer="quick_gelu", norm_eps=1e-5
    ),
    "course": ReferenceConfig(**SHORT, attention="einsum", mended=("softmax",)),
    "cnn": CNNConfig(image_size=32),
}


def of(config, names=()) -> tuple[torch.nn.Module, CheckpointInfo]:
    """Return a network with large random weights, and its info."""
    model = build_model(config, seed=0).eval().requires_grad_(False)
    if config.architecture != "cnn":
        for tensor in model.parameters():
            tensor.copy_(tensor * 3 + 0.01)
    data = DataConfig(image_size=32, class_names=names if config.num_classes else (), crop_pct=0.9)
    run = RunConfig(model=config, data=data)
    return model, CheckpointInfo(names, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 32, "scenes", {}, run)


@cache
def made_of(kind: str, *names: str) -> onnx_file.Onnx:
    return to_onnx(*of(NETWORKS[kind], names), attention=kind != "cnn")


@pytest.mark.parametrize("kind", NETWORKS)
def test_outputs_equal_pytorch_for_any_batch_size(kind, recwarn, caplog):
    model, _ = of(NETWORKS[kind])
    attention, made = kind != "cnn", made_of(kind, *CLASSES)
    assert made.difference < 1e-4
    assert not [record for record in caplog.records if record.levelno >= logging.INFO]
    assert not [warning for warning in recwarn if not issubclass(warning.category, DeprecationWarning)]
    session = onnxruntime.InferenceSession(made.content, providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["logits", "attention"][: 1 + attention]
    assert session.get_inputs()[0].shape == ["batch", 3, 32, 32]
    for batch in (1, 3):
        images = torch.randn(batch, 3, 32, 32)
        found = session.run(None, {"images": images.numpy()})
        with torch.inference_mode():
            expected = [model(images).numpy()]
        if attention:
            expected.append(capture(model, images).attention.numpy())
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.shape == theirs.shape
            np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_the_file_is_valid_and_describes_its_use(tmp_path):
    (tmp_path / "model.onnx").write_bytes(made_of("cnn", *CLASSES).content)
    onnx.checker.check_model(str(tmp_path / "model.onnx"), full_check=True)
    proto = onnx.load(tmp_path / "model.onnx", load_external_data=False)
    assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in proto.graph.initializer)
    told = {item.key: json.loads(item.value) for item in proto.metadata_props}
    assert told["class_names"] == list(CLASSES)
    assert (told["mean"], told["std"], told["image_size"]) == ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6], 32)
    assert (told["crop_pct"], told["interpolation"]) == (0.9, "bicubic")
    steps = "; ".join(told["preparation"])
    assert "transparent parts on white; the centre square of the image is cut out, 90.0% of each side" in steps
    assert "32 × 32 pixels (bicubic" in steps
    assert "grid" not in told
    assert "/vit/" not in repr(proto.metadata_props) + repr([node.metadata_props for node in proto.graph.node])


def test_impossible_exports_are_refused_before_the_export(monkeypatch):
    with pytest.raises(RunError, match="no attention"):
        to_onnx(*of(NETWORKS["cnn"]), attention=True)
    monkeypatch.setattr(onnx_file, "BYTES_MAX", 1000)
    with pytest.raises(RunError, match="an ONNX file holds 2 GB"):
        to_onnx(*of(NETWORKS["patch"]))
    monkeypatch.setattr(optional_packages, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install onnx onnxscript"):
        to_onnx(*of(NETWORKS["patch"]))


def test_different_outputs_are_refused():
    model, _ = of(NETWORKS["cnn"])
    model.head.weight *= 1.1
    with pytest.raises(RunError, match="more than rounding errors"):
        onnx_file._compare(made_of("cnn", *CLASSES).content, model, {"images": torch.zeros(2, 3, 32, 32)})


def test_importing_the_program_does_not_import_optional_packages():
    code = "import sys, vit, vit.cli; print([it for it in sys.modules if it in {'onnx', 'timm', 'huggingface_hub'}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
