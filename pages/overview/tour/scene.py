"""What the tour is taken on: the included model, one of a few drawn scenes, and a patch of it."""

from typing import NamedTuple

import numpy as np
import streamlit as st
from PIL import Image

from pages import access
from pages.ui import view_pickers
from pages.ui.cached_models import PickedImage
from vit import data
from vit.runs import Run

SCENES = {"Dog": 3, "Cat": 22, "Bus": 1, "Airplane": 10, "Pizza": 24, "A hard one": 8}
"""Validation scenes by what the button says; of the last the included model is not sure."""


PICKED_PATCH = "tour_picked"
"""Where a click on a picture leaves the patch."""
ADDRESS = ("tour", "scene", "patch")
"""What of the tour stands in the address."""


class TourImage(NamedTuple):
    """One scene, and the patch in the middle of its object, from 1."""

    picked: PickedImage
    middle: int


def tour_run() -> Run | None:
    """The run that came with the project, where it is here and is what the tour is about."""
    run = next((run for run in access.my_runs() if run.shipped and run.has_weights), None)
    if run is None or run.config.model.architecture != "vit" or run.config.data.source != data.SCENES:
        return None
    return run


# Not bound to widgets: Streamlit takes what is bound out of the address of a page that is left, so that the browser's
# way back would lead to the tour's beginning. The session remembers it.


def recalled(name: str) -> object:
    """What the tour was at, of :data:`ADDRESS`, or a link says; unchecked."""
    value = st.session_state.get(f"on_tour_{name}")
    return st.query_params.get(name) if value is None else value


def note(name: str, value: int | str) -> None:
    """Remember it, and write it into the address; 0 is nothing, which a link cannot overrule."""
    st.session_state[f"on_tour_{name}"] = value
    if not value:
        st.query_params.pop(name, None)
    elif st.query_params.get(name) != str(value):
        st.query_params[name] = str(value)


def restore_address() -> None:
    """Write into the address what was chosen before the tour was left, so that it can be handed on as it stands."""
    for name in ADDRESS:
        if value := st.session_state.get(f"on_tour_{name}"):
            note(name, value)


def pick_scene(run: Run) -> TourImage:
    """The buttons, ``?scene=``; another scene begins with the middle of its object."""
    before = recalled("scene")
    st.session_state["tour_scene"] = before if before in SCENES else next(iter(SCENES))

    def take() -> None:
        note("scene", st.session_state["tour_scene"])
        note("patch", 0)

    name = st.pills(
        "The image", list(SCENES), required=True, key="tour_scene", on_change=take, label_visibility="collapsed"
    )
    images = run.config.data
    return draw(SCENES[name], images.image_size, images.seed, run.config.model.grid)


@st.cache_data(max_entries=32, show_spinner=False)
def draw(index: int, size: int, seed: int, grid: int) -> TourImage:
    """One validation image by itself: a scene is drawn from its number, so the other images need not be there."""
    from vit.data import scenes

    pixels, mask, label = scenes.draw(index, split="val", image_size=size, seed=seed)
    row, column = (int(places.mean() * grid // size) for places in np.nonzero(mask))
    picked = PickedImage(f"val-{index}", f"validation image {index}", Image.fromarray(pixels), scenes.CLASSES[label])
    return TourImage(picked, row * grid + column + 1)


def pick_patch(run: Run, scene: TourImage) -> int:
    """The number that a click on a patch sets too, ``?patch=``; the middle of the object to begin with."""
    count = run.config.model.grid**2
    if picked := st.session_state.pop(PICKED_PATCH, None):
        note("patch", picked)
    try:
        patch = int(recalled("patch"))
    except (TypeError, ValueError):
        patch = 0
    st.session_state["tour_patch"] = patch if 1 <= patch <= count else scene.middle
    return st.number_input(
        "Patch",
        1,
        count,
        key="tour_patch",
        on_change=lambda: note("patch", st.session_state["tour_patch"]),
        width=140,
        help=f"1 to {count}, row by row. A click on the image, or the arrow keys there, choose one too.",
    )


def pick_layer(run: Run) -> int:
    """The layer, ``?layer=``."""
    last = run.config.model.depth  # where heads have most to say
    return view_pickers.pick_layer(last, default=last)


def pick_head(run: Run) -> int:
    """The head, ``?head=``."""
    return view_pickers.pick_head(run.config.model.num_heads)


def link(page: str, label: str, icon: str, run: Run, scene: TourImage, **view: object) -> None:
    """The way to the page where one goes on, with the same run, image and view."""
    query = {"run": run.name, "image": scene.picked.id} | {name: str(value) for name, value in view.items()}
    st.page_link(page, label=label, icon=icon, query_params=query)
