"""Start a page about one class with an image whose answer depends on its object."""

from typing import TYPE_CHECKING

import streamlit as st

from pages.ui.cached_models import PickedImage, load_model, measured_on, validation_split
from pages.ui.text import plain
from vit.classes import class_names_of
from vit.errors import UserError
from vit.runs import Run

if TYPE_CHECKING:
    from vit.explain.reaction import Reaction


COVERED = {
    True: "The patches that contain a part of the object get the mean colour of the image.",
    False: "The data set has no masks of objects. A quarter of the patches, those for which the gradient promises the "
    "largest effect, get the mean colour of the image.",
}
"""What is covered, by whether the objects are known."""


def first_image(run: Run) -> str | None:
    """Return the id of the image, among the first validation images, whose answer changes most without its object."""
    found = _reaction_of(run)
    return None if found is None else f"val-{found.image}"


def explain_first_image(run: Run, picked: PickedImage) -> None:
    """Say why the page starts with this image; nothing for another one."""
    found = _reaction_of(run)
    if found is None or picked.id != f"val-{found.image}":
        return
    covered = "its object" if found.by_mask else "the patches that matter most"
    name = plain(class_names_of(run.config)[found.answer])
    st.caption(
        f"The page starts with this image because covering {covered} changes the answer most of the first "
        f"{found.images} validation images: the probability of {name} goes from {found.before:.1%} to "
        f"{found.after:.1%}.",
        help=COVERED[found.by_mask],
    )


def _reaction_of(run: Run) -> "Reaction | None":
    if not class_names_of(run.config):
        return None
    try:
        return _reaction(measured_on(run), run)
    except UserError:  # its images are missing, for example
        return None


@st.cache_data(max_entries=64, show_spinner=False)
def _reaction(on: tuple[str, int, str], _run: Run) -> "Reaction | None":
    from vit.explain.reaction import strongest_reaction

    return strongest_reaction(*load_model(_run), validation_split(_run))
