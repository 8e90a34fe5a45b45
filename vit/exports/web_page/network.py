"""The network of an exported page: ONNX with attention and a head mask, with float32, float16 or int8 weights.

Only the weights are stored in fewer bits. The graph turns them back into float32 when the session is opened, so the
network computes in float32, and the time of an image does not change.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from vit.errors import RunError
from vit.support import optional_packages

if TYPE_CHECKING:
    from torch import Tensor

    from vit.networks import Network
    from vit.runs.weights import CheckpointInfo

WeightsType = Literal["float32", "float16", "int8"]
WEIGHTS: tuple[WeightsType, ...] = get_args(WeightsType)
"""The types in which the weights can be stored: 4, 2 and 1 bytes a weight."""

COMPACTED_MIN = 1024
"""Tensors with fewer numbers stay float32: biases, norms and the like, which take next to no room."""
_INT8_MAX = 127
_PRODUCTS = {"abcd,abed->abce": True, "abcd,abde->abce": False}
"""The products of attention as the exporter writes them, and whether the second factor is transposed."""
_MATRIX_OPERATORS = {"MatMul", "Gemm", "Conv", "Einsum"}


@dataclass(frozen=True)
class Difference:
    """How far the outputs of the stored network are from PyTorch's in float32.

    Attributes:
        images: number of images.
        outputs: largest difference of a probability; for a network without classes, of a number of the summary token,
            relative to the largest one.
        attention: largest difference of an attention weight; None for a network without attention.
        changed: number of images whose most probable class changes.
        classes: whether the outputs are classes.
    """

    images: int
    outputs: float
    attention: float | None
    changed: int
    classes: bool


def export(model: "Network", info: "CheckpointInfo", weights: WeightsType = "float32") -> bytes:
    """Return the ONNX file of a network for the page, in which ``head_mask`` is required.

    The runtime for browsers cannot override default values of inputs.

    Raises:
        RunError: as :func:`vit.exports.onnx_file.to_onnx`.
        UserError: onnx or onnxscript is not installed.
    """
    from vit.exports.onnx_file import to_onnx
    from vit.networks import Transformer

    inside = isinstance(model, Transformer)
    made = to_onnx(model, info, attention=inside, head_mask=inside)
    return compact(made.content, weights)


def compact(content: bytes, weights: WeightsType) -> bytes:
    """Return an ONNX file with its large weights stored in another type, and without default values of its inputs."""
    onnx = optional_packages.require("Writing a web page", "onnx")
    proto = onnx.load_from_string(content)
    graph = proto.graph
    inputs = {value.name for value in graph.input}
    kept: list[Any] = []
    decoders: list[Any] = []
    matrices = {name for node in graph.node if node.op_type in _MATRIX_OPERATORS for name in node.input}
    for tensor in graph.initializer:
        if tensor.name in inputs:
            continue
        stored, nodes = _stored(tensor, weights, tensor.name in matrices)
        kept += stored
        decoders += nodes
    nodes = [*decoders, *(made for node in graph.node for made in _as_matmul(node))]
    for field, values in ((graph.initializer, kept), (graph.node, nodes)):
        copies = [type(value).FromString(value.SerializeToString()) for value in values]
        del field[:]
        field.extend(copies)
    del graph.value_info[:]
    return proto.SerializeToString()


def _as_matmul(node: Any) -> list[Any]:
    """Return the nodes for a product of attention that take a fifth less time in the browser than Einsum."""
    from onnx import helper

    if node.op_type != "Einsum":
        return [node]
    transposes = _PRODUCTS.get(helper.get_node_attr_value(node, "equation").decode().replace(" ", ""))
    if transposes is None:
        return [node]
    first, second = node.input
    if not transposes:
        return [helper.make_node("MatMul", [first, second], list(node.output))]
    turned = f"{node.output[0]}.transposed"
    return [
        helper.make_node("Transpose", [second], [turned], perm=[0, 1, 3, 2]),
        helper.make_node("MatMul", [first, turned], list(node.output)),
    ]


def _stored(tensor: Any, weights: WeightsType, is_matrix: bool) -> tuple[list[Any], list[Any]]:
    """Return the initializers and the nodes that give one tensor of weights."""
    from onnx import TensorProto, helper, numpy_helper

    if weights == "float32" or tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < COMPACTED_MIN:
        return [tensor], []
    name, values = tensor.name, numpy_helper.to_array(tensor)
    if weights == "int8" and is_matrix:
        levels, scale = _quantised(values)
        stored = [numpy_helper.from_array(levels, f"{name}.int8"), numpy_helper.from_array(scale, f"{name}.scale")]
        cast = helper.make_node("Cast", [f"{name}.int8"], [f"{name}.levels"], to=TensorProto.FLOAT)
        return stored, [cast, helper.make_node("Mul", [f"{name}.levels", f"{name}.scale"], [name])]
    if np.abs(values).max() > np.finfo(np.float16).max:
        return [tensor], []
    half = numpy_helper.from_array(values.astype(np.float16), f"{name}.float16")
    return [half], [helper.make_node("Cast", [f"{name}.float16"], [name], to=TensorProto.FLOAT)]


def _quantised(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return symmetric 8-bit levels and their scale along the first or the last axis, whichever errs less."""
    found = []
    for axis in (0, values.ndim - 1):
        others = tuple(other for other in range(values.ndim) if other != axis)
        top = np.abs(values).max(axis=others, keepdims=True)
        scale = np.where(top > 0, top / _INT8_MAX, 1).astype(np.float32)
        levels = np.round(values / scale).astype(np.int8)
        found.append((float(np.square(levels * scale - values).sum()), levels, scale))
    _, levels, scale = min(found, key=lambda it: it[0])
    return levels, scale


def measure(content: bytes, model: "Network", images: "Tensor") -> Difference:
    """Compare the stored network with PyTorch.

    Args:
        content: the ONNX file.
        model: the network, in eval mode on the CPU.
        images: ``(b c h w)``, normalised.

    Raises:
        RunError: ONNX Runtime is not installed.
    """
    import torch

    from vit.networks import Transformer

    if optional_packages.missing("onnxruntime"):
        raise RunError("Measuring the difference from PyTorch needs ONNX Runtime: pip install onnxruntime.")
    outputs = attention = 0.0
    changed = 0
    classes = model.config.num_classes > 0
    for image, (found, *maps) in zip(images.split(1), _run(content, images), strict=True):
        with torch.inference_mode():
            record: dict = {}
            inside = isinstance(model, Transformer)
            expected = (model(image, record=record) if inside else model(image)).numpy()
        if classes:
            changed += int(found.argmax() != expected.argmax())
            found, expected = _softmax(found), _softmax(expected)
        else:
            found, expected = found / np.abs(expected).max(), expected / np.abs(expected).max()
        outputs = max(outputs, float(np.abs(found - expected).max()))
        if maps:
            weights = torch.stack([layer["attention"] for layer in record["layers"]], dim=1).numpy()
            attention = max(attention, float(np.abs(maps[0] - weights).max()))
    return Difference(len(images), outputs, attention if inside else None, changed, classes)


def _run(content: bytes, images: "Tensor") -> Iterator[list[np.ndarray]]:
    """Yield the outputs of the stored network for each image."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    named = {value.name: value.shape for value in session.get_inputs() if value.name != "images"}
    mask = {name: np.ones(shape, np.float32) for name, shape in named.items()}
    for image in images.split(1):
        yield session.run(None, {"images": image.numpy()} | mask)


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def sentence(weights: WeightsType, size: int, found: Difference, kind: str) -> str:
    """Return what the type of the weights means for the size and the outputs.

    Args:
        weights: the type.
        size: bytes of the stored network.
        found: the comparison with PyTorch.
        kind: what the images are.
    """
    output = "a probability" if found.classes else "an output, relative to the largest one,"
    text = (
        f"The network takes {size / 1e6:.1f} MB with {weights} weights. Compared with PyTorch in float32 on "
        f"{found.images} {kind}, {output} differs by at most {found.outputs:.1g}"
    )
    if found.attention is not None:
        text += f", an attention weight by at most {found.attention:.1g}"
    if not found.classes:
        return f"{text}."
    return f"{text}, and {found.changed or 'no'} answer{'s change' if found.changed > 1 else ' changes'}."
