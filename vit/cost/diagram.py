"""A network as a diagram: its parts in the order of the data, with the shape after each in letters and in numbers.

Imports no torch: the parts follow from the settings. Tests hold shapes and parameters against the networks themselves.
"""

from dataclasses import dataclass
from itertools import pairwise

from vit.config import DEPARTURES, CNNConfig, ModelConfig, ReferenceConfig, TransformerConfig, ViTConfig, cnn_blocks

_GELUS = {"gelu": "GELU", "gelu_tanh": "GELU (tanh)", "quick_gelu": "x σ(1.702 x)"}
"""Activations of the MLP, as the diagram calls them."""


@dataclass(frozen=True)
class Part:
    """One box of the diagram.

    Attributes:
        name: what happens, in a few words.
        letters: the shape after it in einops letters.
        shape: the same in numbers.
        parameters: its trained numbers, in one repetition.
        departs: whether the course network does here what the textbook does not.
    """

    name: str
    letters: str
    shape: tuple[int, ...]
    parameters: int = 0
    departs: bool = False


@dataclass(frozen=True)
class Branch:
    """Parts one after another; with ``residual`` their result is added to what came in."""

    parts: tuple[Part, ...]
    residual: bool = False


@dataclass(frozen=True)
class Stage:
    """Branches one after another, ``repeat`` times; ``title`` where they make up a block."""

    branches: tuple[Branch, ...]
    title: str = ""
    repeat: int = 1

    @property
    def parameters(self) -> int:
        """Trained numbers of all repetitions."""
        return self.repeat * sum(part.parameters for branch in self.branches for part in branch.parts)


def diagram(config: ModelConfig, *, batch: int = 1) -> tuple[Stage, ...]:
    """The network that ``config`` describes, from the image to the logits, for ``batch`` images."""
    image = Part("Image", "b c h w", (batch, config.in_channels, config.image_size, config.image_size))
    match config:
        case ViTConfig():
            return _vit(config, image)
        case ReferenceConfig():
            return _reference(config, image)
        case CNNConfig():
            return _cnn(config, image)
    raise TypeError(f"there is no diagram of {type(config).__name__}.")


def _plain(*parts: Part) -> Stage:
    return Stage((Branch(parts),))


def _vit(config: ViTConfig, image: Part) -> tuple[Stage, ...]:
    b, e, hidden = image.shape[0], config.embed_dim, round(config.embed_dim * config.mlp_ratio)
    tokens = _tokens(config, b)
    if config.stem == "patch":
        stem = _patches(config, b)
    else:
        stem, side = (), config.image_size
        for width_in, width_out in pairwise((config.in_channels, *config.stem_widths)):
            side //= 2
            name, size = "Convolution 3 × 3, pooling, norm, ReLU", 9 * width_in * width_out + 2 * width_out
            stem += (Part(name, "b e r w", (b, width_out, side, side), size),)
        residual = Part("Convolution 3 × 3, norm, ReLU, added", "b e r w", (b, e, side, side), 9 * e * e + 2 * e)
        stem += (residual,) * config.stem_blocks
        stem += (Part("Positions in a row", "b (r w) e", (b, config.grid**2, e)),)
    scale = (Part("Layer scale", *tokens, e),) if config.layer_scale else ()
    attention = (Part("Layer norm", *tokens, 2 * e), *_attention(config, b, DEPARTURES), *scale)
    mlp = (
        Part("Layer norm", *tokens, 2 * e),
        Part(f"Linear map, {_GELUS[config.act_layer]}", "b n f", (b, config.num_tokens, hidden), e * hidden + hidden),
        Part("Linear map back", *tokens, hidden * e + e),
        *scale,
    )
    pool = Part("Class token alone" if config.pool == "cls" else "Mean over the patches", "b e", (b, e))
    before = (Part("Layer norm", *tokens, 2 * e),) if config.pre_norm else ()
    if config.fc_norm:
        last = (pool, Part("Layer norm of the mean", "b e", (b, e), 2 * e))
    else:
        last = (Part("Layer norm", *tokens, 2 * e), pool)
    classes = (_classes(config, b, e),) if config.num_classes else ()
    return (
        _plain(image, *stem, *_before_blocks(config, tokens), *before),
        Stage((Branch(attention, residual=True), Branch(mlp, residual=True)), "Encoder block", config.depth),
        _plain(*last, *classes),
    )


def _reference(config: ReferenceConfig, image: Part) -> tuple[Stage, ...]:
    b, n, e, right = image.shape[0], config.num_tokens, config.embed_dim, config.mended
    tokens = _tokens(config, b)
    attention = (Part("Layer norm", *tokens, 2 * e), *_attention(config, b, right))
    activation = "GELU" if "finish" in right else "ReLU"
    if "mlp" in right:
        inner = (
            Part(f"Linear map, {activation}", "b n f", (b, n, 2 * e), 2 * e * e + 2 * e),
            Part("Linear map back", *tokens, 2 * e * e + e),
        )
    else:
        flat = n * e
        inner = (
            Part("All tokens end to end", "b (n e)", (b, flat), departs=True),
            Part(f"Linear map, {activation}", "b f", (b, 2 * flat), 2 * flat * flat + 2 * flat, departs=True),
            Part("Linear map back, tokens apart", *tokens, 2 * flat * flat + flat, departs=True),
        )
    mlp = (Part("Layer norm", *tokens, 2 * e), *inner)
    last = (Part("Layer norm", *tokens, 2 * e),) if "finish" in right else ()
    mean = Part("Mean over all tokens", "b e", (b, e), departs=True)
    return (
        _plain(image, *_patches(config, b), _positions(config, tokens)),
        Stage((Branch(attention, residual=True), Branch(mlp, residual=True)), "Encoder block", config.depth),
        _plain(*last, mean, _classes(config, b, e)),
    )


def _cnn(config: CNNConfig, image: Part) -> tuple[Stage, ...]:
    b, side, stages = image.shape[0], config.image_size, [_plain(image)]
    plan = cnn_blocks.blocks(config)
    for block in plan:
        a, e, s = block.width_in, block.width_out, block.stride
        side = -(-side // s) if block.residual else side // s
        shape = (b, e, side, side)
        if not block.residual:
            parts = Part("Convolution 3 × 3, norm, ReLU, pooling", "b e r w", shape, 9 * a * e + 2 * e)
            stages.append(_plain(parts))
            continue
        by_way = a * e + 2 * e if s != 1 or a != e else 0  # the shortcut's own convolution and norm
        stride = f", stride {s}" if s > 1 else ""
        parts = (
            Part(f"Convolution 3 × 3{stride}, norm, ReLU", "b e r w", shape, 9 * a * e + 2 * e),
            Part("Convolution 3 × 3, norm", "b e r w", shape, 9 * e * e + 2 * e),
        )
        if by_way:
            parts += (Part("Shortcut: convolution 1 × 1, norm", "b e r w", shape, by_way),)
        stages.append(Stage((Branch(parts, residual=True),), "Residual block"))
    width = plan[-1].width_out
    return (*stages, _plain(Part("Mean over the positions", "b e", (b, width)), _classes(config, b, width)))


# Pieces that networks share


def _tokens(config: TransformerConfig, b: int) -> tuple[str, tuple[int, ...]]:
    return "b n e", (b, config.num_tokens, config.embed_dim)


def _patches(config: TransformerConfig, b: int) -> tuple[Part, ...]:
    pixels, e, p = config.in_channels * config.patch_size**2, config.embed_dim, config.patch_size
    bias = 0 if getattr(config, "pre_norm", False) else e
    return (
        Part(f"Cut into patches of {p} × {p}", "b (r w) (c p1 p2)", (b, config.grid**2, pixels)),
        Part("Linear map of each patch", "b (r w) e", (b, config.grid**2, e), pixels * e + bias),
    )


def _positions(config: TransformerConfig, tokens: tuple[str, tuple[int, ...]]) -> Part:
    size = config.embed_dim * (1 + config.num_tokens)
    return Part("Class token and positions", *tokens, size)


def _before_blocks(config: ViTConfig, tokens: tuple[str, tuple[int, ...]]) -> tuple[Part, ...]:
    """Positions and the tokens before the patches, in the order in which they come."""
    e, names = config.embed_dim, []
    if config.class_token:
        names.append("class token")
    if config.reg_tokens:
        names.append(f"{config.reg_tokens} register{'s' if config.reg_tokens > 1 else ''}")
    prefix, positions = config.num_prefix_tokens * e, config.num_positions * e
    if config.no_embed_class or not names:
        of_patches = Part("Positions of the patches", "b (r w) e", (tokens[1][0], config.grid**2, e), positions)
        front = " and ".join(names)
        return (of_patches, Part(front[:1].upper() + front[1:], *tokens, prefix)) if names else (of_patches,)
    said = ", ".join(names) if len(names) > 1 else names[0]
    return (Part(f"{said[0].upper()}{said[1:]} and positions", *tokens, prefix + positions),)


def _attention(config: TransformerConfig, b: int, right: tuple[str, ...]) -> tuple[Part, ...]:
    """From the normalised tokens to what is added to them; ``right`` names the departures that are not made."""
    n, e, h, d = config.num_tokens, config.embed_dim, config.num_heads, config.head_dim
    per_head, square, parts = (b, h, n, d), (b, h, n, n), []
    if "projection" in right:
        bias = e if getattr(config, "qkv_bias", True) else 0
        parts.append(Part("Queries, keys, values", "b h n d", per_head, 3 * (e * e + bias)))
    else:
        flat = n * d
        size = 3 * h * (flat * flat + flat)
        parts.append(Part("A slice a head, end to end", "b h (n d)", (b, h, flat), departs=True))
        parts.append(Part("Queries, keys, values", "b h n d", per_head, size, departs=True))
    scaled = "scaling" in right
    parts.append(Part(f"Scores: Q Kᵀ{' / √d' if scaled else ''}", "b h n m", square, departs=not scaled))
    keys = "softmax" in right
    parts.append(Part(f"Softmax over the {'keys m' if keys else 'queries n'}", "b h n m", square, departs=not keys))
    parts.append(Part(f"Weighted sum of values{'' if scaled else ', / √d'}", "b h n d", per_head, departs=not scaled))
    output = "output" in right
    parts.append(Part("Heads side by side", "b n (h d)", (b, n, h * d), departs=not output))
    if output:
        parts.append(Part("Output projection", "b n e", (b, n, e), e * e + e))
    return tuple(parts)


def _classes(config: ModelConfig, b: int, e: int) -> Part:
    k = config.num_classes
    return Part("Linear map to the classes", "b k", (b, k), e * k + k)


def count_parameters(stages: tuple[Stage, ...]) -> int:
    """Trained numbers of the whole network."""
    return sum(stage.parameters for stage in stages)


def numbers(part: Part) -> str:
    """A part's shape in numbers, such as ``1 × 65 × 128``."""
    return " × ".join(f"{one:,}" for one in part.shape)
