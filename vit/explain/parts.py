"""How many images go through a network at once when everything on the way is kept."""

from collections.abc import Iterator

from torch import nn

from vit.config import TransformerConfig
from vit.estimate import activation_bytes

PART_BYTES = 2**29
"""What a pass may keep."""

MAPS = 5  # of a layer's attention: scores, softmax, the gradients of both, and a product
FLOAT = 4  # bytes


def images_at_once(model: nn.Module) -> int:
    """Images whose intermediates, maps and gradients fit into :data:`PART_BYTES`; at least one."""
    config = model.config
    kept = activation_bytes(config)
    if isinstance(config, TransformerConfig):  # in training no map is kept
        kept += FLOAT * MAPS * config.depth * config.num_heads * config.num_tokens**2
    return max(1, PART_BYTES // kept)


def parts(model: nn.Module, count: int) -> Iterator[slice]:
    """``count`` images in pieces of :func:`images_at_once`."""
    step = images_at_once(model)
    return (slice(start, start + step) for start in range(0, count, step))
