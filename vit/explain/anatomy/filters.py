"""What the first layer and the position embedding have learned, as arrays and pictures.

The figures are those of Dosovitskiy et al. (2021), fig. 7: filters of the patch embedding, their principal components,
and how similar each position's embedding is to all others'.
"""

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from PIL import Image
from torch import nn

from vit.config import ViTConfig
from vit.errors import ExplainError
from vit.explain.recording import Recordable
from vit.networks import Network

COMPONENTS = 28
"""So many principal components are shown, as in the paper, or as many as there are."""

GAP = 1
"""Filter pixels between the tiles of a sheet."""


def first_filters(model: Network) -> np.ndarray:
    """The filters of the first layer, a convolution in every network here: ``(e c p1 p2)`` float32, strongest first.

    They are what the layer answers to one lit pixel of one channel, so the filters that it applies, which need not be
    those that it stores.
    """
    layer = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    c, (height, width) = layer.in_channels, layer.kernel_size
    lit = torch.eye(c * height * width, device=layer.weight.device).reshape(-1, c, height, width)
    with torch.no_grad():
        answers = layer(lit)
        answers = answers - layer(torch.zeros_like(lit[:1]))  # the bias
    middle = answers[:, :, answers.shape[2] // 2, answers.shape[3] // 2]  # where the filter lies upon the pixels
    filters = rearrange(middle, "(c p1 p2) e -> e c p1 p2", c=c, p1=height).cpu().numpy()
    return filters[np.argsort(-np.linalg.norm(filters.reshape(len(filters), -1), axis=1), kind="stable")]


def patch_filters(model: Network) -> np.ndarray:
    """The filters of the patch embedding: ``(e c p1 p2)`` float32, strongest first.

    Raises:
        ExplainError: a TypeError; the network has no linear map of each patch.
    """
    if not isinstance(model, Recordable):
        raise ExplainError("A convolutional network cuts no patches, so it has no patch filters.")
    if isinstance(model.config, ViTConfig) and model.config.stem == "conv":
        raise ExplainError("The convolutional stem has no linear map of each patch, so there are no patch filters.")
    return first_filters(model)


def principal_components(filters: np.ndarray, count: int = COMPONENTS) -> tuple[np.ndarray, np.ndarray]:
    """What the filters have in common, the most important first.

    Args:
        filters: ``(e c p1 p2)``.

    Returns:
        At most ``count`` components ``(k c p1 p2)`` of length 1, and each one's share of the filters' variance ``(k)``.
    """
    flat = filters.reshape(len(filters), -1)
    _, strengths, components = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)
    possible = min(count, len(filters) - 1, flat.shape[1])  # centring takes one away
    shares = strengths**2 / max((strengths**2).sum(), np.finfo(np.float32).tiny)
    return components[:possible].reshape(-1, *filters.shape[1:]), shares[:possible]


def position_similarity(model: Network) -> np.ndarray:
    """Cosine similarity of each patch's position embedding with each other's: ``(r w r w)`` in [-1, 1].

    Raises:
        ExplainError: a TypeError; the network has no position embedding.
    """
    if not isinstance(model, Recordable):
        raise ExplainError(
            "A convolutional network has no position embedding: its filters slide, so they need no names for places."
        )
    rows, columns = model.grid
    of_patches = model.pos_embed[0, -rows * columns :]  # what stands before the patches may have positions, or none
    positions = F.normalize(of_patches.detach().float(), dim=-1)
    return (positions @ positions.T).cpu().numpy().reshape(*model.grid, *model.grid)


def filter_sheet(filters: np.ndarray, *, columns: int, side: int) -> Image.Image:
    """Filters ``(k c p1 p2)`` as tiles, row by row: grey is 0, and each has its own scale.

    Three channels are red, green and blue; any other number is shown as its mean.

    Args:
        side: of a tile in pixels, at least; a filter's pixels stay square and crisp.
    """
    filters = filters if filters.shape[1] == 3 else np.repeat(filters.mean(axis=1, keepdims=True), 3, axis=1)
    count, _, height, width = filters.shape
    top = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    tiles = (127.5 + 127.5 * filters / np.where(top > 0, top, 1)).round().astype(np.uint8).transpose(0, 2, 3, 1)
    scale, rows = max(1, -(-side // height)), -(-count // columns)
    sheet = Image.new("RGBA", (columns * (width * scale + GAP * scale), rows * (height + GAP) * scale))  # clear between
    for index, tile in enumerate(tiles):
        picture = Image.fromarray(tile).resize((width * scale, height * scale), Image.Resampling.NEAREST)
        sheet.paste(picture, (index % columns * (width + GAP) * scale, index // columns * (height + GAP) * scale))
    return sheet
