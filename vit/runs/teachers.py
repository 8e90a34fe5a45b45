"""The teacher of a distillation: a run with the same classes and image size. Imports torch only to load it."""

from typing import TYPE_CHECKING

from vit.config import ModelConfig, RunConfig
from vit.errors import RunError, SettingsError
from vit.runs import store
from vit.runs.run import Run

if TYPE_CHECKING:
    from torch import nn


def find_teacher(config: RunConfig, owner: str = "") -> Run | None:
    """Return the run that a training learns from; None if its recipe has no teacher.

    Args:
        config: settings of the training.
        owner: id of the visitor who owns the training; visitors may use shared runs and their own.

    Raises:
        RunError: the run does not exist, or has no weights.
        SettingsError: it has other classes or another image size.
    """
    name = config.training.teacher
    if not name:
        return None
    gone = RunError(f"The teacher {name!r} was deleted or renamed: choose another run as teacher.")
    try:
        run = store.find_run(name)
        if owner and run.config.owner not in ("", owner):
            raise gone
    except RunError:
        raise gone from None
    if not run.has_weights:
        raise RunError(f"The teacher {name!r} has no weights yet: train it first.")
    theirs, ours = run.config, config.data
    if theirs.model.image_size != ours.image_size:
        raise SettingsError(
            f"The teacher {name!r} takes images of {theirs.model.image_size} pixels, and this training has "
            f"{ours.image_size}: choose the same image size for both."
        )
    if not theirs.model.num_classes or set(theirs.data.class_names) != set(ours.class_names):
        raise SettingsError(f"The teacher {name!r} has other classes than these images: train it on the same classes.")
    return run


def teacher_model(config: RunConfig) -> ModelConfig | None:
    """Return the settings of the network that a training learns from; None if there is none, or if it was deleted."""
    if not config.training.teacher:
        return None
    try:
        return store.find_run(config.training.teacher).config.model
    except RunError:
        return None


def load_teacher(config: RunConfig) -> "nn.Module | None":
    """Return the network that a training learns from; None if its recipe has no teacher.

    It takes the images as the training normalises them, and answers with the training's order of the classes.

    Raises:
        RunError: as :func:`find_teacher`, or its files are damaged.
        SettingsError: as :func:`find_teacher`.
    """
    run = find_teacher(config, config.owner)
    if run is None:
        return None
    from vit.networks import Adapted
    from vit.runs.weights import load_checkpoint

    network, info = load_checkpoint(run.path)
    ours, theirs = config.data, info.config.data
    order = [theirs.class_names.index(name) for name in ours.class_names]
    return Adapted(network, order, (ours.mean, ours.std), (theirs.mean, theirs.std))
