"""What a network is made of, counted from its settings: parameters, operations, activations. Imports no torch.

The counts follow ``vit/model.py``, ``vit/reference.py`` and ``vit/cnn.py`` line by line; tests hold them against the
networks themselves.
"""

from dataclasses import dataclass
from typing import Self

from vit import cnn_plan
from vit.config import CNNConfig, ModelConfig, ReferenceConfig, ViTConfig

IMAGE_COPIES = 6
"""The augmented image, and the augmentation's own copies."""


@dataclass(frozen=True)
class Counts:
    """What a part of a network costs; parts add up, and repeat.

    Attributes:
        parameters: trained numbers.
        flops: operations of the matrix products of one image's forward pass, two a multiply-add.
        floats: numbers that one image leaves in memory for the backward pass.
        widest: the largest of its intermediates.
    """

    parameters: int = 0
    flops: int = 0
    floats: int = 0
    widest: int = 0

    def __add__(self, other: Self) -> Self:
        return Counts(
            self.parameters + other.parameters,
            self.flops + other.flops,
            self.floats + other.floats,
            max(self.widest, other.widest),
        )

    def __mul__(self, times: int) -> Self:
        return Counts(self.parameters * times, self.flops * times, self.floats * times, self.widest)


def count(model: ModelConfig) -> Counts:
    """The whole network: :class:`vit.model.ViT`, :class:`vit.reference.ReferenceViT` or :class:`vit.cnn.CNN`."""
    image = _kept(IMAGE_COPIES * model.in_channels * model.image_size**2)
    match model:
        case ViTConfig():
            return image + _vit(model)
        case ReferenceConfig():
            return image + _reference(model)
        case CNNConfig():
            return image + _cnn(model)
    raise TypeError(f"{type(model).__name__} describes no network that can be counted.")


def _linear(width_in: int, width_out: int, positions: int = 1, *, bias: bool = True) -> Counts:
    """A linear map of each position; a convolution is one of each position's surroundings."""
    out = width_out * positions
    return Counts(width_in * width_out + width_out * bias, 2 * width_in * out, out, out)


def _norm(width: int, positions: int) -> Counts:
    return Counts(parameters=2 * width) + _kept(width * positions)


def _batch_norm(width: int) -> Counts:
    """Keeps its input, which the convolution before it has counted; its output lasts until the ReLU."""
    return Counts(parameters=2 * width)


def _pool(width: int, positions: int) -> Counts:
    """Max-pooling keeps the place of each maximum, 8 bytes, beside the maximum."""
    return _kept(3 * width * positions)


def _kept(floats: int) -> Counts:
    return Counts(floats=floats, widest=floats)


def _products(tokens: int, width: int) -> Counts:
    """Queries times keys, and the attention times values."""
    return Counts(flops=4 * tokens * tokens * width, floats=tokens * width)


def _vit(model: ViTConfig) -> Counts:
    e, n, hidden = model.embed_dim, model.num_tokens, round(model.embed_dim * model.mlp_ratio)
    if model.stem == "patch":
        stem = _linear(model.in_channels * model.patch_size**2, e, n - 1)
    else:
        stem, before, pixels = Counts(), model.in_channels, model.image_size**2
        for width in model.stem_widths:
            stem += _linear(9 * before, width, pixels, bias=False)
            before, pixels = width, pixels // 4
            stem += _pool(width, pixels) + _norm(width, pixels) + _kept(width * pixels)
        residual = _linear(9 * e, e, pixels, bias=False) + _norm(e, pixels) + _kept(2 * e * pixels)
        stem += residual * model.stem_blocks
    block = (
        _norm(e, n) + _linear(e, 3 * e, n) + _products(n, e) + _linear(e, e, n) + _kept(n * e)
        + _norm(e, n) + _linear(e, hidden, n) + _kept(n * hidden) + _linear(hidden, e, n) + _kept(n * e)
    )  # fmt: skip
    if model.layer_scale:  # both branches before it
        block += (Counts(parameters=e) + _kept(n * e)) * 2
    if model.dropout:  # output and noise
        block += _kept(2 * n * e) + _kept(2 * n * hidden) + _kept(2 * n * e)
    if model.drop_path:  # both branches, masked and scaled
        block += _kept(2 * n * e) * 2
    tokens = Counts(parameters=e + n * e) + _kept(2 * n * e)
    return stem + tokens + block * model.depth + _norm(e, n) + _linear(e, model.num_classes)


def _reference(model: ReferenceConfig) -> Counts:
    e, n, d, h, mended = model.embed_dim, model.num_tokens, model.head_dim, model.num_heads, set(model.mended)
    token_wise = "projection" in mended
    head = _linear(e, d, n) * 3 if token_wise else _kept(n * d) + _linear(n * d, n * d) * 3
    maps = _kept(n * n * h) * 2  # scores and attention
    attention = head * h + maps + _products(n, e) + _kept(2 * n * e)  # the last: scaled, and concatenated
    if "output" in mended:
        attention += _linear(e, e, n)
    width, positions = (e, n) if "mlp" in mended else (n * e, 1)
    mlp = _linear(width, 2 * width, positions) + _kept(2 * n * e) + _linear(2 * width, width, positions)
    block = _norm(e, n) * 2 + attention + mlp + _kept(n * e) * 2
    patches = _linear(model.in_channels * model.patch_size**2, e, n - 1)
    tokens = Counts(parameters=e + n * e) + _kept(2 * n * e)
    last = _norm(e, n) if "finish" in mended else Counts()
    return patches + tokens + block * model.depth + last + _linear(e, model.num_classes)


def _cnn(model: CNNConfig) -> Counts:
    total, side, plan = Counts(), model.image_size, cnn_plan.blocks(model)
    for block in plan:
        a, b = block.width_in, block.width_out
        if block.residual:
            side = -(-side // block.stride)
            pixels = side**2
            both = _linear(9 * a, b, pixels, bias=False) + _linear(9 * b, b, pixels, bias=False)
            total += both + _batch_norm(b) * 2 + _kept(b * pixels) * 2
            if block.stride != 1 or a != b:
                total += _linear(a, b, pixels, bias=False) + _batch_norm(b)
        else:
            total += _linear(9 * a, b, side**2, bias=False) + _batch_norm(b) + _kept(b * side**2)
            side //= block.stride
            total += _pool(b, side**2)
    return total + _linear(plan[-1].width_out, model.num_classes)
