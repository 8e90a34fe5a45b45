"""A penalty that makes the heads of a layer look at different places."""

import torch
from torch import Tensor

from vit.model import ViT

EPS = 1e-8


def head_correlation(record: dict, model: ViT) -> Tensor:
    """Return the mean correlation between the summary maps of two heads of a layer, over all pairs, layers and images.

    A head's summary map is the attention of the class token to the patches, or, with mean pooling, the mean over the
    patches of their attention to the patches.

    Args:
        record: what ``model`` has recorded in its forward pass.
        model: the network.
    """
    prefix, heads = model.num_prefix_tokens, model.config.num_heads
    queries = slice(0, 1) if model.pool == "cls" else slice(prefix, None)
    layers = [layer["attention"][:, :, queries, prefix:].float().mean(dim=2) for layer in record["layers"]]
    maps = torch.stack(layers)  # layer b h m
    maps = maps - maps.mean(dim=-1, keepdim=True)
    maps = maps / maps.norm(dim=-1, keepdim=True).clamp(min=EPS)
    pairs = (maps @ maps.mT).triu(1).sum(dim=(-2, -1)) / max(1, heads * (heads - 1) // 2)
    return pairs.mean()
