"""Settings of a training and its recipes."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from vit.config.base import Settings
from vit.errors import SettingsError
from vit.paths import RUN_NAME

EPOCHS = range(1, 201)
BATCH_SIZES = (8, 16, 32, 64, 128, 256, 512)
LAYER_DECAYS = (0.5, 0.65, 0.75, 0.85, 1.0)
LEARNING_RATES = (1e-4, 2e-4, 3e-4, 5e-4, 1e-3, 2e-3, 3e-3, 5e-3)
PROCESSES_MAX = 64
SNAPSHOTS_MAX = 20
VALIDATION_BATCH = {"cpu": 256, "cuda": 1024, "mps": 256}
"""Images that are validated at once on each device."""
Device = Literal["auto", "cpu", "cuda", "mps"]
Keep = Literal["validation", "training_loss", "last"]
Augmentation = Literal["standard", "none"]
Schedule = Literal["cosine", "constant"]


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
        tensorboard: write the curves as TensorBoard's events, too (:mod:`vit.exports.tensorboard`).
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
    with a ``start``.
    """
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
