"""The cost of a training without labels: DINO's crops, teacher and projection head, and MAE's decoder.

Imports no torch.
"""

from typing import NamedTuple

from vit.config import RunConfig, ViTConfig
from vit.config.unlabelled import BOTTLENECK, HIDDEN, PROTOTYPES, decoder_config, local_size
from vit.cost.arithmetic import FLOAT, Counts, linear, total
from vit.cost.counts import count
from vit.cost.diagram import diagram

GLOBAL_CROPS = 2
BACKWARD = 3
"""Cost of a forward and a backward pass, in forward passes."""


class Added(NamedTuple):
    """What a training without labels takes for one image, and what it adds to the network.

    Attributes:
        flops: operations of a training step.
        peak: bytes at the highest point of a step.
        trained: parameters that are trained besides the network's.
        copied: parameters that are kept without gradients: DINO's teacher.
    """

    flops: float
    peak: float
    trained: int
    copied: int


def added(config: RunConfig, device: str = "cpu") -> Added:
    """Return the costs of a training without labels.

    Raises:
        TypeError: the network is not a ViT, which has no such training.
    """
    model, recipe = config.model, config.training
    if not isinstance(model, ViTConfig):
        raise TypeError("A training without labels needs a Vision Transformer.")
    return _dino(model, recipe.local_crops, device) if recipe.learn_from == "dino" else _mae(config, model, device)


def _dino(model: ViTConfig, local_crops: int, device: str) -> Added:
    side = local_size(model.image_size, model.patch_size)
    large, small = count(model, device), count(ViTConfig(**model.model_dump() | {"image_size": side}), device)
    # The biases of the hidden layers are those of their norms, which have as many scales.
    head = linear(model.embed_dim, HIDDEN) + linear(HIDDEN, HIDDEN) + Counts(2 * HIDDEN) + linear(HIDDEN, BOTTLENECK)
    head += linear(BOTTLENECK, PROTOTYPES, bias=False)
    student = GLOBAL_CROPS * (large.flops + head.flops) + local_crops * (small.flops + head.flops)
    teacher = GLOBAL_CROPS * (large.flops + head.flops)
    outputs = FLOAT * (GLOBAL_CROPS + local_crops) * (2 * HIDDEN + 3 * PROTOTYPES)
    return Added(
        flops=BACKWARD * student + teacher,
        peak=GLOBAL_CROPS * large.peak + local_crops * small.peak + outputs,
        trained=head.parameters,
        copied=large.parameters + head.parameters,
    )


def _mae(config: RunConfig, model: ViTConfig, device: str) -> Added:
    stem, blocks, _ = (stage.counts for stage in diagram(model, device=device))
    decoder = _decoder(model, device)
    visible = 1 - config.training.mask_ratio
    image = FLOAT * model.in_channels * model.image_size**2
    return Added(
        flops=BACKWARD * (stem.flops + visible * blocks.flops + decoder.flops),
        peak=3 * image + stem.peak + visible * blocks.peak + decoder.peak,
        trained=decoder.parameters,
        copied=0,
    )


def _decoder(model: ViTConfig, device: str) -> Counts:
    own = decoder_config(model)
    e, n = own.embed_dim, own.num_tokens
    pixels = linear(e, model.patch_size**2 * model.in_channels, n)
    blocks = diagram(own, device=device)[1].counts
    embeddings = Counts(parameters=(n + 1) * e + 2 * e)  # positions, the mask token, and the last norm
    return total((linear(model.embed_dim, e, n), embeddings, blocks, pixels))
