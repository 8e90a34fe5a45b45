"""Minimal pairs: two drawings of one scene that differ in a single factor, for activation patching."""

from functools import partial
from typing import Literal, NamedTuple, get_args

import numpy as np

from vit.data.scenes import CLASSES, draw, draw_background, draw_changed

Change = Literal["object", "background", "no-object"]
CHANGES: tuple[Change, ...] = get_args(Change)

_STEP = 7  # to the scene whose background is borrowed: no multiple of the number of classes


class ScenePair(NamedTuple):
    """A scene, and the same scene with one factor changed.

    Attributes:
        clean: the scene, uint8 (h w c).
        corrupt: the scene with the change, uint8 (h w c).
        label: the class of the scene.
        other: the class of the object in ``corrupt``; None if no object is left.
    """

    clean: np.ndarray
    corrupt: np.ndarray
    label: int
    other: int | None


def scene_pair(
    index: int, change: Change, *, other: int | None = None, split: str = "val", image_size: int = 64, seed: int = 0
) -> ScenePair:
    """Draw a scene and the same scene with another object, another background, or without its object.

    Args:
        index: number of the scene.
        change: the factor that is changed.
        other: the class of the other object, or the number of the scene whose background is taken; None chooses one,
            always the same.
        split: ``train`` or ``val``.
        image_size: side in pixels.
        seed: seed of the data set.

    Raises:
        ValueError: there is no such scene, class or background, or the other class is the scene's own.
    """
    clean, _, label = draw(index, split=split, image_size=image_size, seed=seed)
    changed = partial(draw_changed, index, split=split, image_size=image_size, seed=seed)
    match change:
        case "object":
            if other is None:  # each of the other classes in turn
                other = (label + 1 + index // len(CLASSES) % (len(CLASSES) - 1)) % len(CLASSES)
            if other == label:
                raise ValueError(f"Scene {index} already shows class {label}: choose another class.")
            return ScenePair(clean, changed(label=other)[0], label, other)
        case "background":
            other = index + _STEP if other is None else other
            return ScenePair(clean, changed(background=other)[0], label, label)
    without = draw_background(index, split=split, image_size=image_size, seed=seed)
    return ScenePair(clean, without, label, None)
