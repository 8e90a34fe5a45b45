"""Settings of a model, of a data set and of a run: validated here, and the one source of every bound and default.

This module imports neither torch nor streamlit, so a waiting job and the first page of the app stay light.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import ConfigDict, Field, field_validator, model_validator

from vit.errors import SettingsError
from vit.formats import FORMAT, upgrade
from vit.names import check_classes, check_unicode
from vit.settings import Settings

# What the controls of the app offer. The fields below accept more, since published models are larger than what
# a person trains in the browser.
HEADS = range(1, 13)
DEPTHS = range(1, 13)
HEAD_DIMS = (8, 16, 24, 32, 48, 64)
IMAGE_SIZES = (32, 48, 64, 96, 128, 160, 192, 224)
PATCH_SIZES = (4, 8, 16, 32)
MLP_RATIOS = (1.0, 2.0, 3.0, 4.0)
DROPOUTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
EPOCHS = range(1, 201)
BATCH_SIZES = (8, 16, 32, 64, 128, 256, 512)
LAYER_DECAYS = (0.5, 0.65, 0.75, 0.85, 1.0)
LEARNING_RATES = (1e-4, 2e-4, 3e-4, 5e-4, 1e-3, 2e-3, 3e-3, 5e-3)
PROCESSES_MAX = 64
SNAPSHOTS_MAX = 20
VALIDATION_BATCH = {"cpu": 256, "cuda": 1024, "mps": 256}
"""Images that are validated at once on each device."""

AUTO_IMAGE_SIZE_MAX = 64
"""``--image-size auto`` is the data's own size, but no larger than this."""

RUN_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
"""What a run may be called: a folder name that is safe on every file system and in every link."""

OWNER = re.compile(r"[0-9a-f]{32}")
"""The mark of a visitor."""

PLACER = re.compile(r"[0-9a-f]{32}")
"""The mark of a program that places runs on machines by itself."""

Device = Literal["auto", "cpu", "cuda", "mps"]
Keep = Literal["validation", "training_loss", "last"]
Stem = Literal["patch", "conv"]
Pool = Literal["cls", "mean"]
Activation = Literal["gelu", "gelu_tanh", "quick_gelu"]
Augmentation = Literal["standard", "none"]
Interpolation = Literal["bicubic", "bilinear"]
Schedule = Literal["cosine", "constant"]
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


class DataConfig(Settings):
    """Which images, at which size.

    Attributes:
        source: ``scenes``, a name of the catalog, or a path to a folder or zip in ImageFolder layout; empty where the
            images are not here, as those of a published model.
        image_size: side in pixels that every image is brought to.
        class_names: the classes in label order.
        train_images, val_images: use only so many images of the split (the same ones each time); None is all.
        mean, std: per-channel normalisation of pixel values scaled to [0, 1].
        seed: of the 80/20 split where the source has no validation images, and of the drawing of scenes.
        crop_pct: what share of an image's centre square is looked at, for each side (timm's name).
        interpolation: how that is brought to its size.
    """

    source: str = "scenes"
    image_size: Annotated[int, Field(ge=8, le=1024)] = 64
    class_names: tuple[str, ...] = ()
    train_images: Annotated[int, Field(ge=2)] | None = None
    val_images: Annotated[int, Field(ge=2)] | None = None
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    crop_pct: Annotated[float, Field(ge=0.1, le=1)] = 1.0
    interpolation: Interpolation = "bicubic"

    _source = field_validator("source")(check_unicode)
    _classes = field_validator("class_names")(check_classes)


class TrainingConfig(Settings):
    """The recipe.

    Attributes:
        lr: peak learning rate of AdamW; linear warm-up over ``warmup`` of all steps, then ``schedule``.
        weight_decay: of AdamW; without it AdamW is Adam (Kingma and Ba 2015).
        schedule: after the warm-up a cosine to zero, or as it is.
        clip_norm: the gradient's norm is clipped to this; 0 leaves it as it is.
        drop_last: leave the last, incomplete batch out, in validation too.
        keep: which weights the run keeps: of the best validation accuracy, of the lowest running training loss (the
            mean over 100 steps, begun anew each epoch), or the last.
        snapshots: how many epochs, evenly spaced, leave fp16 weights for the time-lapse.
        processes: so many train together on this machine, each with a GPU of its own, or a share of the cores.
        threads: CPU threads for torch, of each process; None leaves torch's choice, or shares out the cores.
        resume_steps: leave what a resume needs every so many steps, besides at the end of each epoch.
        max_seconds: end the training after so many seconds, with what it has reached.
        tensorboard: write the curves as TensorBoard's events, too (:mod:`vit.tensorboard`).
    """

    epochs: Annotated[int, Field(ge=1, le=10_000)] = 20
    batch_size: Annotated[int, Field(ge=1, le=8192)] = 64
    lr: Annotated[float, Field(ge=1e-7, le=1.0)] = 2e-3
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.3
    betas: tuple[float, float] = (0.9, 0.999)
    warmup: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    schedule: Schedule = "cosine"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    clip_norm: Annotated[float, Field(ge=0, le=1000)] = 1.0
    drop_last: bool = False
    augment: Augmentation = "standard"
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    device: Device = "auto"
    processes: Annotated[int, Field(ge=1, le=PROCESSES_MAX)] = 1
    keep: Keep = "validation"
    snapshots: Annotated[int, Field(ge=0, le=SNAPSHOTS_MAX)] = SNAPSHOTS_MAX
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    resume_steps: Annotated[int, Field(ge=1, le=10**9)] | None = None
    max_seconds: Annotated[float, Field(ge=1, le=1e9)] | None = None
    tensorboard: bool = False


RECIPES = {
    "standard": TrainingConfig(),
    "course": TrainingConfig(
        epochs=20,
        batch_size=16,
        lr=1e-4,
        weight_decay=0.0,
        warmup=0.0,
        schedule="constant",
        label_smoothing=0.0,
        clip_norm=0.0,
        drop_last=True,
        augment="none",
        keep="training_loss",
        snapshots=5,  # of 52 million weights each
    ),
    "fine-tune": TrainingConfig(epochs=10, lr=5e-4, weight_decay=0.05, snapshots=5),
    "frozen": TrainingConfig(epochs=10, lr=2e-3, weight_decay=0.0, snapshots=5),
}
"""Recipes by the name that ``--recipe`` takes: the default one, what the course report used (see vit.reference), and
those of a training that starts from a run, of all its weights and of the head alone."""


def default_recipe(start: "StartConfig | None") -> str:
    """The recipe of a training that nobody has chosen one for."""
    return "standard" if start is None else "frozen" if start.frozen else "fine-tune"


def recipe_of(training: TrainingConfig, start: "StartConfig | None" = None) -> str:
    """The recipe of :data:`RECIPES` that these settings differ from in the fewest fields; those of fine-tuning only
    with a ``start``."""
    own = default_recipe(start)
    names = dict.fromkeys([own, "standard", "course"])

    def differing(name: str) -> int:
        return sum(getattr(RECIPES[name], it) != getattr(training, it) for it in TrainingConfig.model_fields)

    return min(names, key=differing)


class StartConfig(Settings):
    """Weights that a training begins from, instead of drawn ones: fine-tuning.

    Attributes:
        run: the run that they are of, a published model or one's own. It is read once, at the first step; a resume does
            not need it any more.
        frozen: only the head is trained.
        layer_decay: each block learns with this times the rate of the block after it (timm's name; Clark et al. 2020);
            1 is one rate for all.
    """

    run: Annotated[str, Field(pattern=rf"^{RUN_NAME.pattern}$")]
    frozen: bool = False
    layer_decay: Annotated[float, Field(ge=0.1, le=1)] = 1.0

    @model_validator(mode="after")
    def _has_layers_to_slow_down(self) -> Self:
        if self.frozen and self.layer_decay != 1:
            raise SettingsError("layer_decay slows the blocks down, which frozen keeps still: leave one of them out.")
        return self


class Environment(Settings):
    """What a run was trained with; a resume on the same is bitwise the uninterrupted run."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    vit: str = ""
    torch: str = ""
    python: str = ""
    platform: str = ""
    processor: str = ""
    device: str = ""
    threads: int = 0
    processes: int = 1


class RunConfig(Settings):
    """All that a run is made from; ``config.json`` of its folder.

    Attributes:
        format: see :mod:`vit.formats`, which brings the settings of an older one up to this.
        owner: the mark of the visitor whose run it is, on a server that strangers use; empty where it is everybody's.
        sweep: the name of the sweep that it is a part of (:mod:`vit.sweep`); empty where it stands alone.
        start: what it was fine-tuned from; None where its weights were drawn.
        published: the name of the published model that its weights are; empty where they were trained here.
    """

    format: Literal[2] = FORMAT
    model: AnyModelConfig = ViTConfig()
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()
    created: str = ""
    owner: Annotated[str, Field(pattern=rf"^({OWNER.pattern})?$")] = ""
    sweep: Annotated[str, Field(pattern=rf"^({RUN_NAME.pattern})?$")] = ""
    start: StartConfig | None = None
    published: Annotated[str, Field(max_length=200)] = ""
    environment: Environment | None = None

    _published = field_validator("published")(check_unicode)

    @model_validator(mode="before")
    @classmethod
    def _of_this_format(cls, settings: Any) -> Any:
        return upgrade(settings) if isinstance(settings, dict) else settings

    @model_validator(mode="after")
    def _model_fits_data(self) -> Self:
        if self.model.image_size != self.data.image_size:
            raise SettingsError(
                f"the model's image_size = {self.model.image_size} is not the data's, {self.data.image_size}: "
                "choose one for both."
            )
        if self.data.class_names and len(self.data.class_names) != self.model.num_classes:
            raise SettingsError(
                f"num_classes = {self.model.num_classes}, but the data has {len(self.data.class_names)} classes: "
                f"choose {len(self.data.class_names)}."
            )
        return self


def project_root() -> Path:
    """The folder that holds ``vit/``, ``pages/`` and ``checkpoints/``."""
    return Path(__file__).resolve().parent.parent


def checkpoints_dir() -> Path:
    """Where the runs are: ``$VIT_CHECKPOINTS``, or ``checkpoints/`` of the project."""
    return Path(os.environ.get("VIT_CHECKPOINTS") or project_root() / "checkpoints").expanduser().absolute()


def data_dir() -> Path:
    """Where data sets, their decoded caches and uploads are kept: ``$VIT_DATA``, or ``data/`` of the project."""
    return Path(os.environ.get("VIT_DATA") or project_root() / "data").expanduser().absolute()


def owned_dir(owner: str) -> Path:
    """Where the uploads and pictures of one visitor lie (:attr:`RunConfig.owner`); of nobody in particular, the data.

    Raises:
        SettingsError: this is no owner's mark.
    """
    if owner and not OWNER.fullmatch(owner):
        raise SettingsError(f"{owner[:40]!r} marks no visitor.")
    return data_dir() / "visitors" / owner if owner else data_dir()
