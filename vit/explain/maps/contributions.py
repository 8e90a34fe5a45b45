"""How much of each token arrives at each other one: the length of what attention carries over, not its weight alone."""

import numpy as np
import torch
from torch import Tensor

from vit.errors import ExplainError
from vit.explain.recording import Record, require_attention
from vit.networks import Block, Network, blocks_of
from vit.reference import SelfAttention


@torch.no_grad()
def contributions(model: Network, record: Record, *, layer_scale: bool = True) -> np.ndarray:
    """The norm of what key token m adds to query token n in each head (Kobayashi et al. 2020, eq. 5).

    ||a[n, m] f(x_m)|| with f(x) = (x W_V + b_V) W_O of the head, where x is the normed token, as the block's attention
    sees it, and W_O the head's rows of the output projection, whose bias belongs to no token. Where the block has a
    layer scale, what is added to the tokens is the scaled sum; the scale is part of f then.

    The attention is a number for each pair and f a vector for each token, so the norms of f are taken once a token.

    Args:
        record: from :func:`capture` of ``model``, without heads switched off.
        layer_scale: without it f ends at the output projection, before the layer scale.

    Returns:
        ``(b depth h n m)`` float32, 0 and up, in the units of the tokens.

    Raises:
        ExplainError: a TypeError; the network mixes positions, so its values are no function of one token.
    """
    if record.mixes_positions:
        raise ExplainError(
            "This network mixes positions when it computes its values, so what one token contributes is not defined: "
            "take its raw maps."
        )
    layers = []
    for block, layer in zip(blocks_of(require_attention(model)), record.layers, strict=True):
        norms = (layer.v @ _output(block, layer.v.shape[-1], layer_scale)).norm(dim=-1)  # b h m
        layers.append(layer.attention * norms[:, :, None])
    return torch.stack(layers, dim=1).float().cpu().numpy()


def _output(block: Block, head_dim: int, layer_scale: bool) -> Tensor:
    """What each head's values go through before they are added to the tokens: ``(h d e)``."""
    attention, norm = block.attn, block.norm1.weight
    # (h d) e. Without an output projection the heads are only concatenated: each writes to its own slice.
    weight = torch.eye(len(norm), device=norm.device) if attention.proj is None else attention.proj.weight.T
    if isinstance(attention, SelfAttention) and not attention.scales_first:  # 1/sqrt(d) comes after the product with V
        weight = weight * attention.scale
    gamma = getattr(getattr(block, "ls1", None), "gamma", None)
    if layer_scale and gamma is not None:
        weight = weight * gamma
    return weight.unflatten(0, (-1, head_dim))
