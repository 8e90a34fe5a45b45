"""What a first look at a network shows: what a token is the sum of, and over how many tokens a head spreads."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vit.model import ViT


class TokenParts(NamedTuple):
    """What a patch's token is made of.

    Attributes:
        values: ``(3 e)`` float32: what the stem makes of the patch, the embedding of its place, and their sum, which
            enters the first block (where there is a norm before it, enters that norm).
        place_share: mean size of the numbers of the place over that of the stem's.
    """

    values: np.ndarray
    place_share: float


@torch.no_grad()
def token_parts(model: ViT, images: Tensor, patch: int) -> TokenParts:
    """What one patch's token is made of, for the first of ``images (b c h w)``, normalised.

    Args:
        model: a :class:`vit.model.ViT`.
        patch: from 1, row by row.

    Raises:
        ValueError: there is no such patch.
    """
    count = model.grid[0] * model.grid[1]
    if not 1 <= patch <= count:
        raise ValueError(f"patch = {patch} does not exist; choose 1 to {count}.")
    images = images[:1].to(next(model.parameters()).device, torch.float32)
    content = model.patch_embed(images)[0, patch - 1]
    place = model.pos_embed[0, patch - 1 - count]  # the patches' positions are the last ones, with or without others
    share = place.abs().mean() / content.abs().mean().clamp(min=1e-30)
    return TokenParts(torch.stack([content, place, content + place]).float().cpu().numpy(), share.item())


def effective_tokens(rows: np.ndarray) -> np.ndarray:
    """Over how many tokens attention ``(... m)`` that sums to 1 is spread: e to the power of its entropy, ``(...)``.

    It is 1 where all goes to one token, and m where each gets 1/m.
    """
    return np.exp(-(rows * np.log(np.maximum(rows, 1e-30))).sum(axis=-1))
