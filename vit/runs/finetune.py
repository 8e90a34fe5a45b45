"""Fine-tuning: a training that begins from the weights of another run, on other images. Imports no torch at once.

The network is that of the run it starts from (the backbone) at any image size that its patches divide; the images are
normalised, cropped and resized as that one's were. The head is drawn anew, unless the classes are the same.
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
"""Settings of the network that a fine-tuning may choose; all others are the backbone's."""
GRIDS = (4, 6, 8, 10, 12, 14, 16)
"""Patches along a side that are offered where the patch divides few of the usual image sizes, as 14 does."""
_OF_THE_DATA = ("image_size", "num_classes")
_HEAD = "head."


def can_start_from(run: Run) -> bool:
    """Whether a run has weights that a training can begin from: published ones, or such as were validated."""
    return run.has_weights and bool(run.config.published or run.best)


def find_start(start: StartConfig, owner: str = "") -> Run:
    """The run that a training is to begin from.

    Args:
        owner: the mark of the visitor whose the training is, who starts from what everybody sees, and from own runs.

    Raises:
        RunError: there is none of this name, or it has no weights.
    """
    gone = RunError(
        f"The run {start.run!r} that this one starts from is gone, or is called otherwise by now: start from another."
    )
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
    """The image sizes that are offered for a backbone, ascending; its own is among them."""
    if isinstance(model, ReferenceConfig):  # its maps of Q, K and V have the size of the whole image
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
    """The settings of a fine-tuning.

    Args:
        origin: of the run that it starts from.
        images: with their size and classes; how they are cropped, resized and normalised is the backbone's.
        changes: of :data:`CHANGEABLE`, where they are not to be the backbone's own. With ``start.frozen`` both are 0.

    Raises:
        SettingsError: the backbone does not take such images, or has nothing that decays layer by layer.
    """
    model = origin.model
    if isinstance(model, ReferenceConfig) and images.image_size != model.image_size:
        raise SettingsError(
            f"The course network takes images of the size that it was trained with: choose {model.image_size} pixels."
        )
    if start.layer_decay != 1 and not isinstance(model, TransformerConfig):
        raise SettingsError("layer_decay goes by the blocks of a transformer, and this is none: leave it out.")
    fields = model.model_dump() | {"image_size": images.image_size, "num_classes": len(images.class_names)}
    if start.frozen:
        changes |= dict.fromkeys(CHANGEABLE, 0.0)
    fields |= {name: value for name, value in changes.items() if name in fields}
    seen_as = {name: getattr(origin.data, name) for name in ("mean", "std", "crop_pct", "interpolation")}
    return RunConfig(
        model=type(model)(**fields), data=images.model_copy(update=seen_as), training=training, start=start
    )


def changeable(model: ModelConfig, start: StartConfig) -> tuple[str, ...]:
    """The settings of the network that a fine-tuning can choose."""
    return () if start.frozen else tuple(name for name in CHANGEABLE if hasattr(model, name))


def keeps_head(origin: RunConfig, class_names: tuple[str, ...]) -> bool:
    """Whether the head of the run that is started from is of use: its classes are the same, in whatever order."""
    return bool(origin.model.num_classes) and set(origin.data.class_names) == set(class_names) != set()


def head_words(initial: "Mapping[str, Tensor]") -> str:
    """What becomes of the head, by what :func:`initial_weights` gave; without its full stop."""
    return "with their head" if any(name.startswith(_HEAD) for name in initial) else "with a head that is drawn anew"


def initial_weights(config: RunConfig) -> "dict[str, Tensor]":
    """What a training with ``config.start`` begins from, by name; without the head's where that is drawn anew.

    Position embeddings are interpolated to the grid of the new images; a head that is kept has its rows in the order of
    the new classes.

    Raises:
        RunError: the run is gone, damaged, or another network by now.
    """
    from vit.model import interpolate_positions
    from vit.runs.weights import load_checkpoint

    run = find_start(config.start, config.owner)
    network, info = load_checkpoint(run.path)
    origin, model = info.config, config.model
    if not _same_network(origin.model, model):
        raise RunError(f"The run {run.name!r} that this one starts from is another network by now: set it up anew.")
    given = dict(network.state_dict())
    if isinstance(model, ViTConfig):
        grids = ((grid, grid) for grid in (origin.model.grid, model.grid))
        prefix = model.num_positions - model.grid**2
        given["pos_embed"] = interpolate_positions(given["pos_embed"], *grids, prefix)
    if not keeps_head(origin, config.data.class_names):
        return {name: value for name, value in given.items() if not name.startswith(_HEAD)}
    rows = [origin.data.class_names.index(name) for name in config.data.class_names]
    return given | {name: value[rows] for name, value in given.items() if name.startswith(_HEAD)}


def _same_network(one: ModelConfig, other: ModelConfig) -> bool:
    """Whether two networks differ at most in what fine-tuning may change."""
    free = dict.fromkeys((*_OF_THE_DATA, *CHANGEABLE))
    return one.model_dump() | free == other.model_dump() | free
