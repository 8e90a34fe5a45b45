"""Fine-tuning: a training that starts from the weights of another run (the backbone), usually on other images.

The network is the backbone's, at any image size that its patches divide. Images are normalised, cropped and resized as
in the backbone's training. The head gets new random weights, unless the classes are the same. This module imports torch
only when weights are loaded.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from vit.config import (
    IMAGE_SIZES,
    DataConfig,
    ModelConfig,
    ReferenceConfig,
    RunConfig,
    StartConfig,
    TrainingConfig,
    TransformerConfig,
    ViTConfig,
)
from vit.errors import RunError, SettingsError
from vit.runs import store
from vit.runs.run import Run

if TYPE_CHECKING:
    from torch import Tensor

CHANGEABLE = ("dropout", "drop_path")
"""Settings of the network that fine-tuning may change; all others are the backbone's."""
GRIDS = (4, 6, 8, 10, 12, 14, 16)
"""Patches per side that are offered if the patch size divides few of the usual image sizes (14, for example)."""
_DATA_SETTINGS = ("image_size", "num_classes")
_HEAD = "head."


def can_start_from(run: Run) -> bool:
    """Return whether a run has weights to start from: published weights, or weights that were validated."""
    return run.has_weights and bool(run.config.published or run.best)


def find_start(start: StartConfig, owner: str = "") -> Run:
    """Return the run that a training starts from.

    Args:
        start: which run it is.
        owner: id of the visitor who owns the training; visitors may start from shared runs and from their own.

    Raises:
        RunError: the run does not exist, or has no weights.
    """
    gone = RunError(f"The run {start.run!r} that this one starts from was deleted or renamed: start from another one.")
    try:
        run = store.find_run(start.run)
        if owner and run.config.owner not in ("", owner):
            raise gone
    except RunError:
        raise gone from None
    if not run.has_weights:
        raise RunError(f"The run {start.run!r} has no weights to start from yet: train it first.")
    return run


def image_sizes(model: ModelConfig) -> list[int]:
    """Return the image sizes that are offered for a backbone, ascending; its own is included."""
    if isinstance(model, ReferenceConfig):  # its linear layers for Q, K and V depend on the size of the image
        return [model.image_size]
    offered = {*IMAGE_SIZES, model.image_size}
    if isinstance(model, TransformerConfig):
        offered = {size for size in offered if size % model.patch_size == 0}
        if len(offered) < len(GRIDS) // 2:
            offered |= {grid * model.patch_size for grid in GRIDS}
    return sorted(offered)


def run_config(
    origin: RunConfig, start: StartConfig, images: DataConfig, training: TrainingConfig, **changes: float
) -> RunConfig:
    """Return the settings of a fine-tuning.

    Args:
        origin: settings of the run that it starts from.
        start: which run that is, and how to fine-tune it.
        images: the data with its size and classes; cropping, resizing and normalisation are taken from ``origin``.
        training: the recipe.
        changes: values for :data:`CHANGEABLE` that differ from the backbone's. With ``start.frozen`` they are 0.

    Raises:
        SettingsError: the backbone does not take images of this size, or has no blocks for ``layer_decay``.
    """
    model = origin.model
    if isinstance(model, ReferenceConfig) and images.image_size != model.image_size:
        raise SettingsError(
            f"The course network takes only images of the size that it was trained with: choose {model.image_size} "
            "pixels."
        )
    if start.layer_decay != 1 and not isinstance(model, TransformerConfig):
        raise SettingsError("layer_decay needs the blocks of a transformer, and this network has none: leave it out.")
    fields = model.model_dump() | {"image_size": images.image_size, "num_classes": len(images.class_names)}
    if start.frozen:
        changes |= dict.fromkeys(CHANGEABLE, 0.0)
    fields |= {name: value for name, value in changes.items() if name in fields}
    preprocessing = {name: getattr(origin.data, name) for name in ("mean", "std", "crop_pct", "interpolation")}
    return RunConfig(
        model=type(model)(**fields), data=images.model_copy(update=preprocessing), training=training, start=start
    )


def changeable(model: ModelConfig, start: StartConfig) -> tuple[str, ...]:
    """Return the settings of the network that this fine-tuning may change."""
    return () if start.frozen else tuple(name for name in CHANGEABLE if hasattr(model, name))


def keeps_head(origin: RunConfig, class_names: tuple[str, ...]) -> bool:
    """Return whether the head of ``origin`` can be kept: its classes are the same, in any order."""
    return bool(origin.model.num_classes) and set(origin.data.class_names) == set(class_names) != set()


def describe_head(initial: "Mapping[str, Tensor]") -> str:
    """Return a phrase on whether the result of :func:`initial_weights` includes the head."""
    return "with their head" if any(name.startswith(_HEAD) for name in initial) else "with a new random head"


def initial_weights(config: RunConfig) -> "dict[str, Tensor]":
    """Return the weights that a training with ``config.start`` starts from, by name.

    Position embeddings are interpolated to the grid of the new images. A head that is kept has its rows in the order of
    the new classes; otherwise its weights are left out.

    Raises:
        RunError: the run is gone or damaged, or its network has changed.
        ValueError: ``config.start`` is not set.
    """
    from vit.model import interpolate_positions
    from vit.runs.weights import load_checkpoint

    if config.start is None:
        raise ValueError("These settings name no run to start from.")
    run = find_start(config.start, config.owner)
    network, info = load_checkpoint(run.path)
    origin, model = info.config, config.model
    if not _same_network(origin.model, model):
        raise RunError(f"The network of {run.name!r}, which this run starts from, has changed: create a new run.")
    weights = dict(network.state_dict())
    if isinstance(model, ViTConfig) and isinstance(origin.model, ViTConfig):
        before, after = origin.model.grid, model.grid
        prefix = model.num_positions - after**2
        weights["pos_embed"] = interpolate_positions(weights["pos_embed"], (before, before), (after, after), prefix)
    if not keeps_head(origin, config.data.class_names):
        return {name: value for name, value in weights.items() if not name.startswith(_HEAD)}
    rows = [origin.data.class_names.index(name) for name in config.data.class_names]
    return weights | {name: value[rows] for name, value in weights.items() if name.startswith(_HEAD)}


def _same_network(one: ModelConfig, other: ModelConfig) -> bool:
    """Return whether two networks differ at most in what fine-tuning may change."""
    free = dict.fromkeys((*_DATA_SETTINGS, *CHANGEABLE))
    return one.model_dump() | free == other.model_dump() | free
