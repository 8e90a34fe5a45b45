"""The model, image and patch of the tour, and the controls that choose them."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import streamlit as st

from pages import access
from pages.ui import cached_models, view_pickers
from pages.ui.cached_models import PickedImage
from pages.ui.navigation import from_history
from vit import data
from vit.config import ViTConfig
from vit.runs import SHIPPED_RUN, Run

if TYPE_CHECKING:
    from vit.model import ViT
    from vit.runs.weights import CheckpointInfo

SCENES = {"Dog": 3, "Cat": 22, "Bus": 1, "Airplane": 10, "Pizza": 24, "A hard one": 20}
"""Validation scenes by the label of their button; the included model is unsure about the last one, and wrong."""

PICKED_PATCH = "tour_picked"
"""Session-state key of the patch that was clicked in a picture."""
ADDRESS = ("tour", "scene", "patch")
"""Query parameters of the tour."""


class TourImage(NamedTuple):
    """One image of the tour.

    Attributes:
        picked: the image.
        middle: number of the patch in the middle of its object, from 1.
    """

    picked: PickedImage
    middle: int


def tour_run() -> Run | None:
    """Return the included model's run, or None if it is missing or is not a ViT on scenes."""
    run = next((run for run in access.my_runs() if run.name == SHIPPED_RUN and run.has_weights), None)
    if run is None or run.config.model.architecture != "vit" or run.config.data.source != data.SCENES:
        return None
    return run


def vit_config(run: Run) -> ViTConfig:
    """Return the settings of the tour's model, which :func:`tour_run` has checked to be a ViT."""
    model = run.config.model
    if not isinstance(model, ViTConfig):
        raise TypeError(f"The run {run.name!r} is not a Vision Transformer.")
    return model


def vit_model(run: Run) -> "tuple[ViT, CheckpointInfo]":
    """Load the tour's model."""
    from vit.model import ViT

    model, info = cached_models.load_model(run)
    if not isinstance(model, ViT):
        raise TypeError(f"The run {run.name!r} is not a Vision Transformer.")
    return model, info


# These parameters are not bound to widgets, because each step is an entry of the browser's history: its address says
# which step it is. The session remembers the others for a visitor who leaves the tour and continues it.


def step_of_address() -> int:
    """Return the step in the address, unchecked; 0 if there is none."""
    return _number(st.query_params.get("tour"))


def recalled(name: str) -> object:
    """Return a parameter of :data:`ADDRESS` as :func:`recall` left it, unchecked."""
    return st.session_state.get(f"on_tour_{name}")


def recalled_number(name: str) -> int:
    """Return :func:`recalled` as a number; 0 if it is none."""
    return _number(recalled(name))


def _number(value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        return 0


def note(name: str, value: int | str) -> None:
    """Store a parameter in the session and in the address; 0 clears it."""
    st.session_state[f"on_tour_{name}"] = value
    if not value:
        st.query_params.pop(name, None)
    elif st.query_params.get(name) != str(value):
        st.query_params[name] = str(value)


def recall() -> None:
    """Take the parameters of the address; those that it lacks are added to it as they were when the tour was left."""
    for name in ADDRESS:
        if name in st.query_params or from_history():
            st.session_state[f"on_tour_{name}"] = st.query_params.get(name)
        elif value := recalled(name):
            note(name, str(value))


def pick_scene(run: Run) -> TourImage:
    """Show the image buttons (``?scene=``); a new image starts with the patch in the middle of its object."""
    before = recalled("scene")
    st.session_state["tour_scene"] = before if before in SCENES else next(iter(SCENES))

    def take() -> None:
        note("scene", st.session_state["tour_scene"])
        note("patch", 0)

    name = st.pills(
        "The image", list(SCENES), required=True, key="tour_scene", on_change=take, label_visibility="collapsed"
    )
    images = run.config.data
    return draw(SCENES[name or next(iter(SCENES))], images.image_size, images.seed, vit_config(run).grid)


@st.cache_data(max_entries=32, show_spinner=False)
def draw(index: int, size: int, seed: int, grid: int) -> TourImage:
    """Draw one validation image from its number; the data set is not needed."""
    from vit.data import scenes
    from vit.data.files.images import prepared_image

    pixels, mask, label = scenes.draw(index, split="val", image_size=size, seed=seed)
    row, column = (int(places.mean() * grid // size) for places in np.nonzero(mask))
    picked = PickedImage(f"val-{index}", f"validation image {index}", prepared_image(pixels), scenes.CLASSES[label])
    return TourImage(picked, row * grid + column + 1)


def pick_patch(run: Run, scene: TourImage) -> int:
    """Show the patch number (``?patch=``), which a click on a patch also sets."""
    count = vit_config(run).grid ** 2
    if picked := st.session_state.pop(PICKED_PATCH, None):
        note("patch", picked)
    patch = recalled_number("patch")
    st.session_state["tour_patch"] = patch if 1 <= patch <= count else scene.middle
    return st.number_input(
        "Patch",
        1,
        count,
        key="tour_patch",
        on_change=lambda: note("patch", st.session_state["tour_patch"]),
        width=140,
        help=f"1 to {count}, counted row by row. You can also click the image or use the arrow keys on it.",
    )


def pick_layer(run: Run) -> int:
    """Show the layer number (``?layer=``), at first the last layer."""
    last = vit_config(run).depth
    return view_pickers.pick_layer(last, default=last)


def pick_head(run: Run) -> int:
    """Show the head number (``?head=``)."""
    return view_pickers.pick_head(vit_config(run).num_heads)


def link(page: str, label: str, icon: str, run: Run, scene: TourImage, **view: object) -> None:
    """Show a link to another page with the same run and image.

    Args:
        page: file of the page.
        label: text of the link.
        icon: icon of the link.
        run: run of the tour.
        scene: image of the tour.
        view: further query parameters of the page.
    """
    query = {"run": run.name, "image": scene.picked.id} | {name: str(value) for name, value in view.items()}
    st.page_link(page, label=label, icon=icon, query_params=query)
