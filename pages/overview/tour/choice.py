"""Choose images for which the claims of the tour hold for the included model."""

from typing import NamedTuple

import numpy as np
import streamlit as st

from pages.ui import cached_models
from pages.ui.cached_models import PickedImage
from vit.runs import Run

SCENES = {
    "Dog": (33, 38, 28, 3, 8, 13, 18, 23),
    "Cat": (37, 12, 22, 2, 7, 17, 27, 32),
    "Bus": (1, 6, 11, 16, 21, 26, 31, 36),
    "Airplane": (10, 0, 5, 15, 25, 30, 35, 40),
    "Pizza": (9, 24, 34, 29, 4, 14, 19, 39),
    "A hard one": (20, 155, 398, 238, 30, 215),
}
"""Validation scenes by the label of their button: the first for which the claims of the tour hold is shown."""
HARD = "A hard one"
"""Of these scenes, which models of the default size often misclassify, the one whose class is least probable."""


class TourImage(NamedTuple):
    """One image of the tour.

    Attributes:
        picked: the image.
        middle: number of the patch in the middle of its object, from 1.
        cover: ``(p)``, the share of each patch that the object covers.
    """

    picked: PickedImage
    middle: int
    cover: np.ndarray


@st.cache_data(max_entries=64, show_spinner=False)
def draw(index: int, size: int, seed: int, grid: int) -> TourImage:
    """Draw one validation image from its number; the data set is not needed."""
    from vit.data import scenes
    from vit.data.files.images import prepared_image
    from vit.runs.example import object_cover

    pixels, mask, label = scenes.draw(index, split="val", image_size=size, seed=seed)
    row, column = (int(places.mean() * grid // size) for places in np.nonzero(mask))
    picked = PickedImage(f"val-{index}", f"validation image {index}", prepared_image(pixels), scenes.CLASSES[label])
    return TourImage(picked, row * grid + column + 1, object_cover(mask, (grid, grid)))


def choose(run: Run, name: str) -> int:
    """Return the number of the scene for a button, one of :data:`SCENES`."""
    return _choose(str(run.path), run.stamp, name)


@st.cache_data(max_entries=64, show_spinner="Choosing an image")
def _choose(path: str, stamp: int, name: str) -> int:
    """Return the first scene of a button for which the claims hold, or the one for which they hold best.

    Args:
        path: the folder of a ViT that was trained on scenes.
        stamp: the version of its weights.
        name: one of :data:`SCENES`.
    """
    from vit.explain import capture
    from vit.explain.image_facts import image_facts
    from vit.explain.recording import attention_arrays
    from vit.model import ViT

    model, info = cached_models.load_path(path, stamp)
    assert isinstance(model, ViT)
    images, fits = info.config.data, {}
    for index in SCENES[name]:
        scene = draw(index, images.image_size, images.seed, model.config.grid)
        record = capture(model, cached_models.model_input(info, scene.picked.image))
        label = images.class_names.index(scene.picked.label or "")
        attention = attention_arrays(record)
        facts = image_facts(model, record, attention, cover=scene.cover, label=label, patch=scene.middle)
        if name != HARD and facts.fit >= 1:
            return index
        fits[index] = facts.fit if name != HARD else -facts.certainty
    return max(fits, key=lambda index: fits[index])
