"""What a network is made of, counted from its settings: parameters, operations, memory. Imports no torch.

The counts follow ``vit/model.py``, ``vit/reference.py`` and ``vit/cnn.py`` line by line; tests hold them against the
networks themselves, and against what autograd saves.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Self

from vit.config import CNNConfig, ModelConfig, ReferenceConfig, ViTConfig, cnn_blocks

FLOAT = 4
INDEX = 8
"""Bytes of a maximum's place, which max-pooling keeps."""

AUGMENTED = 14
"""Bytes of a pixel's channel while an image is augmented: three float32, the indices of its window, the byte itself."""


@dataclass(frozen=True)
class Counts:
    """What a part of a network costs; parts add up, one after the other.

    Attributes:
        parameters: trained numbers.
        flops: operations of the matrix products of one image's forward pass, two a multiply-add.
        tensors: bytes of each tensor that one image leaves in memory for the backward pass; ``kept`` is their sum.
        peak: bytes of one image at the height of a training step: what is kept, and the gradients and copies beside it.
        passing: bytes of each tensor that comes between those and goes again before the next, and leaves a hole: copies
            in the layout of oneDNN's convolutions, and parts that are stacked.
        flow: bytes of each float32 tensor of one image at the height of a pass that keeps nothing, as in validation.
    """

    parameters: int = 0
    flops: int = 0
    tensors: tuple[int, ...] = ()
    peak: int = 0
    flow: tuple[int, ...] = ()
    passing: tuple[int, ...] = ()

    @property
    def kept(self) -> int:
        return sum(self.tensors)

    def __add__(self, other: Self) -> Self:
        """This part, then the other: while the other's backward pass runs all of this one's is kept, and then all of
        the other's is gone."""
        return Counts(
            self.parameters + other.parameters,
            self.flops + other.flops,
            self.tensors + other.tensors,
            max(self.peak, self.kept + other.peak),
            max(self.flow, other.flow, key=sum),
            self.passing + other.passing,
        )

    def __mul__(self, times: int) -> Self:
        return sum([self] * times, Counts())


@lru_cache(maxsize=4096)  # the Train page asks for each value that a slider could have, at every change
def count(model: ModelConfig, device: str = "cpu") -> Counts:
    """The whole network: :class:`vit.model.ViT`, :class:`vit.reference.ReferenceViT` or :class:`vit.cnn.CNN`.

    Args:
        device: on ``cuda`` the products are taken, and their operands kept, in bf16.
    """
    return _Counter(device).network(model)


def count_head(model: ModelConfig, device: str = "cpu") -> Counts:
    """The head of a network by itself, which is all that is trained of a frozen one."""
    width = cnn_blocks.blocks(model)[-1].width_out if isinstance(model, CNNConfig) else model.embed_dim
    return _Counter(device).head(width, model.num_classes)


class _Counter:
    """Counts for one device.

    Attributes:
        low: bytes of a number that autocast makes bf16 where it is on: operands and results of products.
        noise: bytes of a number's dropout mask.
        cast: bytes of the copy in ``low`` that a product keeps of a float32 operand which is kept anyway.
    """

    def __init__(self, device: str) -> None:
        self.low, self.noise, self.cast = (2, 1, 2) if device == "cuda" else (FLOAT, FLOAT, 0)

    def network(self, model: ModelConfig) -> Counts:
        match model:
            case ViTConfig():
                network = self.vit(model)
            case ReferenceConfig():
                network = self.reference(model)
            case CNNConfig():
                network = self.cnn(model)
            case _:
                raise TypeError(f"{type(model).__name__} describes no network that can be counted.")
        image = model.in_channels * model.image_size**2
        # The batch is held beside the network's own; in validation its bytes are, too.
        total = Counts(tensors=(FLOAT * image,), peak=(AUGMENTED + FLOAT) * image) + network
        return replace(total, flow=(FLOAT * image, image, *network.flow))

    # The textbook's network

    def vit(self, model: ViTConfig) -> Counts:
        e, n = model.embed_dim, model.num_tokens
        stem = self.patch_stem(model) if model.stem == "patch" else self.conv_stem(model)
        added = e * (model.num_prefix_tokens + model.num_positions)
        tokens = _part(added, kept=(self.noise * n * e,) if model.dropout else (), beside=2 * FLOAT * n * e)
        if model.pre_norm:
            tokens += _part(2 * e, kept=(FLOAT * n * e, 2 * FLOAT * n), beside=2 * FLOAT * n * e)
        blocks = self.block(model, n) * (model.depth - 1) + self.block(model, 1 if model.pool == "cls" else n)
        read = 1 if model.pool == "cls" else n
        head = _part(2 * e, kept=(FLOAT * read * e,), beside=2 * FLOAT * read * e)
        if model.num_classes:
            head += self.head(e, model.num_classes)
        return stem + tokens + blocks + head

    def patch_stem(self, model: ViTConfig) -> Counts:
        """Patches are copied out of the image, and kept."""
        pixels, tokens = model.in_channels * model.image_size**2, model.num_tokens * model.embed_dim
        width, bias = model.in_channels * model.patch_size**2, not model.pre_norm
        return _linear(width, model.embed_dim, model.grid**2, bias=bias) + _part(
            kept=(self.low * pixels,), beside=2 * self.low * tokens, flow=(FLOAT * pixels, *[FLOAT * tokens] * 2)
        )

    def conv_stem(self, model: ViTConfig) -> Counts:
        """The image is copied channels last. Pooling keeps its input, group norm its own (in float32), and so ReLU."""
        before, pixels, low = model.in_channels, model.image_size**2, self.low
        total = _part(kept=(low * before * pixels,))
        for width in model.stem_widths:
            full, quarter = width * pixels, width * pixels // 4
            total += _linear(9 * before, width, pixels, bias=False) + _part(
                beside=low * (full + (before * pixels if before != model.in_channels else 0)),
                flow=(FLOAT * full, FLOAT * max(before * pixels, quarter), INDEX * quarter),
            )
            total += _part(kept=(low * full, INDEX * quarter), beside=low * (full + quarter))
            total += _part(2 * width, kept=(FLOAT * quarter,) * 2, beside=2 * FLOAT * quarter)
            if pixels > 4 * model.grid**2:  # another stage reads it
                total += _part(kept=(self.cast * quarter,))
            before, pixels = width, pixels // 4
        e, side = model.embed_dim, FLOAT * model.embed_dim * pixels
        for index in range(model.stem_blocks):
            read = (self.cast * e * pixels, side if index else 0)  # the sum that the block before has made
            total += _linear(9 * e, e, pixels, bias=False) + _part(
                2 * e, kept=(*read, side, side), beside=3 * side, flow=(side,) * 4
            )
        return total

    def block(self, model: ViTConfig, read: int) -> Counts:
        """An encoder block of whose tokens only the first ``read`` are read by what follows."""
        e, n, low = model.embed_dim, model.num_tokens, self.low
        hidden = round(e * model.mlp_ratio)
        out = low * read * e if model.layer_scale else 0  # the scale's gradient needs what it scales
        noise = self.noise * read if model.dropout else 0
        side = FLOAT * read * e  # the gradient that goes past the branch
        stream = FLOAT * n * e
        norm = _part(2 * e, kept=(stream, 2 * FLOAT * n), beside=2 * stream)
        # Queries, keys and values, their sources and what comes of them; their gradients, and those in one matrix.
        whole = (3 * low * n * e,) if read == n else (low * read * e, 2 * low * n * e)
        own = (low * n * e, *whole, low * read * e, FLOAT * read * model.num_heads)
        attention = _linear(e, 3 * e, n, bias=model.qkv_bias) + _products(n, e) + _linear(e, e, n) + _part(
            kept=(*own, noise * e, out), beside=side + low * (2 * n + 2 * read) * e, flow=(*[stream] * 4, 3 * stream)
        )  # fmt: skip
        second = _part(2 * e, kept=(side, 2 * FLOAT * read), beside=2 * side)
        mlp = _linear(e, hidden, n) + _linear(hidden, e, n) + _part(
            kept=(low * read * e, *[low * read * hidden] * 2, noise * hidden, noise * e, out),
            beside=side + low * read * (e + hidden),
            flow=(*[stream] * 5, *[FLOAT * n * hidden] * 2),
        )  # fmt: skip
        scales = Counts(parameters=2 * e) if model.layer_scale else Counts()
        return norm + attention + second + mlp + scales

    def head(self, width: int, classes: int) -> Counts:
        return _linear(width, classes) + _part(kept=(self.low * width,), beside=3 * FLOAT * classes)

    # The course network

    def reference(self, model: ReferenceConfig) -> Counts:
        e, n, low = model.embed_dim, model.num_tokens, self.low
        pixels = model.in_channels * model.image_size**2
        stem = _linear(model.in_channels * model.patch_size**2, e, n - 1)
        stem += _part(kept=(self.cast * pixels,), beside=2 * low * n * e, flow=(FLOAT * n * e,) * 2)
        tokens = _part(e + n * e, beside=2 * FLOAT * n * e)
        read = FLOAT * n * e
        last = _part(2 * e, kept=(read,), beside=2 * read) if "finish" in model.mended else _part(beside=2 * read)
        return stem + tokens + self.reference_block(model) * model.depth + last + self.head(e, model.num_classes)

    def reference_block(self, model: ReferenceConfig) -> Counts:
        e, n, d, h, mended = model.embed_dim, model.num_tokens, model.head_dim, model.num_heads, set(model.mended)
        low, stream, maps = self.low, FLOAT * n * e, n * n * h
        norm = _part(2 * e, kept=(stream, 2 * FLOAT * n), beside=2 * stream)
        if "projection" in mended:  # all heads read the same tokens, of which autocast copies for each anew
            project = _linear(e, d, n) * (3 * h)
            sources = (low * n * e,) * (3 * h if self.cast else 1)
        else:  # each copies its slice
            project = _linear(n * d, n * d) * (3 * h)
            sources = (low * n * d,) * (3 * h)
        attention = project + _products(n, e) + _part(
            kept=(*sources, *[low * n * e] * 3, FLOAT * maps, self.cast * maps),
            beside=2 * stream + 3 * low * n * e + 2 * FLOAT * maps,
            flow=(*[stream] * 9, *[FLOAT * maps] * 2),
        )  # fmt: skip
        if "output" in mended:
            attention += _linear(e, e, n) + _part(kept=(low * n * e,), beside=2 * stream)
        width, positions = (e, n) if "mlp" in mended else (n * e, 1)
        hidden = 2 * low * n * e
        mlp = _linear(width, 2 * width, positions) + _linear(2 * width, width, positions) + _part(
            # ReLU keeps what it gives, and GELU what it gets.
            kept=(low * n * e, *[hidden] * (2 if "finish" in mended else 1)),
            beside=stream + 2 * hidden,
            flow=(*[stream] * 5, *[2 * stream] * 2),
        )  # fmt: skip
        parts = [low * n * d] * (3 * h)
        return norm + attention + norm + mlp + Counts(passing=(*parts, stream, stream))

    # The convolutional networks

    def cnn(self, model: CNNConfig) -> Counts:
        """Batch norm keeps its input, ReLU what it gives, pooling the places besides; a convolution reads what is kept
        already."""
        side, plan, low = model.image_size, cnn_blocks.blocks(model), self.low
        total = _part(kept=(self.cast * model.in_channels * side**2,))
        for block in plan:
            a, b, before = block.width_in, block.width_out, block.width_in * side**2
            first = block is plan[0]
            if block.residual:
                side = -(-side // block.stride)
                pixels = side**2
                total += _linear(9 * a, b, pixels, bias=False) + _linear(9 * b, b, pixels, bias=False)
                own = low * b * pixels
                total += Counts(passing=(low * before, *[own] * 5))  # the last two: batch norm's, before ReLU
                extra = Counts()
                if block.stride != 1 or a != b:
                    extra = _linear(a, b, pixels, bias=False) + _part(2 * b, kept=(own,))
                total += extra + _part(
                    4 * b,
                    kept=(own,) * 4,
                    beside=3 * own + low * before,
                    flow=(FLOAT * before, *[FLOAT * b * pixels] * 4),
                )
            else:
                total += Counts(passing=(low * before, low * b * side**2))
                full, quarter = b * side**2, b * (side // block.stride) ** 2
                total += _linear(9 * a, b, side**2, bias=False) + _part(
                    2 * b,
                    kept=(low * full,),
                    beside=low * (full + (0 if first else before)),
                    flow=(FLOAT * full, FLOAT * full, 0 if first else FLOAT * before),
                )
                total += _part(kept=(low * full,), beside=2 * low * full)
                total += _part(kept=(low * quarter, INDEX * quarter), beside=low * full)
                side //= block.stride
        return total + self.head(plan[-1].width_out, model.num_classes)


def _part(parameters: int = 0, *, kept: tuple[int, ...] = (), beside: int = 0, flow: tuple[int, ...] = ()) -> Counts:
    """Bytes of one image: kept, beside it in the backward pass, and in a pass that keeps nothing."""
    return Counts(parameters, 0, kept, sum(kept) + beside, flow)


def _linear(width_in: int, width_out: int, positions: int = 1, *, bias: bool = True) -> Counts:
    """Weights and operations of a linear map of each position; a convolution is one of each position's surroundings."""
    return Counts(width_in * width_out + width_out * bias, 2 * width_in * width_out * positions)


def _products(tokens: int, width: int) -> Counts:
    """Queries times keys, and the attention times values."""
    return Counts(flops=4 * tokens * tokens * width)
