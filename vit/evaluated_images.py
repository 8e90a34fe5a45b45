"""Which images a run is evaluated on, and how many of them it was trained on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vit import data
from vit.classes import join_names, match_classes, require_classes
from vit.config import EVALUATED_SPLITS, DataConfig
from vit.data import SCENES, Split
from vit.data.told import overlap
from vit.errors import DataError
from vit.runs.weights import CheckpointInfo

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class EvaluatedImages:
    """The images to evaluate a run on.

    Attributes:
        splits: the images, with the labels of the model, by the name of the split.
        overlap: how many of them have the pixels of a training image; None if the training images are not here.
    """

    splits: dict[str, Split]
    overlap: int | None

    @property
    def name(self) -> str:
        """The split, or the splits with a plus sign between them."""
        return "+".join(self.splits)

    def __len__(self) -> int:
        return sum(len(split) for split in self.splits.values())

    def words(self) -> str:
        """Return a sentence about images that the run was trained on; empty if there is nothing to say."""
        if not self.overlap or set(self.splits) == {"train"}:
            return ""
        return (
            f"{self.overlap:,} of these {len(self):,} images {'is' if self.overlap == 1 else 'are'} also among the "
            "training images of the run, so the scores are too high."
        )


def choices(info: CheckpointInfo, source: str | None = None) -> tuple[str, ...]:
    """Return the splits that can be evaluated, the default one first.

    Args:
        info: the run.
        source: another data set; None for the run's own.

    Raises:
        DataError: there is no such data set.
    """
    config = settings(info, source)
    own = data.own_splits(config.source, config.columns)
    if not own and not _is_own(info, config.source):
        return ("all",)
    splits = own or ("train", "val")
    first = next(split for split in ("val", "test", "train") if split in splits)
    return (first, *(split for split in splits if split != first), "all")


def load(
    info: CheckpointInfo, source: str | None = None, split: str | None = None, *, progress: Progress | None = None
) -> EvaluatedImages:
    """Return the images to evaluate a run on.

    Args:
        info: the run.
        source: another data set, whose classes are matched by name; None for the run's own. If it is the run's own, the
            run's seed decides which images are held out.
        split: one of :data:`vit.config.EVALUATED_SPLITS`; None for the validation images, or all images of another set
            without splits.
        progress: called with (images done, images in total).

    Raises:
        DataError: the images are not here, there is no such split, or the model does not know a class.
    """
    require_classes(info.config.model)
    config = settings(info, source)
    offered = choices(info, source)
    split = split or offered[0]
    if split not in offered:
        raise DataError(
            f"{data.title(config.source)} has no images for the split {split!r}: choose {_either(offered)}."
        )
    names: tuple[str, ...] = (split,)
    if split == "all" and len(offered) > 1:
        names = tuple(name for name in EVALUATED_SPLITS if name in offered and name != "all")
    splits = {name: _load(config, name, progress) for name in names}
    if len(names) > 1 and "test" in splits and splits["test"].files == splits["val"].files:
        del splits["test"]  # the test images are used for validation
    found = {name: one for name, one in splits.items() if len(one)}
    if not _is_own(info, config.source):
        classes = data.class_names(config.source, config.columns)
        ours = match_classes(classes, info.class_names, data.title(config.source))
        found = {name: replace(one, labels=ours[np.asarray(one.labels)]) for name, one in found.items()}
    return EvaluatedImages(found, _overlap(info, found, progress))


def settings(info: CheckpointInfo, source: str | None) -> DataConfig:
    """Return the settings of the images: those of the run, for its own or for another data set.

    Raises:
        DataError: the run has no images of its own, and no other data set is given.
    """
    own = info.config.data
    if source is None or _is_own(info, source):
        if not own.source:
            raise DataError(
                "The images that this model was trained on are not on this machine: name a data set with some of its "
                f"classes, --dataset PATH; among the classes are {join_names(info.class_names)}."
            )
        return own
    others = {"image_column": "", "label_column": "", "class_names": (), "train_images": None, "val_images": None}
    return own.model_copy(update={"source": source, "seed": 0, **others})


def _is_own(info: CheckpointInfo, source: str) -> bool:
    """Return whether a data set is that of the run, perhaps by another path."""
    own = info.config.data.source
    if not own or source == own:
        return bool(own)
    here, there = Path(source).expanduser(), Path(own).expanduser()
    return here.exists() and there.exists() and here.resolve() == there.resolve()


def _load(config: DataConfig, split: str, progress: Progress | None) -> Split:
    return data.load_split(config, split, progress=progress)


def _overlap(info: CheckpointInfo, judged: dict[str, Split], progress: Progress | None) -> int | None:
    """Return how many images are among the training images; None if those are not here."""
    own = info.config.data
    if all(split.digests is None for split in judged.values()) or own.source == SCENES:
        return 0  # scenes are drawn, each with a seed of its own
    try:
        train = data.load_split(own, "train", progress=progress)
    except DataError:
        return None
    return sum(overlap(split, train) for split in judged.values())


def _either(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
