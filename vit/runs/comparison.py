"""Compare runs: what each one is, how well it does, and in which settings they differ. Imports no torch."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from vit.config import (
    DEPARTURES,
    CNNConfig,
    DataConfig,
    ModelConfig,
    ReferenceConfig,
    RunConfig,
    StartConfig,
    TrainingConfig,
    ViTConfig,
    words,
)
from vit.config.base import Settings
from vit.cost.estimate import count_parameters
from vit.data import title
from vit.runs.dependence import read_dependence
from vit.runs.folder import State
from vit.runs.learning import verdict
from vit.runs.run import Run

KINDS = {
    "vit": words.NETWORKS["vit"],
    "reference": words.NETWORKS["reference"],
    "mended": "Course network, mended",
    "cnn": words.NETWORKS["cnn"],
    "cnn-residual": words.NETWORKS["cnn-residual"],
}
"""The kinds of network, in the order of their colours."""

_SECTIONS: dict[str, tuple[type[Settings], ...]] = {
    "start": (StartConfig,),
    "model": (ViTConfig, ReferenceConfig, CNNConfig),
    "data": (DataConfig,),
    "training": (TrainingConfig,),
}
_IMPLIED = {"architecture", "attention", "residual", "image_size", "in_channels", "num_classes"}
"""Fields of a network that follow from its name and its data."""

NETWORK = words.title(ModelConfig, "architecture")
CLASSES = words.title(DataConfig, "class_names")
SEED = words.title(TrainingConfig, "seed")
_SOURCE = words.title(DataConfig, "source")
_MENDED = words.title(ReferenceConfig, "mended")
_FIELDS: dict[str, tuple[type[Settings], str]] = {
    words.title(part, field): (part, field)
    for section, parts in _SECTIONS.items()
    for part in parts
    for field in part.model_fields
    if section != "model" or field not in _IMPLIED
}
"""The settings of a run by their titles."""
ABSENT = "–"
"""Shown for a setting that a network does not have."""
_LISTED = 8


@dataclass(frozen=True)
class Summary:
    """One row of the table of runs.

    Attributes:
        kind: a value of :data:`KINDS`.
        heads, depth: None if the network has none.
        mended: number of the course network's departures that are mended; None for other networks.
        start: run that it was fine-tuned from; None if its initial weights were random.
        parameters: number of trained parameters.
        val_accuracy, train_accuracy: accuracy of the kept weights and of their epoch; None before the first
            validation, and for a training without labels. Training accuracy is the mean over the epoch, on augmented
            images.
        neighbour_accuracy: the k-nearest-neighbour accuracy of a training without labels.
        seconds: training time so far, validation included.
        created: None if the run does not record it.
        device: device that it was trained on.
        dependence: attention dependence of the kept weights, 0 to 1; None if it is not measured.
        verdict: how its training does not learn, as :func:`vit.runs.learning.verdict` says it; empty if it does.
        augmented: whether its training images are augmented.
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
    neighbour_accuracy: float | None
    best_epoch: int | None
    seconds: float | None
    size_bytes: int
    created: datetime | None
    device: str
    dependence: float | None = None
    verdict: str = ""
    augmented: bool = True


def summary(run: Run) -> Summary:
    """Return what one run is and how well it does.

    Raises:
        RunError: the settings cannot be read.
    """
    config, status, best = run.config, run.status, run.best or {}
    measured = read_dependence(run)
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
        start=config.start.run if config.start else None,
        parameters=count_parameters(model),
        val_accuracy=best.get("val_accuracy") if config.training.labelled else None,
        train_accuracy=best.get("train_accuracy"),
        neighbour_accuracy=None if config.training.labelled else best.get("val_accuracy"),
        best_epoch=best.get("epoch"),
        seconds=(run.latest or best).get("seconds"),
        size_bytes=run.size_bytes,
        created=_date(config.created),
        device=(config.environment and config.environment.device) or status.device,
        dependence=measured.lost_share if measured else None,
        verdict=verdict(status),
        augmented=config.training.augments,
    )


def best_finished(found: Sequence[Summary], most: int) -> list[str]:
    """Return the names of the best finished runs, the best first.

    Accuracies on different data sets cannot be compared, so they are runs on the data set with the most finished runs;
    of two such sets, on the one of the newest run.

    Args:
        found: all runs, newest first.
        most: how many are returned at most.
    """
    scored = [run for run in found if run.state == "finished" and run.val_accuracy is not None]
    counts = Counter(run.data for run in scored)
    data = max(counts, key=counts.__getitem__, default="")  # the first of equal ones
    ranked = sorted((run for run in scored if run.data == data), key=lambda run: -(run.val_accuracy or 0))
    return [run.name for run in ranked[:most]]


def settings(config: RunConfig) -> dict[str, Any]:
    """Return all settings of a run by their titles, without those that its network does not have."""
    found: dict[str, Any] = {NETWORK: config.model.name}
    for section in _SECTIONS:
        part = getattr(config, section)
        if part is None:  # random initial weights
            continue
        for field in type(part).model_fields:
            if section != "model" or field not in _IMPLIED:
                found[words.title(type(part), field)] = getattr(part, field)
    return found


def shown(setting: str, value: Any) -> str:
    """Return a value of :func:`settings` as text."""
    part, field = _FIELDS.get(setting, (ModelConfig, "architecture"))
    measure = words.unit(part, field)
    match setting, value:
        case (_, str()) if setting == _SOURCE:
            return title(value)
        case (_, str()) if setting == NETWORK:
            return words.NETWORKS[value]
        case (_, None) if field in ("train_images", "val_images"):
            return "all"
        case (_, None) if field in ("resume_steps", "max_seconds"):
            return "none"
        case (_, ()):
            return "none"
        case (_, 0) if field == "clip_norm":
            return "none"
        case (_, tuple()) if setting == _MENDED and value == DEPARTURES:
            return "all"
        case (_, None):
            return "automatic"
        case (_, bool()):
            return "yes" if value else "no"
        case (_, float()):
            return f"{value:g} {measure}".rstrip()
        case (_, int()):
            return f"{value} {measure}".rstrip()
        case (_, tuple()):
            more = f" and {len(value) - _LISTED} more" if len(value) > _LISTED else ""
            return ", ".join(f"{one:g}" if isinstance(one, float) else str(one) for one in value[:_LISTED]) + more
        case _:
            return words.choice(part, field, value)


def differences(configs: Sequence[RunConfig]) -> dict[str, tuple[str, ...]]:
    """Return the settings in which runs differ: by the setting's title, the value of each run as text."""
    each = [settings(config) for config in configs]
    names = dict.fromkeys(name for one in each for name in one)  # a set that keeps the order
    return {
        name: tuple(shown(name, one[name]) if name in one else ABSENT for one in each)
        for name in names
        if any(one.get(name, ABSENT) != each[0].get(name, ABSENT) for one in each)
    }


def gap_sentence(run: Summary) -> str:
    """Say what the gap between training and validation accuracy at the kept epoch means, without the run's name."""
    if run.neighbour_accuracy is not None:
        return "trained without labels, so there is no gap."
    if run.val_accuracy is None or run.train_accuracy is None:
        return "not validated yet."
    gap = 100 * (run.train_accuracy - run.val_accuracy)
    numbers = f"{run.train_accuracy:.1%} in training and {run.val_accuracy:.1%} in validation at epoch {run.best_epoch}"
    if gap > 10:
        verdict = "it overfits: augmentation or a smaller network may help"
    elif gap > 3:
        verdict = "it overfits slightly"
    elif gap >= -3:
        verdict = "it does as well on new images as on its training images"
    else:
        why = "training images are augmented and the weights" if run.augmented else "the weights"
        verdict = f"training accuracy is lower, because {why} still change"
    return f"{numbers}; {verdict}."


def _date(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    except ValueError:
        return None
