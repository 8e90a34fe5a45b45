"""A run's network as one ONNX file, which opens without this program and without PyTorch.

Input ``images`` (b c h w) float32, RGB, pixels in [0, 1] less the mean and over the deviation of each channel; output
``logits`` (b num_classes), of a network without a head its summary token (b e), and, where it is asked for,
``attention`` (b depth h n m), indexed [query, key]. The batch is of any size. What an image must be brought to and what
the classes are called stands in the file's metadata, as JSON: ``class_names``, ``mean``, ``std``, ``image_size``,
``crop_pct``, ``interpolation``; with attention also ``grid``, ``prefix_tokens``, ``normalised_over``.
"""

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vit import __version__
from vit.errors import RunError
from vit.explain.recording import Recordable
from vit.runs import Run
from vit.runs.weights import CheckpointInfo, load_checkpoint
from vit.support import optional_packages

BYTES_MAX = 2**31 - 2**24
"""An ONNX file is one message of Protocol Buffers, which may be 2 GiB; beyond, weights would lie in a second file."""

TOLERANCE = 1e-4
"""How far ONNX Runtime's numbers may be from PyTorch's, and as a share of them."""

CHECKED_IMAGES = 3
"""Not as many as the network is traced with, so that a batch that got stuck at those is found."""
_LOUD = ("onnxscript", "onnx_ir", "torch.onnx")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Onnx:
    """The file, and what it was compared with.

    Attributes:
        content: its bytes.
        difference: the largest between ONNX Runtime and PyTorch on random images; None where that is not installed.
    """

    content: bytes
    difference: float | None

    @property
    def words(self) -> str:
        """Whether the numbers were compared, as a sentence."""
        if self.difference is None:
            return "Not compared with PyTorch: pip install onnxruntime."
        return f"ONNX Runtime gives what PyTorch gives: they differ by {self.difference:.1g} at most."


class _WithAttention(nn.Module):
    """A network that also gives the attention of all layers: ``b c h w -> b num_classes, b depth h n m``."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        record: dict = {}
        logits = self.model(images, record=record)
        return logits, torch.stack([layer["attention"] for layer in record["layers"]], dim=1)


def export(run: Run, *, attention: bool = False, say: Say = lambda sentence: None) -> Onnx:
    """The kept network of a run as ONNX.

    Args:
        attention: with the attention of every head of every layer as a second output.
        say: told what is being done.

    Raises:
        RunError: it has no weights, or no attention, is too large for one file, or ONNX Runtime gives other numbers.
        UserError: onnx or onnxscript is not installed.
    """
    model, info = load_checkpoint(run.path)
    return to_onnx(model, info, attention=attention, say=say)


def to_onnx(
    model: nn.Module, info: CheckpointInfo, *, attention: bool = False, say: Say = lambda sentence: None
) -> Onnx:
    """:func:`export` of a network on the CPU, in eval mode."""
    optional_packages.require("Writing ONNX", "onnx", "onnxscript")
    if attention and not isinstance(model, Recordable):
        raise RunError("A convolutional network has no attention: export it without.")
    size = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    if size > BYTES_MAX:
        raise RunError(f"Its weights take {size / 2**30:.1f} GB, and an ONNX file holds 2 GB: take safetensors.")
    say("Translating the network into ONNX.")
    network = _WithAttention(model).eval() if attention else model
    config = model.config
    images = torch.zeros(2, config.in_channels, config.image_size, config.image_size)
    with _quiet():
        program = torch.onnx.export(
            network,
            (images,),
            dynamo=True,
            input_names=["images"],
            output_names=["logits", *(["attention"] if attention else [])],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            external_data=False,
            verbose=False,
        )
    proto = program.model_proto
    _strip(proto.graph)
    proto.producer_name, proto.producer_version = "vit-attention-explorer", __version__
    for name, value in _metadata(model, info, attention).items():
        proto.metadata_props.add(key=name, value=json.dumps(value))
    content = proto.SerializeToString()
    if optional_packages.missing("onnxruntime"):
        return Onnx(content, None)
    say("Comparing it with PyTorch.")
    return Onnx(content, _compared(content, network, images))


def _strip(graph: Any) -> None:
    """Take out where on this machine each node comes from."""
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""


def _metadata(model: nn.Module, info: CheckpointInfo, attention: bool) -> dict:
    told = {
        "class_names": info.class_names,
        "mean": info.mean,
        "std": info.std,
        "image_size": info.image_size,
        "crop_pct": info.crop_pct,
        "interpolation": info.interpolation,
    }
    if attention:
        told |= {
            "grid": model.grid,
            "prefix_tokens": model.num_prefix_tokens,
            "normalised_over": model.normalised_over,
        }
    return told


def _compared(content: bytes, network: nn.Module, images: Tensor) -> float:
    """The largest difference of any output on random images.

    Raises:
        RunError: it is larger than rounding explains.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    seed = torch.Generator().manual_seed(0)
    images = torch.randn(CHECKED_IMAGES, *images.shape[1:], generator=seed)
    with torch.inference_mode():
        expected = network(images)
    expected = [output.numpy() for output in (expected if isinstance(expected, tuple) else (expected,))]
    found = session.run(None, {"images": images.numpy()})
    difference = max(float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True))
    if not all(np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE) for a, b in zip(found, expected, strict=True)):
        raise RunError(
            f"ONNX Runtime's answers differ from PyTorch's by {difference:.2g}, more than rounding explains, so no "
            "file is written: try other versions of onnxscript and onnxruntime."
        )
    return difference


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says to its developers."""
    loggers = [logging.getLogger(name) for name in _LOUD]
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
