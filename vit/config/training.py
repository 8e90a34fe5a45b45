"""Settings of a training."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from vit.config.base import Settings
from vit.errors import SettingsError
from vit.paths import RUN_NAME

PROCESSES_MAX = 64
SNAPSHOTS_MAX = 20
VALIDATION_BATCH = {"cpu": 256, "cuda": 1024, "mps": 256}
"""Batch size of the validation, by device."""
Device = Literal["auto", "cpu", "cuda", "mps"]
Keep = Literal["validation", "training_loss", "last"]
Schedule = Literal["cosine", "constant"]
Precision = Literal["auto", "float32", "bfloat16"]
Optimizer = Literal["adamw", "muon"]
Distillation = Literal["soft", "hard"]
AUGMENTATIONS = ("flip", "shift", "colour", "erasing")
"""The switches of the augmentation, in the order in which it is applied."""
NO_AUGMENTATION = dict.fromkeys(AUGMENTATIONS, False)
ONLY_WITH_LABELS: dict[str, Any] = {
    "erasing": False,
    "mixup": 0.0,
    "cutmix": 0.0,
    "randaugment": 0,
    "repeats": 1,
    "average": 0.0,
    "teacher": "",
    "blank_images": 0.0,
    "diversity": 0.0,
}
"""Settings that concern a training with labels, with the value that turns each off."""
LearnFrom = Literal["labels", "dino", "mae"]
GIVEN: dict[LearnFrom, dict[str, Any]] = {
    "labels": {},
    "dino": ONLY_WITH_LABELS | {"shift": True, "colour": True},
    "mae": ONLY_WITH_LABELS | {"colour": False},
}
"""Settings that what a training learns from leaves no choice about; DINO always crops and recolours its images."""
LOCAL_CROPS = range(0, 9)


class TrainingConfig(Settings):
    """The recipe: how a network is trained."""

    # Caron et al. 2021; He et al. 2022.
    learn_from: Annotated[
        LearnFrom,
        Field(
            title="Learn from",
            description="What a training learns from: the labels; or the images alone, with DINO (a student predicts "
            "a teacher's output for other crops of the same image) or MAE (reconstruct hidden patches)",
            json_schema_extra={"choices": {"labels": "Labels", "dino": "No labels (DINO)", "mae": "No labels (MAE)"}},
        ),
    ] = "labels"
    local_crops: Annotated[
        int,
        Field(
            ge=LOCAL_CROPS[0],
            le=LOCAL_CROPS[-1],
            title="Local crops",
            description="Number of small crops of each image that DINO's student sees besides two large ones",
        ),
    ] = 2
    # Ryali et al. 2021 (BG_Swaps): without it, backgrounds that differ from image to image are what views share most.
    swap_backgrounds: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            title="Swapped backgrounds",
            description="Share of DINO's crops in which the object stands on the background of another image, so that "
            "only the object is common to the crops of an image; for images with masks, such as scenes",
        ),
    ] = 0.0
    mask_ratio: Annotated[
        float,
        Field(ge=0.1, le=0.95, title="Masked share", description="Share of the patches that MAE hides"),
    ] = 0.75
    epochs: Annotated[int, Field(ge=1, le=10_000, title="Epochs", description="Passes over the training images")] = 28
    batch_size: Annotated[
        int, Field(ge=1, le=8192, title="Batch size", description="Number of images in a training step")
    ] = 64
    lr: Annotated[float, Field(ge=1e-7, le=1.0, title="Learning rate", description="Peak learning rate")] = 2e-3
    # Without weight decay AdamW is Adam (Kingma and Ba 2015).
    weight_decay: Annotated[
        float, Field(ge=0, le=1, title="Weight decay", description="Weight decay of AdamW; with 0 it is Adam")
    ] = 0.3
    betas: Annotated[
        tuple[float, float], Field(title="AdamW betas", description="Decay rates of AdamW's running averages")
    ] = (0.9, 0.999)
    warmup: Annotated[
        float,
        Field(
            ge=0,
            le=0.5,
            title="Warm-up",
            description="Share of all steps in which the learning rate rises linearly to its peak",
        ),
    ] = 0.1
    schedule: Annotated[
        Schedule,
        Field(title="Schedule", description="Learning rate after the warm-up: cosine decay to zero, or constant"),
    ] = "cosine"
    label_smoothing: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            title="Label smoothing",
            description="Share of each target that is spread evenly over all classes, below 1",
        ),
    ] = 0.1
    clip_norm: Annotated[
        float,
        Field(
            ge=0, le=1000, title="Gradient clipping", description="Largest norm of the gradient; 0 turns clipping off"
        ),
    ] = 1.0
    drop_last: Annotated[
        bool,
        Field(
            title="Drop last batch",
            description="Leave out the last, incomplete batch, in training and in validation",
        ),
    ] = False
    flip: Annotated[
        bool,
        Field(
            title="Flips",
            description="Mirror half of the training images left to right, in each epoch others; turn this off where "
            "classes are mirror images of each other, such as arrows to the left and to the right",
        ),
    ] = True
    shift: Annotated[
        bool,
        Field(
            title="Shifts",
            description="Shift each training image by up to an eighth of its side, in each epoch elsewhere; with MAE, "
            "enlarge a part of it",
        ),
    ] = True
    colour: Annotated[
        bool,
        Field(
            title="Colour changes",
            description="Change brightness, contrast and saturation of each training image by up to a fifth",
        ),
    ] = True
    erasing: Annotated[
        bool,
        Field(
            title="Erasing",
            description="Fill a rectangle of a quarter of the training images with their mean colour",
        ),
    ] = True
    seed: Annotated[
        int,
        Field(
            ge=0,
            le=2**31 - 1,
            title="Seed",
            description="Random seed (initial weights, order of images, augmentation, dropout)",
        ),
    ] = 0
    device: Annotated[Device, Field(title="Device", description="Device to train on; auto chooses the fastest")] = (
        "auto"
    )
    precision: Annotated[
        Precision,
        Field(
            title="Numerical precision",
            description="Number format of matrix products and convolutions in training steps; auto takes bfloat16 on "
            "a GPU, and on a CPU where a measurement at the start of the run finds it clearly faster",
            json_schema_extra={"choices": {"auto": "Automatic", "float32": "float32", "bfloat16": "bfloat16"}},
        ),
    ] = "auto"
    processes: Annotated[
        int,
        Field(
            ge=1,
            le=PROCESSES_MAX,
            title="Processes",
            description="Number of processes that train together, each on a GPU or on a share of the CPU cores",
        ),
    ] = 1
    # The running training loss is the mean over 100 steps and starts anew in each epoch.
    keep: Annotated[
        Keep,
        Field(
            title="Kept weights",
            description="Which weights the run keeps: those with the best validation accuracy, those with the lowest "
            "running training loss, or the last",
            json_schema_extra={
                "choices": {
                    "validation": "Best validation accuracy",
                    "training_loss": "Lowest running training loss",
                    "last": "Last epoch",
                }
            },
        ),
    ] = "validation"
    snapshots: Annotated[
        int,
        Field(
            ge=0,
            le=SNAPSHOTS_MAX,
            title="Snapshots",
            description="Number of evenly spaced epochs whose weights are saved for the time-lapse",
        ),
    ] = SNAPSHOTS_MAX
    threads: Annotated[
        int | None,
        Field(
            ge=1,
            le=1024,
            title="CPU threads",
            description="Number of CPU threads of each process; by default PyTorch decides",
        ),
    ] = None
    resume_steps: Annotated[
        int | None,
        Field(
            ge=1,
            le=10**9,
            title="Resume interval",
            description="Also save a resume checkpoint every N steps, not only after each epoch",
            json_schema_extra={"unit": "steps"},
        ),
    ] = None
    max_seconds: Annotated[
        float | None,
        Field(
            ge=1,
            le=1e9,
            title="Time limit",
            description="Stop after this many seconds and keep the progress",
            json_schema_extra={"unit": "seconds"},
        ),
    ] = None
    tensorboard: Annotated[
        bool,
        Field(title="TensorBoard", description="Also write the curves as TensorBoard events into the run's folder"),
    ] = False
    track: Annotated[
        Literal["none", "mlflow", "wandb", "trackio"],
        Field(title="Experiment tracker", description="Also send the curves to an experiment tracker"),
    ] = "none"

    # A stronger recipe for small data; all of it but the blank images is off by default.
    mixup: Annotated[
        float,
        Field(
            ge=0,
            le=10,
            title="Mixup",
            description="Parameter of the beta distribution from which the ratio of two blended images is drawn; 0 "
            "turns mixup off",
            json_schema_extra={"choices": {0.0: "Off"}},
        ),
    ] = 0.0
    cutmix: Annotated[
        float,
        Field(
            ge=0,
            le=10,
            title="CutMix",
            description="Parameter of the beta distribution from which the area of a pasted box is drawn; 0 turns "
            "CutMix off",
            json_schema_extra={"choices": {0.0: "Off"}},
        ),
    ] = 0.0
    mix_probability: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            title="Mixed batches",
            description="Share of the batches to which mixup or CutMix is applied; with both, each to half of them",
        ),
    ] = 1.0
    randaugment: Annotated[
        int,
        Field(
            ge=0,
            le=4,
            title="RandAugment",
            description="Number of random operations (rotation, shear, shift, scale, colours) for each training image",
            json_schema_extra={"choices": {0: "Off"}},
        ),
    ] = 0
    magnitude: Annotated[
        float, Field(ge=0, le=30, title="Magnitude", description="Strength of the operations of RandAugment")
    ] = 9.0
    # Hoffer et al. 2020; as in DeiT, an epoch has as many steps as without it.
    repeats: Annotated[
        int,
        Field(
            ge=1,
            le=8,
            title="Repeated augmentation",
            description="How often each image is in a batch, each time with another augmentation; an epoch then uses "
            "only this fraction of the images",
        ),
    ] = 1
    average: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            title="Average of the weights",
            description="Decay of an exponential moving average of the weights, which is then what is validated and "
            "kept; 0 turns it off",
            json_schema_extra={"choices": {0.0: "Off"}},
        ),
    ] = 0.0
    teacher: Annotated[
        str,
        Field(
            pattern=rf"^({RUN_NAME.pattern})?$",
            title="Teacher",
            description="Distillation: also learn from the answers of this run, which has the same classes and image "
            "size",
            json_schema_extra={"choices": {"": "None"}},
        ),
    ] = ""
    distillation: Annotated[
        Distillation,
        Field(
            title="Distillation",
            description="What is learned from the teacher: its probabilities, or the class that it chooses",
            json_schema_extra={"choices": {"soft": "Probabilities", "hard": "Chosen class"}},
        ),
    ] = "soft"
    teacher_weight: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            title="Weight of the teacher",
            description="Share of the teacher's part in the loss; the rest is the part of the labels",
        ),
    ] = 0.5
    temperature: Annotated[
        float,
        Field(
            ge=0.1,
            le=100,
            title="Temperature",
            description="Divides the logits of teacher and student when probabilities are learned",
        ),
    ] = 3.0
    # torch.optim.Muon; Jordan et al. 2024
    optimizer: Annotated[
        Optimizer,
        Field(
            title="Optimiser",
            description="AdamW for all weights, or Muon for the matrices of the encoder and AdamW for the rest",
            json_schema_extra={"choices": {"adamw": "AdamW", "muon": "Muon"}},
        ),
    ] = "adamw"
    blank_images: Annotated[
        float,
        Field(
            ge=0,
            le=0.5,
            title="Blank images",
            description="Share of training images that are replaced by one colour, with all classes equally likely as "
            "target, so that the answer to an empty image is undecided",
            json_schema_extra={"choices": {0.0: "Off"}},
        ),
    ] = 0.04
    diversity: Annotated[
        float,
        Field(
            ge=0,
            le=10,
            title="Diversity of heads",
            description="Weight of a penalty on the mean correlation between the attention maps of the heads of a "
            "layer; training is slower with it",
            json_schema_extra={"choices": {0.0: "Off"}},
        ),
    ] = 0.0

    @property
    def augmentations(self) -> tuple[str, ...]:
        """The switches of :data:`AUGMENTATIONS` that are on."""
        return tuple(name for name in AUGMENTATIONS if getattr(self, name))

    @property
    def augments(self) -> bool:
        """Whether training images are changed at random before the network sees them."""
        return bool(self.augmentations or self.randaugment) or not self.labelled

    @property
    def mixes(self) -> bool:
        """Whether images are mixed."""
        return bool(self.mixup or self.cutmix)

    @property
    def soft(self) -> bool:
        """Whether targets are probabilities in place of labels."""
        return self.mixes or bool(self.blank_images)

    @model_validator(mode="after")
    def _learns_alone(self) -> Self:
        if self.learn_from != "labels" and self.processes > 1:
            raise SettingsError(
                f"learn_from = {self.learn_from!r} trains in one process, and processes is {self.processes}: choose "
                "processes = 1, or learn_from = 'labels'."
            )
        for name, given in GIVEN[self.learn_from].items():
            if (value := getattr(self, name)) != given:
                raise SettingsError(
                    f"{name} = {value!r} has no effect with learn_from = {self.learn_from!r}: leave it at {given!r}."
                )
        return self

    @property
    def labelled(self) -> bool:
        """Whether the training learns from labels; otherwise the network gets no head."""
        return self.learn_from == "labels"

    def outputs(self, class_names: tuple[str, ...]) -> int:
        """Return ``num_classes`` of the network for data with these classes: 0 without labels."""
        return len(class_names) if self.labelled else 0

    def precision_on(self, device: str) -> str:
        """Return the precision of steps on a device, without a measurement: ``float32`` or ``bfloat16``."""
        if self.precision != "auto":
            return self.precision
        return "bfloat16" if device == "cuda" else "float32"
