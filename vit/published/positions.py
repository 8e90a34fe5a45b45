"""Position embeddings for another grid of patches."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor


def interpolate_positions(
    pos_embed: Tensor, from_grid: tuple[int, int], to_grid: tuple[int, int], prefix: int
) -> Tensor:
    """Learned positions of one grid, bicubically resampled to another: ``1 (prefix + r w) e -> 1 (prefix + r' w') e``.

    Those of the ``prefix`` tokens, which have no place in the image, stay as they are. As timm's
    ``resample_abs_pos_embed`` does it, with antialiasing where the grid becomes smaller (Dosovitskiy et al. 2021,
    section 3.2, where it is plain interpolation).

    Args:
        from_grid, to_grid: rows and columns of patches.
        prefix: how many tokens with a position stand before the patches.

    Raises:
        ValueError: there are not so many positions.
    """
    rows, columns = from_grid
    if pos_embed.shape[:2] != (1, prefix + rows * columns):
        raise ValueError(
            f"pos_embed has shape {tuple(pos_embed.shape)}; a grid of {rows} x {columns} with {prefix} tokens before "
            f"it takes (1, {prefix + rows * columns}, embed_dim)."
        )
    if from_grid == to_grid:
        return pos_embed
    first, patches = pos_embed[:, :prefix], pos_embed[:, prefix:]
    grid = rearrange(patches.float(), "1 (r w) e -> 1 e r w", r=rows)
    grid = F.interpolate(grid, size=to_grid, mode="bicubic", antialias=True)
    return torch.cat([first, rearrange(grid, "1 e r w -> 1 (r w) e").to(pos_embed.dtype)], dim=1)
