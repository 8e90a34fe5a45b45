"""Runs side by side: what each is and reached, and in which settings they differ. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from vit.config import DEPARTURES, RunConfig
from vit.cost.estimate import count_parameters
from vit.data import title
from vit.runs.folder import State
from vit.runs.run import Run

KINDS = {
    "vit": "Vision Transformer",
    "reference": "Course network",
    "mended": "Course network, mended",
    "cnn": "CNN",
    "cnn-residual": "Residual CNN",
}
"""The kinds of network, in the order in which they are told apart by colour."""

LABELS = {
    "model.name": "Network",
    "model.mended": "Mended departures",
    "model.patch_size": "Patch size",
    "model.num_heads": "Heads",
    "model.depth": "Depth",
    "model.embed_dim": "Width of a token",
    "model.mlp_ratio": "MLP ratio",
    "model.stem": "Stem",
    "model.stem_blocks": "Residual convolutions of the stem",
    "model.pool": "The classifier reads",
    "model.init_values": "First layer scale",
    "model.dropout": "Dropout",
    "model.drop_path": "Stochastic depth",
    "model.class_token": "Class token",
    "model.reg_tokens": "Registers",
    "model.no_embed_class": "Positions of patches only",
    "model.pre_norm": "Norm before the first block",
    "model.fc_norm": "Norm after the mean",
    "model.qkv_bias": "Bias of queries, keys and values",
    "model.act_layer": "Activation",
    "model.norm_eps": "Epsilon of the norms",
    "start.run": "Starts from",
    "start.frozen": "The head alone",
    "start.layer_decay": "Layer-wise decay",
    "data.source": "Data",
    "data.class_names": "Classes",
    "data.image_size": "Image size",
    "data.train_images": "Training images",
    "data.val_images": "Validation images",
    "data.mean": "Mean of a channel",
    "data.std": "Deviation of a channel",
    "data.seed": "Seed of the data",
    "data.crop_pct": "Share of the image",
    "data.interpolation": "Interpolation",
    "training.epochs": "Epochs",
    "training.batch_size": "Batch size",
    "training.lr": "Learning rate",
    "training.weight_decay": "Weight decay",
    "training.betas": "Betas of AdamW",
    "training.warmup": "Warm-up",
    "training.schedule": "Schedule",
    "training.label_smoothing": "Label smoothing",
    "training.clip_norm": "Gradient clipping",
    "training.drop_last": "Drops the last batch",
    "training.augment": "Augmentation",
    "training.seed": "Seed",
    "training.device": "Device",
    "training.keep": "Keeps the weights of",
    "training.snapshots": "Snapshots",
    "training.threads": "CPU threads",
    "training.processes": "Processes",
    "training.resume_steps": "Steps between resume points",
    "training.max_seconds": "Seconds at most",
    "training.tensorboard": "Events for TensorBoard",
}
"""The settings of a run by section and field, and what a person calls them. Those of a network that has more than
these are shown under their own names."""

SEED = LABELS["training.seed"]
_IMPLIED = {"architecture", "attention", "residual", "image_size", "in_channels", "num_classes"}
"""Fields of a network that its name and its data tell."""
_VALUES = {
    "vit": "ViT",
    "reference": "course network",
    "reference-einsum": "course network (einsum)",
    "cnn": "CNN",
    "cnn-residual": "residual CNN",
    "cls": "class token",
    "mean": "mean of the patches",
    "conv": "convolutions",
    "patch": "one linear map of a patch",
    "validation": "the best validation accuracy",
    "training_loss": "the lowest running training loss",
    "last": "the last epoch",
}
ABSENT = "–"
"""What stands for a setting that the network does not have."""
_LISTED = 8


@dataclass(frozen=True)
class Summary:
    """One line of the table of runs.

    Attributes:
        kind: a value of :data:`KINDS`.
        heads, depth: None where the network has none.
        mended: how many of the course network's departures are put right; None for other networks.
        start: the run that it was fine-tuned from; None where its weights were drawn.
        parameters: trained numbers.
        val_accuracy, train_accuracy: of the kept weights, and of the epoch that they are of; None before the first
            validation. Training accuracy is the mean over the epoch, on augmented images.
        seconds: trained so far, validation included.
        created: None where the run does not say.
        device: what it was trained on.
    """

    name: str
    state: State
    data: str
    kind: str
    heads: int | None
    depth: int | None
    mended: int | None
    start: str | None
    parameters: int
    val_accuracy: float | None
    train_accuracy: float | None
    best_epoch: int | None
    seconds: float | None
    size_bytes: int
    created: datetime | None
    device: str


def summary(run: Run) -> Summary:
    """What one run is, and what it has reached.

    Raises:
        RunError: its settings cannot be read.
    """
    config, status, best = run.config, run.status, run.best or {}
    model = config.model
    mended = getattr(model, "mended", None)
    kind = KINDS["mended" if mended else "cnn-residual" if model.name == "cnn-residual" else model.architecture]
    return Summary(
        name=run.name,
        state=status.state,
        data=title(config.data.source),
        kind=kind,
        heads=getattr(model, "num_heads", None),
        depth=getattr(model, "depth", None),
        mended=None if mended is None else len(mended),
        start=config.start and config.start.run,
        parameters=count_parameters(model),
        val_accuracy=best.get("val_accuracy"),
        train_accuracy=best.get("train_accuracy"),
        best_epoch=best.get("epoch"),
        seconds=(run.latest or best).get("seconds"),
        size_bytes=run.size_bytes,
        created=_date(config.created),
        device=(config.environment and config.environment.device) or status.device,
    )


def settings(config: RunConfig) -> dict[str, Any]:
    """All settings of a run, flat, under the names that a person gives them; what its network has not is left out."""
    found = {"Network": config.model.name}
    for section in ("start", "model", "data", "training"):
        part = getattr(config, section)
        if part is None:  # drawn weights
            continue
        for field in type(part).model_fields:
            if section != "model" or field not in _IMPLIED:
                key = f"{section}.{field}"
                found[LABELS.get(key) or field.replace("_", " ").capitalize()] = getattr(part, field)
    return found


def in_words(setting: str, value: Any) -> str:
    """A value of :func:`settings` as a person says it."""
    match setting, value:
        case ("Data", str()):
            return title(value)
        case (("Training images" | "Validation images"), None):
            return "all"
        case ("Gradient clipping", 0) | (_, ()):
            return "none"
        case ("Mended departures", tuple()) if value == DEPARTURES:
            return "all"
        case (_, None):
            return "automatic"
        case (_, bool()):
            return "yes" if value else "no"
        case (_, float()):
            return f"{value:g}"
        case (_, tuple()):
            more = f" and {len(value) - _LISTED} more" if len(value) > _LISTED else ""
            return ", ".join(in_words("", one) for one in value[:_LISTED]) + more
        case _:
            return _VALUES.get(value, str(value))


def differences(configs: Sequence[RunConfig]) -> dict[str, tuple[str, ...]]:
    """The settings in which runs differ: the value of each run, in words, under the setting's name."""
    each = [settings(config) for config in configs]
    names = dict.fromkeys(name for one in each for name in one)  # a set that keeps the order
    return {
        name: tuple(in_words(name, one[name]) if name in one else ABSENT for one in each)
        for name in names
        if any(one.get(name, ABSENT) != each[0].get(name, ABSENT) for one in each)
    }


def gap_sentence(run: Summary) -> str:
    """What the distance between training and validation accuracy at the kept epoch tells, without the run's name."""
    if run.val_accuracy is None or run.train_accuracy is None:
        return "not validated yet."
    gap = 100 * (run.train_accuracy - run.val_accuracy)
    numbers = f"{run.train_accuracy:.1%} in training and {run.val_accuracy:.1%} in validation at epoch {run.best_epoch}"
    if gap > 10:
        verdict = "it knows its training images far better than new ones, so augmentation or a smaller network may help"
    elif gap > 3:
        verdict = "it knows its training images a little better than new ones"
    elif gap >= -3:
        verdict = "it does as well on new images as on those it trains on"
    else:
        verdict = "training is the harder task for it, with images that are augmented and weights that still move"
    return f"{numbers}; {verdict}."


def _date(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    except ValueError:
        return None
