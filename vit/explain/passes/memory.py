"""Limit the memory of forward passes that keep all intermediates."""

from collections.abc import Iterator

from vit.config import ModelConfig, TransformerConfig
from vit.cost.estimate import activation_bytes
from vit.errors import ExplainError
from vit.networks import Network

PART_BYTES = 2**29
"""Maximum of bytes that one forward pass may keep."""

MAPS = 5  # attention-sized tensors of a layer: scores, softmax, the gradients of both, and one product
FLOAT = 4  # bytes

ATTENTION_BYTES_MAX = 400e6
"""Maximum size of the recorded attention of one image. A forward pass needs it twice, a gradient five times."""


def attention_bytes(config: TransformerConfig) -> int:
    """Return the bytes of the attention maps of one image, over all heads and layers."""
    return FLOAT * config.depth * config.num_heads * config.num_tokens**2


def require_room(config: ModelConfig) -> None:
    """Raise an ExplainError (a TypeError) if one image's attention takes more than :data:`ATTENTION_BYTES_MAX`."""
    if not isinstance(config, TransformerConfig) or (taken := attention_bytes(config)) <= ATTENTION_BYTES_MAX:
        return
    tokens = (ATTENTION_BYTES_MAX / (FLOAT * config.depth * config.num_heads)) ** 0.5
    side = int((tokens - config.num_prefix_tokens) ** 0.5) * config.patch_size
    raise ExplainError(
        f"The attention of this network, {config.depth * config.num_heads} heads over {config.num_tokens:,} tokens, "
        f"takes {taken / 1e6:,.0f} MB for a single image, more than the limit of {ATTENTION_BYTES_MAX / 1e6:.0f} MB: "
        f"open the model at an image size of {side} pixels or less."
    )


def recording_batch_size(model: Network) -> int:
    """Return the number of images whose intermediates, maps and gradients fit into :data:`PART_BYTES`, at least 1."""
    config = model.config
    kept = activation_bytes(config)
    if isinstance(config, TransformerConfig):  # activation_bytes counts no maps, since training keeps none
        kept += MAPS * attention_bytes(config)
    return max(1, PART_BYTES // kept)


def image_slices(model: Network, count: int) -> Iterator[slice]:
    """Return slices that divide ``count`` images into batches of :func:`recording_batch_size`."""
    step = recording_batch_size(model)
    return (slice(start, start + step) for start in range(0, count, step))
