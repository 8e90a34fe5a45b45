"""Settings of the networks."""

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from vit.config.base import Settings
from vit.config.data import ImageSize
from vit.errors import SettingsError

# The values that the app's controls offer. The fields below accept more, because published models are larger than
# what people train in the browser.
HEADS = range(1, 13)
DEPTHS = range(1, 13)
HEAD_DIMS = (8, 16, 24, 32, 48, 64)
IMAGE_SIZES = (32, 48, 64, 96, 128, 160, 192, 224)
PATCH_SIZES = (4, 8, 16, 32)
MLP_RATIOS = (1.0, 2.0, 3.0, 4.0)
DROPOUTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
DEFAULT_GRID = 8
"""Fewest patches along a side with the patch size of :func:`default_patch_size`."""
Stem = Literal["patch", "conv"]
Pool = Literal["cls", "mean"]
Activation = Literal["gelu", "gelu_tanh", "quick_gelu"]
Departure = Literal["projection", "softmax", "scaling", "output", "mlp", "finish"]
PatchSize = Annotated[
    int,
    Field(
        ge=1,
        le=64,
        title="Patch size",
        description="Side of a square patch; it must divide the image size",
        json_schema_extra={"unit": "pixels"},
    ),
]
EmbedDim = Annotated[
    int, Field(ge=4, le=2048, title="Token width", description="Length of a token (embed_dim): heads times head width")
]
Depth = Annotated[int, Field(ge=1, le=48, title="Depth", description="Number of encoder blocks")]
Heads = Annotated[int, Field(ge=1, le=32, title="Heads", description="Number of attention heads in each block")]
CONV_LAYER_SCALE = 0.1
"""Initial value of the layer scale after a convolutional stem."""
REFERENCE_PARAMETERS_MAX = 1e9
"""Largest course network; its parameters grow with the square of the number of tokens."""
DEPARTURES: tuple[Departure, ...] = get_args(Departure)
"""The course network's departures from the textbook that can be mended, in the order of the rungs."""


def default_patch_size(image_size: int) -> int:
    """Return the patch size of a new ViT: the largest of :data:`PATCH_SIZES` that gives at least 8 x 8 patches.

    With fewer patches, an attention map shows hardly more than a quarter of the image at a time.
    """
    fitting = (patch for patch in PATCH_SIZES if image_size % patch == 0 and image_size // patch >= DEFAULT_GRID)
    return max(fitting, default=PATCH_SIZES[0])


class ModelConfig(Settings):
    """Settings that every network has."""

    architecture: Annotated[str, Field(title="Network", description="Network to train")]
    image_size: ImageSize = 64
    in_channels: Annotated[
        int, Field(ge=1, le=16, title="Image channels", description="Number of colour channels of an image")
    ] = 3
    num_classes: Annotated[int, Field(ge=1, le=30000, title="Number of classes", description="Number of classes")] = 5

    @property
    def name(self) -> str:
        """The network's name for ``--model``."""
        return self.architecture

    @property
    def title(self) -> str:
        raise NotImplementedError


class TransformerConfig(ModelConfig):
    """Further settings of a network with patches and heads; named as in timm, if timm has the setting."""

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
        """Names of the tokens before the patches."""
        return ("class token",)

    @property
    def num_prefix_tokens(self) -> int:
        """Number of tokens before the patches."""
        return len(self.prefix_names)

    @property
    def num_tokens(self) -> int:
        """Number of all tokens: the patches and the tokens before them."""
        return self.grid**2 + self.num_prefix_tokens


class ViTConfig(TransformerConfig):
    """Settings of :class:`vit.model.ViT`.

    The settings after ``drop_path`` exist for published models and have the names that timm gives them. Models trained
    here leave them at their defaults.
    """

    architecture: Literal["vit"] = "vit"
    num_classes: Annotated[
        int,
        Field(
            ge=0,
            le=30000,
            title="Number of classes",
            description="Number of classes; with 0 the network has no classification head and returns its summary "
            "token",
        ),
    ] = 5
    patch_size: PatchSize = 8  # a power of two with a convolutional stem
    embed_dim: EmbedDim = 64
    depth: Depth = 4
    num_heads: Heads = 2
    mlp_ratio: Annotated[
        float,
        Field(ge=0.25, le=8, title="MLP ratio", description="Hidden width of the MLP divided by the token width"),
    ] = 2.0
    # Dosovitskiy et al. 2021; the convolutions, each of which halves the image, Xiao et al. 2021, Hassani et al. 2021.
    stem: Annotated[
        Stem,
        Field(
            title="Stem",
            description="How patches become tokens: one linear map of each patch, or a few small convolutions",
            json_schema_extra={"choices": {"conv": "Small convolutions", "patch": "One linear map"}},
        ),
    ] = "conv"
    stem_blocks: Annotated[
        int,
        Field(
            ge=0,
            le=8,
            title="Residual blocks of the stem",
            description="Number of residual convolutions at the end of a convolutional stem; each lets a token see two "
            "more patches along each side before the first block",
        ),
    ] = 0
    pool: Annotated[
        Pool,
        Field(
            title="Pooling",
            description="What the classifier reads: the class token, or the mean of the patch tokens",
            json_schema_extra={"choices": {"cls": "Class token", "mean": "Mean of the patches"}},
        ),
    ] = "cls"
    # Touvron et al. 2021. The default is 0.1 with a convolutional stem, whose tokens already carry much information,
    # and no layer scale with a linear stem, as in timm's plain layout.
    init_values: Annotated[
        float | None,
        Field(
            ge=0,
            le=1,
            title="Layer scale",
            description="Initial value of the layer scale; 0 turns it off",
        ),
    ] = None
    # After the position embedding, after the attention's projection and in the MLP.
    dropout: Annotated[float, Field(ge=0, le=0.9, title="Dropout", description="Dropout probability")] = 0.0
    # Huang et al. 2016
    drop_path: Annotated[
        float,
        Field(
            ge=0,
            le=0.9,
            title="Stochastic depth",
            description="Probability of skipping the last block; it rises linearly from 0 in the first block",
        ),
    ] = 0.0
    class_token: Annotated[bool, Field(title="Class token", description="Put a class token before the patches")] = True
    # Darcet et al. 2024
    reg_tokens: Annotated[
        int, Field(ge=0, le=16, title="Registers", description="Number of extra tokens that the classifier ignores")
    ] = 0
    no_embed_class: Annotated[
        bool,
        Field(title="Positions of patches only", description="Give position embeddings to the patches only"),
    ] = False
    # As in CLIP.
    pre_norm: Annotated[
        bool,
        Field(
            title="Norm before the first block",
            description="Normalise tokens before the first block, and leave out the bias of the patch embedding",
        ),
    ] = False
    fc_norm: Annotated[
        bool, Field(title="Norm after pooling", description="Normalise the mean of the tokens, not each token")
    ] = False
    qkv_bias: Annotated[
        bool, Field(title="Bias of queries, keys and values", description="Add a bias to queries, keys and values")
    ] = True
    act_layer: Annotated[
        Activation,
        Field(
            title="Activation",
            description="Activation of the MLP: GELU, its tanh approximation, or OpenAI CLIP's x sigmoid(1.702 x)",
        ),
    ] = "gelu"
    norm_eps: Annotated[
        float,
        Field(ge=1e-12, le=1e-2, title="Epsilon of the norms", description="Number added to the variance in a norm"),
    ] = 1e-6

    @model_validator(mode="after")
    def _summary_is_there(self) -> Self:
        if self.pool == "cls" and not self.class_token:
            raise SettingsError("pool = 'cls' reads a class token, but class_token is false: choose pool = 'mean'.")
        if self.pool == "cls" and self.fc_norm:
            raise SettingsError("fc_norm normalises the mean of the patches, but pool is 'cls': choose pool = 'mean'.")
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
        """Names of the tokens before the patches: the class token, if there is one, then the registers."""
        registers = (f"register {index + 1}" for index in range(self.reg_tokens))
        return (*(("class token",) if self.class_token else ()), *registers)

    @property
    def num_positions(self) -> int:
        """Number of tokens with a position embedding."""
        return self.grid**2 if self.no_embed_class else self.num_tokens

    @property
    def layer_scale(self) -> float:
        """Initial value of the layer scale; 0 if there is none."""
        if self.init_values is None:
            return CONV_LAYER_SCALE if self.stem == "conv" else 0.0
        return self.init_values

    @property
    def stem_widths(self) -> tuple[int, ...]:
        """Channels after each stage of the convolutional stem, doubling up to ``embed_dim``."""
        stages = self.patch_size.bit_length() - 1
        return (*(max(16, self.embed_dim >> stages - 1 - stage) for stage in range(stages - 1)), self.embed_dim)


class ReferenceConfig(TransformerConfig):
    """Settings of :class:`vit.reference.ReferenceViT`, the course network.

    Each departure from the textbook in ``mended`` is replaced by the textbook's version, independently of the others:

    - ``projection``: Q, K and V are projections of each token's whole embedding, not of a head's flattened slice;
    - ``softmax``: over the keys, not the queries;
    - ``scaling``: by 1/sqrt(d) before the softmax, not after the product with V;
    - ``output``: a projection after the heads are concatenated;
    - ``mlp``: applied to each token separately, not to the flattened sequence;
    - ``finish``: GELU in place of ReLU, and a norm after the last block.
    """

    architecture: Literal["reference"] = "reference"
    attention: Annotated[
        Literal["matmul", "einsum"],
        Field(title="Attention", description="How the two products of a head are written; the results are equal"),
    ] = "matmul"
    mended: Annotated[
        tuple[Departure, ...],
        Field(
            title="Mended departures",
            description="Departures of the course network from the textbook to mend",
        ),
    ] = ()
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
        """Whether a token's query, key, value or MLP output depends on the other tokens."""
        return not {"projection", "mlp"} <= set(self.mended)

    @property
    def name(self) -> str:
        """The network's name for ``--model``."""
        return "reference" if self.attention == "matmul" else f"reference-{self.attention}"

    @property
    def title(self) -> str:
        return f"course network, {super().title}" + (f", mended: {', '.join(self.mended)}" if self.mended else "")


class CNNConfig(ModelConfig):
    """Settings of :class:`vit.cnn.CNN`, the convolutional baseline."""

    architecture: Literal["cnn"] = "cnn"
    image_size: Annotated[ImageSize, Field(ge=32)] = 64
    residual: Annotated[
        bool,
        Field(
            title="Residual blocks",
            description="Use the residual network, which is deeper and larger",
        ),
    ] = False

    @property
    def name(self) -> str:
        """The network's name for ``--model``."""
        return "cnn-residual" if self.residual else "cnn"

    @property
    def title(self) -> str:
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
"""The networks by their ``--model`` name, with default settings."""
