"""The network of a page: the same outputs as PyTorch for each type of weights, and a difference that is measured."""

from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from vit.config import CNNConfig, DataConfig, RunConfig, ViTConfig
from vit.edits import BlockEdit
from vit.explain import capture
from vit.exports.web_page import network
from vit.networks import build_model
from vit.runs.weights import CheckpointInfo

WIDE = ViTConfig(image_size=32, patch_size=8, embed_dim=48, num_heads=3, depth=2, stem="patch", reg_tokens=2)


@cache
def of(config=WIDE) -> tuple[torch.nn.Module, CheckpointInfo]:
    names = tuple(f"class {index}" for index in range(config.num_classes))
    run = RunConfig(model=config, data=DataConfig(image_size=32, class_names=names))
    model = build_model(config, seed=0).eval().requires_grad_(False)
    if config is WIDE:
        for tensor in model.parameters():
            tensor.mul_(3)
    return model, CheckpointInfo(names, run.data.mean, run.data.std, 32, "scenes", {}, run)


@cache
def made(weights: str) -> bytes:
    return network.export(*of(), weights)


def session(content: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def images(count: int = 4) -> torch.Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("weights", "most", "share"), [("float32", 1e-5, 1), ("float16", 5e-3, 0.6), ("int8", 0.1, 0.4)]
)
def test_the_types_of_the_weights_trade_size_for_a_difference_that_is_measured(weights, most, share):
    model, _ = of()
    assert len(made(weights)) <= share * len(made("float32"))
    found = network.measure(made(weights), model, images())
    assert found.images == 4
    assert found.outputs <= most
    [logits, attention] = session(made(weights)).run(
        None, {"images": images().numpy(), "head_mask": np.ones((2, 3), np.float32)}
    )
    record = capture(model, images())
    expected = np.abs(torch.tensor(logits).softmax(1) - record.logits.softmax(1)).max()
    assert found.outputs == pytest.approx(float(expected), rel=0.05, abs=1e-6)
    assert found.attention == pytest.approx(
        float(np.abs(attention - record.attention.numpy()).max()), rel=0.05, abs=1e-6
    )


def test_weights_in_int8_err_by_half_a_level():
    values = np.random.default_rng(0).normal(size=(30, 20)).astype(np.float32) * np.linspace(0.01, 3, 20)
    levels, scale = network._quantised(values)
    assert levels.dtype == np.int8
    assert scale.shape == (1, 20)  # the columns differ in size
    assert np.abs(levels * scale - values).max() <= (scale / 2).max() * 1.001
    assert not network._quantised(np.zeros((3, 4), np.float32))[0].any()


def test_a_head_mask_equals_the_edits_of_the_library():
    model, _ = of()
    mask = np.array([[1, 0, 1], [0.25, 1, 0]], np.float32)
    found = session(made("float32")).run(None, {"images": images().numpy(), "head_mask": mask})[0]
    edits = {layer: BlockEdit(ablated=(1 - torch.tensor(row)).view(1, 3, 1, 1)) for layer, row in enumerate(mask)}
    with torch.inference_mode():
        np.testing.assert_allclose(found, model(images(), edits=edits), atol=1e-4)
        assert np.abs(found - model(images()).numpy()).max() > 1e-2


def test_the_mask_is_required_and_products_are_matrix_products():
    proto = onnx.load_from_string(made("int8"))
    assert [value.name for value in proto.graph.input] == ["images", "head_mask"]
    assert "head_mask" not in {tensor.name for tensor in proto.graph.initializer}
    assert "Einsum" not in {node.op_type for node in proto.graph.node}
    onnx.checker.check_model(proto, full_check=True)


def test_a_convolutional_network_has_only_its_answer():
    model, info = of(CNNConfig(image_size=32))
    content = network.export(model, info, "float16")
    assert [value.name for value in session(content).get_inputs()] == ["images"]
    found = network.measure(content, model, images())
    assert found.attention is None
    assert 0 < found.outputs < 1e-2


def test_the_sentence_says_size_and_difference():
    found = network.Difference(100, 0.00912, 0.0104, 2, classes=True)
    assert network.sentence("int8", 400_000, found, "validation images") == (
        "The network takes 0.4 MB with int8 weights. Compared with PyTorch in float32 on 100 validation images, a "
        "probability differs by at most 0.009, an attention weight by at most 0.01, and 2 answers change."
    )
    features = network.Difference(3, 0.02, None, 0, classes=False)
    assert network.sentence("int8", 1e6, features, "smooth random images").endswith(
        "an output, relative to the largest one, differs by at most 0.02."
    )
