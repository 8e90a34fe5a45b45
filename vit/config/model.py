"""Settings of the networks: validated; the only source of their bounds and defaults."""

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from vit.config.base import Settings
from vit.errors import SettingsError

# What the controls of the app offer. The fields below accept more, since published models are larger than what
# a person trains in the browser.
HEADS = range(1, 13)
DEPTHS = range(1, 13)
HEAD_DIMS = (8, 16, 24, 32, 48, 64)
IMAGE_SIZES = (32, 48, 64, 96, 128, 160, 192, 224)
PATCH_SIZES = (4, 8, 16, 32)
MLP_RATIOS = (1.0, 2.0, 3.0, 4.0)
DROPOUTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
Stem = Literal["patch", "conv"]
Pool = Literal["cls", "mean"]
Activation = Literal["gelu", "gelu_tanh", "quick_gelu"]
Departure = Literal["projection", "softmax", "scaling", "output", "mlp", "finish"]
ImageSize = Annotated[int, Field(ge=8, le=1024)]
PatchSize = Annotated[int, Field(ge=1, le=64)]
EmbedDim = Annotated[int, Field(ge=4, le=2048)]
Depth = Annotated[int, Field(ge=1, le=48)]
Heads = Annotated[int, Field(ge=1, le=32)]
CONV_LAYER_SCALE = 0.1
"""First value of the layer scale after a convolutional stem."""
REFERENCE_PARAMETERS_MAX = 1e9
"""What the course network may grow to: its parameters go with the square of the number of tokens."""
DEPARTURES: tuple[Departure, ...] = get_args(Departure)
"""The course network's departures from the textbook that can be mended, in the order of the rungs."""


class ModelConfig(Settings):
    """What the settings of every network have.

    Attributes:
        architecture: which network it is.
        image_size: side of the square image in pixels.
    """

    architecture: str
    image_size: ImageSize = 64
    in_channels: Annotated[int, Field(ge=1, le=16)] = 3
    num_classes: Annotated[int, Field(ge=1, le=30000)] = 5

    @property
    def name(self) -> str:
        """What ``--model`` calls the network."""
        return self.architecture

    @property
    def title(self) -> str:
        """What a person calls it, in a few words."""
        raise NotImplementedError


class TransformerConfig(ModelConfig):
    """What the settings of a network of patches and heads have besides; the names are timm's where timm has one.

    Attributes:
        patch_size: side of a patch in pixels; divides ``image_size``.
        embed_dim: width of a token, ``num_heads * head_dim``.
        depth: number of encoder blocks.
        num_heads: heads of each block.
    """

    patch_size: PatchSize
    embed_dim: EmbedDim
    depth: Depth
    num_heads: Heads

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.image_size % self.patch_size:
            raise SettingsError(
                f"patch_size = {self.patch_size} does not divide image_size = {self.image_size}: "
                "choose a patch size that divides the image size."
            )
        if self.embed_dim % self.num_heads:
            raise SettingsError(
                f"embed_dim = {self.embed_dim} is not a multiple of num_heads = {self.num_heads}: "
                f"choose a width such as {self.num_heads * max(1, round(self.embed_dim / self.num_heads))}."
            )
        return self

    @property
    def title(self) -> str:
        """What a person calls it, in a few words."""
        return f"{self.num_heads} head{'s' if self.num_heads > 1 else ''}, depth {self.depth}"

    @property
    def head_dim(self) -> int:
        """Width of one head, d_k."""
        return self.embed_dim // self.num_heads

    @property
    def grid(self) -> int:
        """Patches along one side."""
        return self.image_size // self.patch_size

    @property
    def prefix_names(self) -> tuple[str, ...]:
        """What the tokens are called that stand before the patches."""
        return ("class token",)

    @property
    def num_prefix_tokens(self) -> int:
        """Tokens that stand before the patches."""
        return len(self.prefix_names)

    @property
    def num_tokens(self) -> int:
        """Patch tokens and those before them."""
        return self.grid**2 + self.num_prefix_tokens


class ViTConfig(TransformerConfig):
    """Settings of :class:`vit.model.ViT`.

    Those after ``drop_path`` are there for published models, whose names they have in timm; what is trained here leaves
    them as they are.

    Attributes:
        num_classes: 0 is a network without a head, which gives the summary token itself.
        patch_size: with ``stem="conv"`` a power of two.
        mlp_ratio: hidden width of the MLP over ``embed_dim``.
        stem: ``"patch"``, one linear map of each patch (Dosovitskiy et al. 2021); ``"conv"``, a few small convolutions
            (Xiao et al. 2021; Hassani et al. 2021), each halving the image.
        stem_blocks: residual convolutions after those, between the patches; without effect with ``stem="patch"``.
        pool: what the head reads after the final norm: the class token, or the mean over the patch tokens.
        init_values: first value of the layer scale (Touvron et al. 2021), a factor for each number that a residual
            branch adds; 0 is none. None is 0.1 with ``stem="conv"``, whose tokens already say much, and none with
            ``stem="patch"``, as in timm's plain layout.
        dropout: probability after the position embedding, the attention's projection and in the MLP.
        drop_path: stochastic depth (Huang et al. 2016) of the last block; the first has none, linear between.
        class_token: whether there is one; without it ``pool`` is the mean.
        reg_tokens: further tokens before the patches, that nothing reads (registers, Darcet et al. 2024).
        no_embed_class: only patches have a position embedding.
        pre_norm: a norm before the first block, and a patch embedding without bias, as in CLIP.
        fc_norm: the mean is normed, instead of the tokens that it is taken of.
        qkv_bias: whether queries, keys and values have one.
        act_layer: of the MLP: GELU, its tanh approximation, or x sigmoid(1.702 x), which OpenAI's CLIP has.
        norm_eps: added to the variance in each norm.
    """

    architecture: Literal["vit"] = "vit"
    num_classes: Annotated[int, Field(ge=0, le=30000)] = 5
    patch_size: PatchSize = 8
    embed_dim: EmbedDim = 128
    depth: Depth = 2
    num_heads: Heads = 4
    mlp_ratio: Annotated[float, Field(ge=0.25, le=8)] = 2.0
    stem: Stem = "conv"
    stem_blocks: Annotated[int, Field(ge=0, le=8)] = 2
    pool: Pool = "mean"
    init_values: Annotated[float, Field(ge=0, le=1)] | None = None
    dropout: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    drop_path: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    class_token: bool = True
    reg_tokens: Annotated[int, Field(ge=0, le=16)] = 0
    no_embed_class: bool = False
    pre_norm: bool = False
    fc_norm: bool = False
    qkv_bias: bool = True
    act_layer: Activation = "gelu"
    norm_eps: Annotated[float, Field(ge=1e-12, le=1e-2)] = 1e-6

    @model_validator(mode="after")
    def _summary_is_there(self) -> Self:
        if self.pool == "cls" and not self.class_token:
            raise SettingsError("pool = 'cls' reads a class token, but class_token is false: choose pool = 'mean'.")
        if self.pool == "cls" and self.fc_norm:
            raise SettingsError("fc_norm norms the mean of the patches, but pool is 'cls': choose pool = 'mean'.")
        return self

    @model_validator(mode="after")
    def _patch_suits_stem(self) -> Self:
        if self.stem == "conv" and (self.patch_size < 2 or self.patch_size & (self.patch_size - 1)):
            raise SettingsError(
                f"patch_size = {self.patch_size} does not go with the convolutional stem, which halves the image at "
                "each stage: choose 2, 4, 8, 16 or 32, or the stem 'patch'."
            )
        return self

    @property
    def prefix_names(self) -> tuple[str, ...]:
        """What the tokens are called that stand before the patches: the class token, if any, then the registers."""
        registers = (f"register {index + 1}" for index in range(self.reg_tokens))
        return (*(("class token",) if self.class_token else ()), *registers)

    @property
    def num_positions(self) -> int:
        """Tokens that have a position embedding."""
        return self.grid**2 if self.no_embed_class else self.num_tokens

    @property
    def layer_scale(self) -> float:
        """The first value of the layer scale; 0 where there is none."""
        if self.init_values is None:
            return CONV_LAYER_SCALE if self.stem == "conv" else 0.0
        return self.init_values

    @property
    def stem_widths(self) -> tuple[int, ...]:
        """Channels after each stage of the convolutional stem: doubling up to ``embed_dim``."""
        stages = self.patch_size.bit_length() - 1
        return (*(max(16, self.embed_dim >> stages - 1 - stage) for stage in range(stages - 1)), self.embed_dim)


class ReferenceConfig(TransformerConfig):
    """Settings of :class:`vit.reference.ReferenceViT`, the course network.

    Attributes:
        attention: how the two products of a head are written; the numbers are the same.
        mended: departures from the textbook that are put right, each by itself:

            - ``projection``: Q, K and V are projections of each token's whole embedding, not of a head's flattened
              slice;
            - ``softmax``: over the keys, not the queries;
            - ``scaling``: by 1/sqrt(d) before the softmax, not after the product with V;
            - ``output``: a projection after the heads are concatenated;
            - ``mlp``: on each token by itself, not on the flattened sequence;
            - ``finish``: GELU for ReLU, and a norm after the last block.
    """

    architecture: Literal["reference"] = "reference"
    attention: Literal["matmul", "einsum"] = "matmul"
    mended: tuple[Departure, ...] = ()
    patch_size: PatchSize = 16
    embed_dim: EmbedDim = 128
    depth: Depth = 2
    num_heads: Heads = 2

    @field_validator("mended")
    @classmethod
    def _in_order(cls, mended: tuple[Departure, ...]) -> tuple[Departure, ...]:
        return tuple(name for name in DEPARTURES if name in mended)

    @model_validator(mode="after")
    def _can_be_held(self) -> Self:
        flat = (self.num_tokens * self.embed_dim) ** 2
        heads = 0 if "projection" in self.mended else 3 / self.num_heads * flat
        parameters = self.depth * (heads + (0 if "mlp" in self.mended else 4 * flat))
        if parameters > REFERENCE_PARAMETERS_MAX:
            raise SettingsError(
                f"patch_size = {self.patch_size} and image_size = {self.image_size} would give the course network "
                f"{parameters / 1e9:.1f} billion parameters: choose larger patches, or a smaller image."
            )
        return self

    @property
    def mixes_positions(self) -> bool:
        """Whether a token's query, key or value, or what the MLP makes of it, depends on the other tokens."""
        return not {"projection", "mlp"} <= set(self.mended)

    @property
    def name(self) -> str:
        """What ``--model`` calls the network."""
        return "reference" if self.attention == "matmul" else f"reference-{self.attention}"

    @property
    def title(self) -> str:
        """What a person calls it, in a few words."""
        return f"course network, {super().title}" + (f", mended: {', '.join(self.mended)}" if self.mended else "")


class CNNConfig(ModelConfig):
    """Settings of :class:`vit.cnn.CNN`, the convolutional baseline.

    Attributes:
        residual: the residual network with about as many parameters as the default ViT, instead of the plain one.
    """

    architecture: Literal["cnn"] = "cnn"
    image_size: Annotated[int, Field(ge=32, le=1024)] = 64
    residual: bool = False

    @property
    def name(self) -> str:
        """What ``--model`` calls the network."""
        return "cnn-residual" if self.residual else "cnn"

    @property
    def title(self) -> str:
        """What a person calls it, in a few words."""
        return "residual convolutional network" if self.residual else "convolutional network"


AnyModelConfig = Annotated[ViTConfig | ReferenceConfig | CNNConfig, Field(discriminator="architecture")]
MODELS: dict[str, ModelConfig] = {
    model.name: model
    for model in (
        ViTConfig(),
        ReferenceConfig(),
        ReferenceConfig(attention="einsum"),
        CNNConfig(),
        CNNConfig(residual=True),
    )
}
"""The networks by the name that ``--model`` takes, with their default settings."""
