"""The parts of every network in the order in which data passes through them: names, shapes and costs.

The Anatomy page draws these parts, and :mod:`vit.cost.counts` adds up their costs. They follow ``vit/model.py``,
``vit/reference.py`` and ``vit/cnn.py`` line by line, from the settings alone: it imports no torch. Tests compare
shapes, parameters and operations with the networks themselves, and memory with what autograd saves.
"""

from dataclasses import dataclass
from itertools import pairwise

from vit.config import DEPARTURES, CNNConfig, ModelConfig, ReferenceConfig, TransformerConfig, ViTConfig, cnn_blocks
from vit.cost.arithmetic import FLOAT, INDEX, NOTHING, Counts, activations, linear, total

_GELUS = {"gelu": "GELU", "gelu_tanh": "GELU (tanh)", "quick_gelu": "x σ(1.702 x)"}
"""Names of the MLP's activations in the diagram."""


@dataclass(frozen=True)
class Part:
    """One box of the diagram.

    Attributes:
        name: what the part does, in a few words.
        letters: the shape of its output in einops letters.
        shape: the same shape in numbers.
        counts: its costs for one image, in one repetition.
        departs: whether the course network differs here from the standard design.
    """

    name: str
    letters: str
    shape: tuple[int, ...]
    counts: Counts = NOTHING
    departs: bool = False

    @property
    def parameters(self) -> int:
        return self.counts.parameters


@dataclass(frozen=True)
class Branch:
    """Parts one after another.

    Attributes:
        residual: whether the branch's input is added to its output.
        memory: activations of the branch as a whole, which no single part accounts for.
    """

    parts: tuple[Part, ...]
    residual: bool = False
    memory: Counts = NOTHING

    @property
    def counts(self) -> Counts:
        return total(part.counts for part in self.parts) + self.memory


@dataclass(frozen=True)
class Stage:
    """Branches one after another, ``repeat`` times.

    Attributes:
        title: the name of the block that the branches form; empty where they form none.
        last: the branches of the last repetition where they take less memory than the others; empty otherwise.
    """

    branches: tuple[Branch, ...]
    title: str = ""
    repeat: int = 1
    last: tuple[Branch, ...] = ()

    @property
    def counts(self) -> Counts:
        """Costs of all repetitions."""
        once = total(branch.counts for branch in self.branches)
        return once * (self.repeat - 1) + (total(branch.counts for branch in self.last) if self.last else once)

    @property
    def parameters(self) -> int:
        return self.counts.parameters


def diagram(config: ModelConfig, *, batch: int = 1, device: str = "cpu") -> tuple[Stage, ...]:
    """Return the parts of the network that ``config`` describes, from the image to the logits.

    Args:
        config: the settings of the network.
        batch: images in a batch, the first number of every shape. Costs are those of one image.
        device: on ``cuda`` matrix products run in bf16, and so do the operands that they keep.
    """
    parts = _Parts(batch, device)
    match config:
        case ViTConfig():
            return parts.vit(config)
        case ReferenceConfig():
            return parts.reference(config)
        case CNNConfig():
            return parts.cnn(config)
    raise TypeError(f"there is no diagram of {type(config).__name__}.")


def count_parameters(stages: tuple[Stage, ...]) -> int:
    return sum(stage.parameters for stage in stages)


def numbers(part: Part) -> str:
    """Return a part's shape in numbers, such as ``1 × 65 × 128``."""
    return " × ".join(f"{one:,}" for one in part.shape)


def _plain(*parts: Part) -> Stage:
    return Stage((Branch(parts),))


class _Parts:
    """Parts of networks for one batch size and one device.

    Attributes:
        low: bytes of a number that autocast turns into bf16 on a GPU: operands and results of matrix products.
        noise: bytes of one number's dropout mask.
        cast: bytes of a number in the ``low`` copy that a product keeps of a float32 operand, which is kept anyway.
    """

    def __init__(self, batch: int, device: str) -> None:
        self.batch = batch
        self.low, self.noise, self.cast = (2, 1, 2) if device == "cuda" else (FLOAT, FLOAT, 0)

    # Parts that several networks share

    def image(self, model: ModelConfig, counts: Counts = NOTHING) -> Part:
        return Part("Image", "b c h w", (self.batch, model.in_channels, model.image_size, model.image_size), counts)

    def classifier(self, width: int, classes: int) -> Part:
        counts = linear(width, classes) + activations(kept=(self.low * width,), beside=3 * FLOAT * classes)
        return Part("Linear map to the classes", "b k", (self.batch, classes), counts)

    def tokens(self, model: TransformerConfig, name: str, counts: Counts, *, departs: bool = False) -> Part:
        """Return a part whose output is all tokens."""
        return Part(name, "b n e", (self.batch, model.num_tokens, model.embed_dim), counts, departs)

    def maps(self, name: str, width: int, side: int, counts: Counts) -> Part:
        """Return a part whose output is ``width`` feature maps."""
        return Part(name, "b e r w", (self.batch, width, side, side), counts)

    def norm(self, model: TransformerConfig, read: int) -> Part:
        """Return a layer norm of the first ``read`` tokens. It keeps its input and two statistics of each token."""
        stream = FLOAT * read * model.embed_dim
        memory = activations(kept=(stream, 2 * FLOAT * read), beside=2 * stream)
        return self.tokens(model, "Layer norm", Counts(2 * model.embed_dim) + memory)

    def patches(self, model: TransformerConfig, *, copied: bool, bias: bool = True) -> tuple[Part, ...]:
        """Return the patches and their embedding.

        The patches are ``copied`` out of the image (ViT) or read in place (course network).
        """
        p, positions, e, low = model.patch_size, model.grid**2, model.embed_dim, self.low
        size, image, pixels = model.num_tokens * e, model.in_channels * model.image_size**2, model.in_channels * p**2
        memory = activations(
            kept=((low if copied else self.cast) * image,),
            beside=2 * low * size,
            flow=(FLOAT * image if copied else 0, FLOAT * size, FLOAT * size),
        )
        counts = linear(pixels, e, positions, bias=bias) + memory
        return (
            Part(f"Cut into patches of {p} × {p}", "b (r w) (c p1 p2)", (self.batch, positions, pixels)),
            Part("Linear map of each patch", "b (r w) e", (self.batch, positions, e), counts),
        )

    def attention(self, model: TransformerConfig, right: tuple[str, ...], *, bias: bool = True) -> tuple[Part, ...]:
        """Return the parts from the normalised tokens to the output of the attention.

        Args:
            model: the settings of the network.
            right: the departures from the standard design that this network does not make.
            bias: whether queries, keys and values have one.
        """
        b, n, e, h, d = self.batch, model.num_tokens, model.embed_dim, model.num_heads, model.head_dim
        whole, scaled, keys, output = (name in right for name in ("projection", "scaling", "softmax", "output"))
        per_head, square, product = (b, h, n, d), (b, h, n, n), Counts(flops=2 * n * n * e)
        # All heads read the same tokens, or each a slice of all of them.
        project = linear(e, 3 * e, n, bias=bias) if whole else linear(n * d, n * d) * (3 * h)
        sliced = () if whole else (Part("A slice a head, end to end", "b h (n d)", (b, h, n * d), departs=True),)
        return (
            *sliced,
            Part("Queries, keys, values", "b h n d", per_head, project, departs=not whole),
            Part(f"Scores: Q Kᵀ{' / √d' if scaled else ''}", "b h n m", square, product, departs=not scaled),
            Part(f"Softmax over the {'keys m' if keys else 'queries n'}", "b h n m", square, departs=not keys),
            Part(f"Weighted sum of values{'' if scaled else ', / √d'}", "b h n d", per_head, product, not scaled),
            Part("Heads side by side", "b n (h d)", (b, n, h * d), departs=not output),
            *((self.tokens(model, "Output projection", linear(e, e, n)),) if output else ()),
        )

    # The Vision Transformer

    def vit(self, model: ViTConfig) -> tuple[Stage, ...]:
        b, n, e = self.batch, model.num_tokens, model.embed_dim
        read = 1 if model.pool == "cls" else n
        of_patches = model.stem == "patch"
        stem = self.patches(model, copied=True, bias=not model.pre_norm) if of_patches else self.conv_stem(model)
        before = (self.norm(model, n),) if model.pre_norm else ()
        norm = Counts(2 * e) + activations(kept=(FLOAT * read * e,), beside=2 * FLOAT * read * e)
        pool = Part("Class token alone" if model.pool == "cls" else "Mean over the patches", "b e", (b, e))
        if model.fc_norm:
            summary = (pool, Part("Layer norm of the mean", "b e", (b, e), norm))
        else:
            summary = (self.tokens(model, "Layer norm", norm), pool)
        return (
            _plain(self.image(model), *stem, *self.prefix(model), *before),
            Stage(self.block(model, n), "Encoder block", model.depth, last=self.block(model, read)),
            _plain(*summary, *((self.classifier(e, model.num_classes),) if model.num_classes else ())),
        )

    def conv_stem(self, model: ViTConfig) -> tuple[Part, ...]:
        """Return the convolutional stem.

        The image is copied in channels-last layout. Pooling, group norm (in float32) and ReLU keep their inputs.
        """
        parts, side, e, low = [], model.image_size, model.embed_dim, self.low
        counts = activations(kept=(low * model.in_channels * side**2,))
        for width_in, width in pairwise((model.in_channels, *model.stem_widths)):
            read, full, quarter = width_in * side**2, width * side**2, width * side**2 // 4
            counts += linear(9 * width_in, width, side**2, bias=False) + activations(
                beside=low * (full + (read if width_in != model.in_channels else 0)),
                flow=(FLOAT * full, FLOAT * max(read, quarter), INDEX * quarter),
            )
            counts += activations(kept=(low * full, INDEX * quarter), beside=low * (full + quarter))
            counts += Counts(2 * width) + activations(kept=(FLOAT * quarter,) * 2, beside=2 * FLOAT * quarter)
            side //= 2
            if side > model.grid:  # another stage reads it
                counts += activations(kept=(self.cast * quarter,))
            parts.append(self.maps("Convolution 3 × 3, pooling, norm, ReLU", width, side, counts))
            counts = NOTHING
        positions, stream = side**2, FLOAT * e * side**2
        for index in range(model.stem_blocks):
            # The input's bf16 copy, and the input itself where it is the sum that the block before has made.
            source = (self.cast * e * positions, stream if index else 0)
            memory = activations(kept=(*source, stream, stream), beside=3 * stream, flow=(stream,) * 4)
            counts = linear(9 * e, e, positions, bias=False) + Counts(2 * e) + memory
            parts.append(self.maps("Convolution 3 × 3, norm, ReLU, added", e, side, counts))
        return (*parts, Part("Positions in a row", "b (r w) e", (self.batch, positions, e)))

    def prefix(self, model: ViTConfig) -> tuple[Part, ...]:
        """Return the position embeddings and the prefix tokens in the order in which they are added."""
        e, registers, size = model.embed_dim, model.reg_tokens, model.num_tokens * model.embed_dim
        names = ["class token"] if model.class_token else []
        names += [f"{registers} register{'s' if registers > 1 else ''}"] if registers else []
        prefix, positions = Counts(model.num_prefix_tokens * e), Counts(model.num_positions * e)
        memory = activations(kept=(self.noise * size,) if model.dropout else (), beside=2 * FLOAT * size)
        if names and not model.no_embed_class:
            name = f"{', '.join(names).capitalize()} and positions"
            return (self.tokens(model, name, prefix + positions + memory),)
        shape = (self.batch, model.grid**2, e)
        of_patches = Part("Positions of the patches", "b (r w) e", shape, positions if names else positions + memory)
        return (of_patches, *([self.tokens(model, " and ".join(names).capitalize(), prefix + memory)] if names else []))

    def block(self, model: ViTConfig, read: int) -> tuple[Branch, ...]:
        """Return an encoder block of which only the first ``read`` output tokens are used."""
        e, n, low = model.embed_dim, model.num_tokens, self.low
        hidden = round(e * model.mlp_ratio)
        out = low * read * e if model.layer_scale else 0  # the scale's gradient needs what it scales
        noise = self.noise * read if model.dropout else 0
        side, stream = FLOAT * read * e, FLOAT * n * e  # side: the gradient that goes past the branch
        # Queries, keys and values, their input and the attention's output; in the backward pass the gradients of all.
        qkv = (3 * low * n * e,) if read == n else (low * read * e, 2 * low * n * e)
        attention = activations(
            kept=(low * n * e, *qkv, low * read * e, FLOAT * read * model.num_heads, noise * e, out),
            beside=side + low * (2 * n + 2 * read) * e,
            flow=(*[stream] * 4, 3 * stream),
        )
        mlp = activations(
            kept=(low * read * e, *[low * read * hidden] * 2, noise * hidden, noise * e, out),
            beside=side + low * read * (e + hidden),
            flow=(*[stream] * 5, *[FLOAT * n * hidden] * 2),
        )
        scale = (self.tokens(model, "Layer scale", Counts(e)),) if model.layer_scale else ()
        maps = self.mlp(model, hidden, _GELUS[model.act_layer])
        heads = self.attention(model, DEPARTURES, bias=model.qkv_bias)
        return (
            Branch((self.norm(model, n), *heads, *scale), residual=True, memory=attention),
            Branch((self.norm(model, read), *maps, *scale), residual=True, memory=mlp),
        )

    def mlp(self, model: TransformerConfig, hidden: int, activation: str) -> tuple[Part, ...]:
        n, e = model.num_tokens, model.embed_dim
        return (
            Part(f"Linear map, {activation}", "b n f", (self.batch, n, hidden), linear(e, hidden, n)),
            self.tokens(model, "Linear map back", linear(hidden, e, n)),
        )

    # The course network

    def reference(self, model: ReferenceConfig) -> tuple[Stage, ...]:
        e, size = model.embed_dim, model.num_tokens * model.embed_dim
        beside = activations(beside=2 * FLOAT * size)
        tokens = self.tokens(model, "Class token and positions", Counts(e + size) + beside)
        norm = Counts(2 * e) + activations(kept=(FLOAT * size,))
        last = (self.tokens(model, "Layer norm", norm),) if "finish" in model.mended else ()
        mean = Part("Mean over all tokens", "b e", (self.batch, e), beside, departs=True)
        return (
            _plain(self.image(model), *self.patches(model, copied=False), tokens),
            Stage(self.reference_block(model), "Encoder block", model.depth),
            _plain(*last, mean, self.classifier(e, model.num_classes)),
        )

    def reference_block(self, model: ReferenceConfig) -> tuple[Branch, ...]:
        e, n, d, h, right = model.embed_dim, model.num_tokens, model.head_dim, model.num_heads, model.mended
        low, stream, maps = self.low, FLOAT * n * e, n * n * h
        # With "projection" all heads read the same tokens, which autocast copies for each; else each copies its slice.
        sources = (low * n * e,) * (3 * h if self.cast else 1) if "projection" in right else (low * n * d,) * (3 * h)
        attention = activations(
            kept=(*sources, *[low * n * e] * 3, FLOAT * maps, self.cast * maps),
            beside=2 * stream + 3 * low * n * e + 2 * FLOAT * maps,
            flow=(*[stream] * 9, *[FLOAT * maps] * 2),
        )
        if "output" in right:
            attention += activations(kept=(low * n * e,), beside=2 * stream)
        finished, hidden = "finish" in right, 2 * low * n * e
        mlp = activations(
            kept=(low * n * e, *[hidden] * (2 if finished else 1)),  # ReLU keeps its output, GELU its input
            beside=stream + 2 * hidden,
            flow=(*[stream] * 5, *[2 * stream] * 2),
            passing=(*[low * n * d] * (3 * h), stream, stream),
        )
        activation = "GELU" if finished else "ReLU"
        inner = self.mlp(model, 2 * e, activation) if "mlp" in right else self.flat_mlp(model, activation)
        norm = self.norm(model, n)
        return (
            Branch((norm, *self.attention(model, right)), residual=True, memory=attention),
            Branch((norm, *inner), residual=True, memory=mlp),
        )

    def flat_mlp(self, model: ReferenceConfig, activation: str) -> tuple[Part, ...]:
        b, flat = self.batch, model.num_tokens * model.embed_dim
        return (
            Part("All tokens end to end", "b (n e)", (b, flat), departs=True),
            Part(f"Linear map, {activation}", "b f", (b, 2 * flat), linear(flat, 2 * flat), departs=True),
            self.tokens(model, "Linear map back, tokens apart", linear(2 * flat, flat), departs=True),
        )

    # The convolutional networks

    def cnn(self, model: CNNConfig) -> tuple[Stage, ...]:
        """Return the stages of a convolutional network.

        Batch norm keeps its input, ReLU its output, and pooling also its indices. The input of a convolution is the
        output of another part, which keeps it.
        """
        side, plan = model.image_size, cnn_blocks.blocks(model)
        stages = [_plain(self.image(model, activations(kept=(self.cast * model.in_channels * side**2,))))]
        for block in plan:
            first = block is plan[0]
            stages.append(self.residual_block(block, side) if block.residual else self.conv_block(block, side, first))
            side = block.side_out(side)
        width = plan[-1].width_out
        mean = Part("Mean over the positions", "b e", (self.batch, width))
        return (*stages, _plain(mean, self.classifier(width, model.num_classes)))

    def conv_block(self, block: cnn_blocks.Block, side: int, first: bool) -> Stage:
        """Return a block of the plain network; the ``first`` one needs no gradient of its input."""
        width, low, out = block.width_out, self.low, block.side_out(side)
        before, full, pooled = block.width_in * side**2, width * side**2, width * out**2
        read = 0 if first else before
        counts = linear(9 * block.width_in, width, side**2, bias=False) + Counts(2 * width)
        counts += activations(
            kept=(low * full,),
            beside=low * (full + read),
            flow=(FLOAT * full, FLOAT * full, FLOAT * read),
            passing=(low * before, low * full),
        )
        counts += activations(kept=(low * full,), beside=2 * low * full)
        counts += activations(kept=(low * pooled, INDEX * pooled), beside=low * full)
        return _plain(self.maps("Convolution 3 × 3, norm, ReLU, pooling", width, out, counts))

    def residual_block(self, block: cnn_blocks.Block, side: int) -> Stage:
        width, stride, low, out = block.width_out, block.stride, self.low, block.side_out(side)
        before, own = low * block.width_in * side**2, low * width * out**2

        def convolution(name: str, kernel: int, width_in: int) -> Part:
            weights = linear(kernel**2 * width_in, width, out**2, bias=False) + Counts(2 * width)
            return self.maps(name, width, out, weights)

        strided = f", stride {stride}" if stride > 1 else ""
        parts = [
            convolution(f"Convolution 3 × 3{strided}, norm, ReLU", 3, block.width_in),
            convolution("Convolution 3 × 3, norm", 3, width),
        ]
        if stride != 1 or block.width_in != width:
            parts.append(convolution("Shortcut: convolution 1 × 1, norm", 1, block.width_in))
        memory = activations(
            kept=(own,) * (2 + len(parts)),
            beside=3 * own + before,
            flow=(FLOAT * block.width_in * side**2, *[FLOAT * width * out**2] * 4),
            passing=(before, *[own] * 5),  # the last two: batch norm's, before ReLU
        )
        return Stage((Branch(tuple(parts), residual=True, memory=memory),), "Residual block")
