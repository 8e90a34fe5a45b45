"""A network's layers in a table: output shapes, parameters and multiply-adds, as torchinfo counts them."""

from dataclasses import dataclass

import torch
import torchinfo

from vit.config import ModelConfig
from vit.networks import build_model

_SILENT = ("Dropout", "DropPath", "Identity", "Sequential")
"""Layers without parameters that change nothing when a model is used."""


@dataclass(frozen=True)
class Row:
    """One layer.

    Attributes:
        name: its place, dotted as in the state dict; ``cls_token, pos_embed`` for parameters that stand by themselves.
        kind: its class.
        output: its output's shape; empty where it has none.
        parameters: its own, without those of layers inside it.
        multiply_adds: of the whole batch.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Summary:
    """The layers in the order in which they run, and the totals.

    torchinfo counts a linear map once an image, even where it is applied to each token, and products without
    parameters, such as those inside the attention, not at all.
    """

    rows: tuple[Row, ...]
    parameters: int
    multiply_adds: int


def summarise(config: ModelConfig, *, batch: int = 1) -> Summary:
    """The table of the network that ``config`` describes, for ``batch`` images.

    The network is built without memory for its weights, on torch's "meta" device, so its size costs nothing.
    """
    with torch.device("meta"):
        images = torch.empty(batch, config.in_channels, config.image_size, config.image_size)
        model = build_model(config)
        found = torchinfo.summary(model, input_data=images, device="meta", depth=99, verbose=0)
    rows: list[Row] = []
    path: list[str] = []
    for layer in found.summary_list:
        path[max(0, layer.depth - 1) :] = [layer.var_name] if layer.depth else []
        own = layer.num_params if layer.is_leaf_layer else layer.leftover_params()
        if layer.class_name in _SILENT or not (layer.is_leaf_layer or own):
            continue
        name = ".".join(path) or ", ".join(name for name, _ in model.named_parameters(recurse=False))
        output = tuple(layer.output_size) if path else ()
        rows.append(Row(name, layer.class_name, output, own, layer.macs if layer.is_leaf_layer else 0))
    return Summary(tuple(rows), found.total_params, found.total_mult_adds)
