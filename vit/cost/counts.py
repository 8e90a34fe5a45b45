"""Count a network's parameters, operations and memory from its settings. Imports no torch."""

from dataclasses import replace
from functools import lru_cache

from vit.config import ModelConfig
from vit.cost.arithmetic import FLOAT, NOTHING, Counts, total
from vit.cost.diagram import diagram

AUGMENTED = 14
"""Bytes of a pixel's channel while an image is augmented: three float32, the indices of its window, the byte itself."""


@lru_cache(maxsize=4096)  # the Train page asks for each value that a slider could have, at every change
def count(model: ModelConfig, device: str = "cpu") -> Counts:
    """Return the costs of a whole network for one image: the sum over :func:`vit.cost.diagram.diagram`.

    Args:
        model: the settings of the network.
        device: on ``cuda`` matrix products run in bf16, and so do the operands that they keep.
    """
    network = total(stage.counts for stage in diagram(model, device=device))
    image = model.in_channels * model.image_size**2
    # The batch is held for the whole step; validation also holds its bytes.
    counts = Counts(tensors=(FLOAT * image,), peak=(AUGMENTED + FLOAT) * image) + network
    return replace(counts, flow=(FLOAT * image, image, *network.flow))


def count_head(model: ModelConfig, device: str = "cpu") -> Counts:
    """Return the costs of the classification head, the only trained part of a network with a frozen backbone."""
    return diagram(model, device=device)[-1].branches[-1].parts[-1].counts if model.num_classes else NOTHING
