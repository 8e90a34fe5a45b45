"""How many images go through a network at once when everything on the way is kept, and whether one does."""

from collections.abc import Iterator

from vit.config import ModelConfig, TransformerConfig
from vit.cost.estimate import activation_bytes
from vit.errors import ExplainError
from vit.networks import Network

PART_BYTES = 2**29
"""What a pass may keep."""

MAPS = 5  # of a layer's attention: scores, softmax, the gradients of both, and a product
FLOAT = 4  # bytes

ATTENTION_BYTES_MAX = 400e6
"""What the attention of one image may take where it is kept: a pass holds it twice, a gradient's five times."""


def attention_bytes(config: TransformerConfig) -> int:
    """Bytes of the attention of every head of every layer in one image."""
    return FLOAT * config.depth * config.num_heads * config.num_tokens**2


def require_room(config: ModelConfig) -> None:
    """Raise an ExplainError, a TypeError, where the attention of one image takes more than
    :data:`ATTENTION_BYTES_MAX`.
    """
    if not isinstance(config, TransformerConfig) or (taken := attention_bytes(config)) <= ATTENTION_BYTES_MAX:
        return
    tokens = (ATTENTION_BYTES_MAX / (FLOAT * config.depth * config.num_heads)) ** 0.5
    side = int((tokens - config.num_prefix_tokens) ** 0.5) * config.patch_size
    raise ExplainError(
        f"The attention of this network, {config.depth * config.num_heads} heads over {config.num_tokens:,} tokens, "
        f"takes {taken / 1e6:,.0f} MB in a single image, more than the {ATTENTION_BYTES_MAX / 1e6:.0f} MB that are "
        f"kept of one: open the model at an image size of {side} pixels or less."
    )


def recording_batch_size(model: Network) -> int:
    """Images whose intermediates, maps and gradients fit into :data:`PART_BYTES`; at least one."""
    config = model.config
    kept = activation_bytes(config)
    if isinstance(config, TransformerConfig):  # in training no map is kept
        kept += MAPS * attention_bytes(config)
    return max(1, PART_BYTES // kept)


def image_slices(model: Network, count: int) -> Iterator[slice]:
    """``count`` images in pieces of :func:`recording_batch_size`."""
    step = recording_batch_size(model)
    return (slice(start, start + step) for start in range(0, count, step))
