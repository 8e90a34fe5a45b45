"""The model, image and patch of the tour, and the controls that choose them."""

from typing import TYPE_CHECKING

import streamlit as st

from pages import access
from pages.overview.tour.choice import SCENES, TourImage, choose, draw
from pages.ui import cached_models
from pages.ui.navigation import from_history
from pages.ui.wording import term
from vit import data
from vit.config import ViTConfig
from vit.runs import SHIPPED_RUN, Run

if TYPE_CHECKING:
    from vit.model import ViT
    from vit.runs.weights import CheckpointInfo

PICKED_PATCH = "tour_picked"
PICKED_LAYER, PICKED_HEAD = "tour_picked_layer", "tour_picked_head"
"""Session-state keys of what was clicked in a picture: the patch, and the layer and head of a tile."""
ADDRESS = ("tour", "scene", "patch", "layer", "head")
"""Query parameters of the tour."""


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
    """Show the image buttons (``?scene=``); a new image starts with the patch in the middle of its object.

    The layer and the head start anew as well: those that a click moves most in the new image.
    """
    before = recalled("scene")
    st.session_state["tour_scene"] = before if before in SCENES else next(iter(SCENES))

    def take() -> None:
        note("scene", st.session_state["tour_scene"])
        for value in ("patch", "layer", "head"):
            note(value, 0)

    name = st.pills(
        "The image", list(SCENES), required=True, key="tour_scene", on_change=take, label_visibility="collapsed"
    )
    images = run.config.data
    return draw(choose(run, name or next(iter(SCENES))), images.image_size, images.seed, vit_config(run).grid)


def pick_patch(run: Run, scene: TourImage) -> int:
    """Show the patch number (``?patch=``), which a click on a patch also sets."""
    count = vit_config(run).grid ** 2
    about = f"1 to {count}, counted row by row. You can also click the image or use the arrow keys on it."
    return _pick("patch", "Patch", count, scene.middle, PICKED_PATCH, about)


def pick_head(run: Run, first: tuple[int, int]) -> tuple[int, int]:
    """Show the numbers of layer and head (``?layer=&head=``), which a click on a tile also sets.

    Args:
        run: the run of the tour.
        first: the layer and head before any is chosen.
    """
    config = vit_config(run)
    layer = _pick("layer", "Layer", config.depth, first[0], PICKED_LAYER, term("block"))
    return layer, _pick("head", "Head", config.num_heads, first[1], PICKED_HEAD, term("head"))


def _pick(name: str, label: str, count: int, first: int, clicked: str, about: str | None) -> int:
    """Show a number from 1 to ``count`` that is kept in the address.

    Args:
        name: its parameter, one of :data:`ADDRESS`.
        label: the label of the box.
        count: the largest number.
        first: the number before any is chosen.
        clicked: the session-state key that a click in a picture writes.
        about: the help text.
    """
    if chosen := st.session_state.pop(clicked, None):
        note(name, chosen)
    value, key = recalled_number(name), f"tour_{name}"
    st.session_state[key] = value if 1 <= value <= count else first
    return st.number_input(
        label, 1, count, key=key, on_change=lambda: note(name, st.session_state[key]), width=140, help=about
    )


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
