"""The learned filters of the first layer and the learned position embedding, as arrays and pictures.

They are the contents of fig. 7 of Dosovitskiy et al. (2021): filters of the patch embedding, their principal
components, and the similarity of the position embeddings.
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
"""Maximum of principal components that are shown, as in the paper."""

GAP = 1
"""Gap between the tiles of a sheet, in pixels of a filter."""


def first_filters(model: Network) -> np.ndarray:
    """Return the filters of the first layer: ``(e c p1 p2)`` float32, largest norm first.

    The first layer of every network here is a convolution. The filters are measured as its responses to single pixels,
    because a standardised convolution applies other filters than those that it stores.
    """
    layer = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    c, (height, width) = layer.in_channels, layer.kernel_size
    lit = torch.eye(c * height * width, device=layer.weight.device).reshape(-1, c, height, width)
    with torch.no_grad():
        answers = layer(lit)
        answers = answers - layer(torch.zeros_like(lit[:1]))  # the bias
    middle = answers[:, :, answers.shape[2] // 2, answers.shape[3] // 2]  # the position where filter and pixels overlap
    filters = rearrange(middle, "(c p1 p2) e -> e c p1 p2", c=c, p1=height).cpu().numpy()
    return filters[np.argsort(-np.linalg.norm(filters.reshape(len(filters), -1), axis=1), kind="stable")]


def patch_filters(model: Network) -> np.ndarray:
    """Return the filters of the patch embedding: ``(e c p1 p2)`` float32, largest norm first.

    Raises:
        ExplainError: a TypeError; the network has no linear map of each patch.
    """
    if not isinstance(model, Recordable):
        raise ExplainError("A convolutional network has no patches, so it has no patch filters.")
    if isinstance(model.config, ViTConfig) and model.config.stem == "conv":
        raise ExplainError("The convolutional stem has no linear map of each patch, so there are no patch filters.")
    return first_filters(model)


def principal_components(filters: np.ndarray, count: int = COMPONENTS) -> tuple[np.ndarray, np.ndarray]:
    """Return the principal components of the filters, the most important first.

    Args:
        filters: ``(e c p1 p2)``.
        count: maximum of components.

    Returns:
        The components ``(k c p1 p2)``, each of length 1, and their shares of the filters' variance ``(k)``.
    """
    flat = filters.reshape(len(filters), -1)
    _, strengths, components = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)
    possible = min(count, len(filters) - 1, flat.shape[1])  # centring removes one
    shares = strengths**2 / max((strengths**2).sum(), np.finfo(np.float32).tiny)
    return components[:possible].reshape(-1, *filters.shape[1:]), shares[:possible]


def position_similarity(model: Network) -> np.ndarray:
    """Return the cosine similarity of each two patches' position embeddings: ``(r w r w)`` in [-1, 1].

    Raises:
        ExplainError: a TypeError; the network has no position embedding.
    """
    if not isinstance(model, Recordable):
        raise ExplainError(
            "A convolutional network has no position embedding: it applies the same filters at every position."
        )
    rows, columns = model.grid
    of_patches = model.pos_embed[0, -rows * columns :]  # prefix tokens may have positions, too
    positions = F.normalize(of_patches.detach().float(), dim=-1)
    return (positions @ positions.T).cpu().numpy().reshape(*model.grid, *model.grid)


def filter_sheet(filters: np.ndarray, *, columns: int, side: int) -> Image.Image:
    """Draw filters as tiles, row by row. Grey is 0, and each filter has its own scale.

    Three channels are shown as red, green and blue, any other number as the mean over the channels.

    Args:
        filters: ``(k c p1 p2)``.
        columns: tiles in a row.
        side: minimum side of a tile in pixels; the pixels of a filter stay square and sharp.
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
