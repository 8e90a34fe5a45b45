"""A table of a network's layers with output shapes, parameters and multiply-adds, as torchinfo counts them."""

from dataclasses import dataclass

import torch
import torchinfo

from vit.config import ModelConfig
from vit.networks import build_model

_SILENT = ("Dropout", "DropPath", "Identity", "Sequential")
"""Layers without parameters that do nothing at inference."""


@dataclass(frozen=True)
class LayerRow:
    """One layer.

    Attributes:
        name: its dotted name in the state dict; ``cls_token, pos_embed`` for the parameters of the network itself.
        kind: the name of its class.
        output: the shape of its output; empty if it has none.
        parameters: its own parameters, without those of layers inside it.
        multiply_adds: multiply-adds for the whole batch.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Summary:
    """The layers in the order in which they run, and the totals.

    torchinfo counts a linear map once per image, even if it is applied to each token. It does not count products
    without parameters, such as those inside the attention.
    """

    rows: tuple[LayerRow, ...]
    parameters: int
    multiply_adds: int


def summarise(config: ModelConfig, *, batch: int = 1) -> Summary:
    """Return the table of the network that ``config`` describes, for ``batch`` images.

    The network is built on torch's "meta" device, which allocates no memory for weights.
    """
    with torch.device("meta"):
        images = torch.empty(batch, config.in_channels, config.image_size, config.image_size)
        model = build_model(config)
        found = torchinfo.summary(model, input_data=images, device="meta", depth=99, verbose=0)
    rows: list[LayerRow] = []
    path: list[str] = []
    for layer in found.summary_list:
        path[max(0, layer.depth - 1) :] = [layer.var_name] if layer.depth else []
        own = layer.num_params if layer.is_leaf_layer else layer.leftover_params()
        if layer.class_name in _SILENT or not (layer.is_leaf_layer or own):
            continue
        name = ".".join(path) or ", ".join(name for name, _ in model.named_parameters(recurse=False))
        output = tuple(layer.output_size) if path else ()
        rows.append(LayerRow(name, layer.class_name, output, own, layer.macs if layer.is_leaf_layer else 0))
    return Summary(tuple(rows), found.total_params, found.total_mult_adds)
