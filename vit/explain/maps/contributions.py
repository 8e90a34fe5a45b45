"""The contribution of each token to each other token: attention weight times the norm of the transformed value."""

import numpy as np
import torch
from torch import Tensor

from vit.errors import ExplainError
from vit.explain.recording import Record, require_attention
from vit.networks import Block, Network, blocks_of
from vit.reference import SelfAttention


@torch.no_grad()
def contributions(model: Network, record: Record, *, layer_scale: bool = True) -> np.ndarray:
    """Return the norm of what key token m adds to query token n in each head (Kobayashi et al. 2020, eq. 5).

    It is ||a[n, m] f(x_m)|| with f(x) = (x W_V + b_V) W_O of the head. Here x is the normalised token that enters the
    attention, and W_O the head's rows of the output projection, whose bias belongs to no token. If the block has a
    layer scale, it is part of f. Since a[n, m] is a number and f(x_m) depends only on m, each norm ||f(x_m)|| is
    computed once.

    Args:
        model: the model that was recorded.
        record: from :func:`vit.explain.capture` of ``model``, without changes to heads.
        layer_scale: whether f includes the layer scale.

    Returns:
        ``(b depth h n m)`` float32, not negative, in the units of the tokens.

    Raises:
        ExplainError: a TypeError; the network mixes positions, so a value is not a function of one token.
    """
    if record.mixes_positions:
        raise ExplainError(
            "This network mixes positions when it computes its values, so what one token contributes is not defined: "
            "use its raw maps."
        )
    layers = []
    for block, layer in zip(blocks_of(require_attention(model)), record.layers, strict=True):
        norms = (layer.v @ output_map(block, layer.v.shape[-1], layer_scale)).norm(dim=-1)  # b h m
        layers.append(layer.attention * norms[:, :, None])
    return torch.stack(layers, dim=1).float().cpu().numpy()


def output_map(block: Block, head_dim: int, layer_scale: bool = True) -> Tensor:
    """Return the linear map of each head from its values to the tokens: ``(h d e)``."""
    attention, norm = block.attn, block.norm1.weight
    # (h d) e. Without an output projection the heads are only concatenated: each writes to its own slice.
    weight = torch.eye(len(norm), device=norm.device) if attention.proj is None else attention.proj.weight.T
    if isinstance(attention, SelfAttention) and not attention.scales_first:  # 1/sqrt(d) comes after the product with V
        weight = weight * attention.scale
    gamma = getattr(getattr(block, "ls1", None), "gamma", None)
    if layer_scale and gamma is not None:
        weight = weight * gamma
    return weight.unflatten(0, (-1, head_dim))
