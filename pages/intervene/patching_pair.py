"""Choose the two images of activation patching: any two images, or a scene and its change."""

from dataclasses import dataclass

import numpy as np
import streamlit as st
from PIL import Image

from pages.intervene.patching_help import CHANGES
from pages.ui import cached_models, link_state, stand_in_images
from pages.ui.images import image_picker
from vit.classes import index_of
from vit.data import scenes
from vit.data.files.images import prepared_image
from vit.data.scenes.pairs import Change, scene_pair
from vit.runs import Run

BACKGROUNDS_MAX = 9999
TITLES: dict[str, str] = {name or "images": title for name, title in CHANGES.items()}


@dataclass(frozen=True)
class PickedPair:
    """Two images, and what is known of them.

    Attributes:
        clean, corrupt: the images.
        clean_words, corrupt_words: what they are; a file name is untrusted text.
        change: the factor that differs between two scenes; None for any two images.
        label, other: the model's class of each image, if it is known.
    """

    clean: Image.Image
    corrupt: Image.Image
    clean_words: str
    corrupt_words: str
    change: Change | None
    label: int | None
    other: int | None


def pick_pair(run: Run, picked: cached_models.PickedImage) -> PickedPair | None:
    """Show the choice of the second image; the clean image is the one that the page shows.

    Raises:
        UserError: an image cannot be opened.
    """
    is_scene = can_change(run, picked)
    options: list[Change | None] = list(CHANGES) if is_scene else [None]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        change: Change | None = None
        if is_scene:
            link_state.among("pair", TITLES, "object")
            chosen = st.segmented_control(
                "Second image",
                [name or "images" for name in options],
                default="object",
                required=True,
                format_func=TITLES.__getitem__,
                key="pair",
                bind="query-params",
                wrap=True,
            )
            change = next(name for name in options if (name or "images") == chosen)
        if change is not None:
            return _scene(run, picked, change)
        other_id = image_picker.pick_second_image(run, "the next image")
    other_id = other_id or image_picker.next_image(picked.id, run)
    if other_id == picked.id:
        st.info("Choose a second image.", icon=":material/add_photo_alternate:")
        return None
    other = image_picker.open_id(other_id, run)
    names = run.config.data.class_names
    clean, corrupt = (prepared_image(cached_models.view_of(run, one.image)) for one in (picked, other))
    first, second = (None if one.label is None else index_of(one.label, names) for one in (picked, other))
    return PickedPair(clean, corrupt, picked.heading, other.heading, None, first, second)


def can_change(run: Run, picked: cached_models.PickedImage) -> bool:
    """Return whether the image is a scene of the run's own validation images, which can be drawn again."""
    data = run.config.data
    own = data.source == "scenes" and not stand_in_images.are_needed(run.config)
    return own and picked.id.startswith("val-") and tuple(data.class_names) == scenes.CLASSES


def _scene(run: Run, picked: cached_models.PickedImage, change: Change) -> PickedPair:
    data, index = run.config.data, int(picked.id.removeprefix("val-"))
    label, other = scenes.label_of(index), None
    names = scenes.CLASSES
    if change == "object":
        others = [name for name in names if name != names[label]]
        link_state.one_of("object", others)
        name = st.selectbox(
            "Object", others, index=None, placeholder="automatic", key="object", bind="query-params", width=150
        )
        other = None if name is None else names.index(name)
    elif change == "background":
        number = st.number_input(
            "Background of scene",
            0,
            BACKGROUNDS_MAX,
            min(index + 7, BACKGROUNDS_MAX),
            key="background",
            bind="query-params",
            width=160,
        )
        other = int(number)
    pair = scene_pair(index, change, other=other, image_size=data.image_size, seed=data.seed)
    words = {
        "object": "" if pair.other is None else f"the same scene with a {names[pair.other]}",
        "background": f"the same {names[label]} before the background of scene {other}",
        "no-object": f"the same scene without the {names[label]}",
    }[change]
    clean, corrupt = (prepared_image(np.ascontiguousarray(image)) for image in (pair.clean, pair.corrupt))
    shown = None if pair.other == label else pair.other
    return PickedPair(clean, corrupt, picked.heading, words, change, label, shown)
