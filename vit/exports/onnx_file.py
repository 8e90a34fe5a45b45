"""Export a run's network as one ONNX file, which needs neither this program nor PyTorch.

Input: ``images`` (b c h w), float32, RGB, pixels in [0, 1] normalised with the mean and standard deviation of each
channel. Outputs: ``logits`` (b num_classes), or the summary token (b e) of a network without a head; on request also
``attention`` (b depth h n m), indexed [query, key]. The batch size is free.

Optional input, on request: ``head_mask`` (depth h), float32, by which the output of each head is multiplied: 1 keeps
the head and 0 switches it off, as :class:`vit.edits.BlockEdit` does with ``ablated`` 1. Its default is all ones; a
runtime sees it as an initializer that may be overridden. The file's metadata hold the preprocessing
and the class names as JSON: ``class_names``, ``mean``, ``std``, ``image_size``, ``crop_pct``, ``interpolation``, and
``preparation``, the steps from an image file to the input, in their order and in words; with attention also ``grid``,
``prefix_tokens``, ``normalised_over``.
"""

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vit import __version__
from vit.data.files import preparation
from vit.edits import BlockEdit
from vit.errors import RunError
from vit.networks import Network, Transformer
from vit.runs import Run
from vit.runs.weights import CheckpointInfo, load_checkpoint
from vit.support import optional_packages

BYTES_MAX = 2**31 - 2**24
"""Largest file. A Protocol Buffers message holds at most 2 GiB; larger weights would need a second file."""

TOLERANCE = 1e-4
"""Largest absolute and relative difference between the outputs of ONNX Runtime and PyTorch."""

CHECKED_IMAGES = 3
"""Batch size of the comparison. It differs from that of the export, so that a fixed batch size is noticed."""
_VERBOSE_LOGGERS = ("onnxscript", "onnx_ir", "torch.onnx")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Onnx:
    """An ONNX file and the result of its comparison with PyTorch.

    Attributes:
        content: the bytes of the file.
        difference: largest difference between ONNX Runtime and PyTorch on random images; None if ONNX Runtime is not
            installed.
    """

    content: bytes
    difference: float | None

    @property
    def words(self) -> str:
        """A sentence about the comparison."""
        if self.difference is None:
            return "Not compared with PyTorch: pip install onnxruntime."
        return f"Checked: the outputs of ONNX Runtime and PyTorch differ by at most {self.difference:.1g}."


class _Exported(nn.Module):
    """A transformer with the further input and output of the file.

    ``b c h w``, on request ``depth h`` -> ``b num_classes``, on request ``b depth h n m``.
    """

    def __init__(self, model: Transformer, *, attention: bool) -> None:
        super().__init__()
        self.model, self.attention = model, attention

    def forward(self, images: Tensor, head_mask: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        edits = None
        if head_mask is not None:
            edits = {layer: BlockEdit(ablated=(1 - mask)[None, :, None, None]) for layer, mask in enumerate(head_mask)}
        if not self.attention:
            return self.model(images, edits=edits)
        record: dict = {}
        logits = self.model(images, record=record, edits=edits)
        return logits, torch.stack([layer["attention"] for layer in record["layers"]], dim=1)


def export(run: Run, *, attention: bool = False, head_mask: bool = False, say: Say = lambda sentence: None) -> Onnx:
    """Export the network of a run, with its kept weights, as ONNX.

    Args:
        run: the run to export.
        attention: add the attention of every head of every layer as a second output.
        head_mask: add the optional input ``head_mask``.
        say: called with a sentence before each slow step.

    Raises:
        RunError: the run has no weights or no attention, the network is too large for one file, or the outputs of ONNX
            Runtime differ from PyTorch's.
        UserError: onnx or onnxscript is not installed.
    """
    model, info = load_checkpoint(run.path)
    return to_onnx(model, info, attention=attention, head_mask=head_mask, say=say)


def to_onnx(
    model: Network,
    info: CheckpointInfo,
    *,
    attention: bool = False,
    head_mask: bool = False,
    say: Say = lambda sentence: None,
) -> Onnx:
    """Export a network on the CPU and in eval mode as ONNX; see :func:`export`."""
    optional_packages.require("Writing ONNX", "onnx", "onnxscript")
    network: nn.Module = model
    if attention or head_mask:
        if not isinstance(model, Transformer):
            raise RunError("A convolutional network has no attention: export it without attention and head mask.")
        network = _Exported(model, attention=attention).eval()
    size = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    if size > BYTES_MAX:
        raise RunError(f"The weights take {size / 2**30:.1f} GB, but an ONNX file holds 2 GB at most: use safetensors.")
    say("Converting the network to ONNX.")
    config = model.config
    inputs = {"images": torch.zeros(2, config.in_channels, config.image_size, config.image_size)}
    if head_mask:
        assert isinstance(model, Transformer)
        inputs["head_mask"] = torch.ones(model.config.depth, model.config.num_heads)
    with _quiet():
        program = torch.onnx.export(
            network,
            tuple(inputs.values()),
            dynamo=True,
            input_names=list(inputs),
            output_names=["logits", *(["attention"] if attention else [])],
            dynamic_shapes=tuple({0: torch.export.Dim("batch")} if name == "images" else {} for name in inputs),
            external_data=False,
            verbose=False,
        )
    if program is None:  # only with an option that is not used here
        raise RunError("The exporter of PyTorch returned no ONNX file.")
    proto = program.model_proto
    _remove_source_paths(proto.graph)
    proto.producer_name, proto.producer_version = "vit-attention-explorer", __version__
    for name, value in _metadata(model, info, attention).items():
        proto.metadata_props.add(key=name, value=json.dumps(value))
    if head_mask:
        _give_default(proto.graph, "head_mask", inputs["head_mask"])
    content = proto.SerializeToString()
    if optional_packages.missing("onnxruntime"):
        return Onnx(content, None)
    say("Comparing it with PyTorch.")
    return Onnx(content, _compare(content, network, inputs))


def _remove_source_paths(graph: Any) -> None:
    """Remove the file names and lines of this machine that the exporter notes at each node."""
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""


def _give_default(graph: Any, name: str, value: Tensor) -> None:
    """Make an input optional: an initializer with the name of an input is its default value."""
    from onnx import numpy_helper

    graph.initializer.append(numpy_helper.from_array(value.numpy(), name))


def _metadata(model: Network, info: CheckpointInfo, attention: bool) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "class_names": info.class_names,
        "mean": info.mean,
        "std": info.std,
        "image_size": info.image_size,
        "crop_pct": info.crop_pct,
        "interpolation": info.interpolation,
        "preparation": preparation.steps(info),
    }
    if attention and isinstance(model, Transformer):
        metadata |= {
            "grid": model.grid,
            "prefix_tokens": model.num_prefix_tokens,
            "normalised_over": model.normalised_over,
        }
    return metadata


def _compare(content: bytes, network: nn.Module, inputs: Mapping[str, Tensor]) -> float:
    """Return the largest difference of any output between ONNX Runtime and PyTorch on random inputs.

    Raises:
        RunError: the difference is larger than rounding errors.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    seed = torch.Generator().manual_seed(0)
    images = torch.randn(CHECKED_IMAGES, *inputs["images"].shape[1:], generator=seed)
    cases = [{"images": images}]
    if "head_mask" in inputs:  # compared with the default, too
        cases.append({"images": images, "head_mask": torch.rand(inputs["head_mask"].shape, generator=seed)})
    difference, equal = 0.0, True
    for case in cases:
        with torch.inference_mode():
            outputs = network(*case.values())
        expected = [output.numpy() for output in (outputs if isinstance(outputs, tuple) else (outputs,))]
        found = session.run(None, {name: value.numpy() for name, value in case.items()})
        difference = max(difference, *(float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True)))
        equal &= all(np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE) for a, b in zip(found, expected, strict=True))
    if not equal:
        raise RunError(
            f"The outputs of ONNX Runtime differ from PyTorch's by {difference:.2g}, more than rounding errors. "
            "No file is written: try other versions of onnxscript and onnxruntime."
        )
    return difference


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the warnings and log messages of the exporter."""
    loggers = [logging.getLogger(name) for name in _VERBOSE_LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
