"""Where a network looks for one class: the blocks of a convolutional network, and two networks side by side."""

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from PIL import Image

from pages import access
from pages.ui import cached_models, link_state, text
from pages.ui.cached_models import PickedImage, cached, import_captum, is_convolutional, prediction
from pages.ui.text import plain
from pages.ui.view_pickers import pick_class
from pages.ui.wording import term
from vit.classes import names_of
from vit.errors import UserError
from vit.pictures import overlays
from vit.pictures.colours import SEQUENTIAL
from vit.runs import Run

if TYPE_CHECKING:  # torch comes with the first model
    from vit.explain import ClassMap

LARGE, SMALL = 448, 192  # pixels of a picture

METHODS = {
    "gradcam": "Where it looks for **{label}**: Grad-CAM of its last block, {rows} × {columns} positions.",
    "chefer": "What it attends to for **{label}**: relevance over all layers (Chefer et al. 2021), {rows} × {columns} "
    "patches.",
    "raw": "What its summary token attends to in the last layer, mean over heads, {rows} × {columns} patches; the same "
    "for every class. {caveat}",
}

WHAT_IT_IS = """
**What it is.** A convolutional network has no attention to show. Grad-CAM (Selvaraju et al. 2017) asks instead: at the
output of a block, which channels would raise the score of the chosen class if they were a little stronger? Each channel
is weighted by that, all are added up, and what is below zero is left out. A bright place is one whose content, as the
block sees it, speaks for the class.

**What to look for.** The last block has few positions and knows objects, so its map is coarse and says what decided.
Early blocks have many positions and know edges and colours; their maps are detailed and say little of the class. Choose
another class: a map that hardly changes says little about either.

**What it is not.** It is no attention: nothing in the network chose to look there. Each position has seen a large
neighbourhood of the image, so the place of a bright square is approximate. And it is a slope at this one image: it does
not say what would happen if the bright part were missing.

**Beside a transformer.** The transformer's map is made from its attention and the gradient of the same class's score.
Both kinds of map say how much a place speaks for the class, in units that cannot be compared: compare the places, not
the brightness. Where the two disagree, neither has to be wrong; the networks may decide by different things.
"""


@cached
def map_for(run: Run, image: Image.Image, label: str) -> "ClassMap":
    """How much each place of an image speaks for a class."""
    from vit.explain import class_map

    if is_convolutional(run):
        import_captum()
    model, info = cached_models.load_model(run)
    return class_map(model, cached_models.model_input(info, image), info.class_names.index(label))


@cached
def block_maps(run: Run, image: Image.Image, label: str) -> list[np.ndarray]:
    """Grad-CAM ``(rows columns)`` of every block."""
    from vit.explain import grad_cam

    import_captum()
    model, info = cached_models.load_model(run)
    images, index = cached_models.model_input(info, image), info.class_names.index(label)
    return [grad_cam(model, images, index, layer=layer)[0] for layer in range(len(model.blocks))]


def choose_beside(run: Run) -> Run | None:
    """Another run of the other kind with the same classes, bound to ``?beside=``."""
    convolutional, class_names = is_convolutional(run), set(names_of(run.config))
    found = {
        other.name: other
        for other in access.my_runs()
        if other.has_weights and is_convolutional(other) != convolutional and set(names_of(other.config)) == class_names
    }
    link_state.one_of("beside", found)
    kind = "transformer" if convolutional else "convolutional network"
    chosen = st.selectbox(
        "Beside it",
        list(found),
        index=None,
        placeholder=f"Choose a {kind}" if found else f"No {kind} yet",
        key="beside",
        bind="query-params",
        width=220,
        disabled=not found,
        help=f"A run of a {kind} that knows the same classes; train one to compare the two.",
    )
    return found.get(chosen)


def show_map(run: Run, image: Image.Image, label: str) -> None:
    """One network's answer and its map for a class, over the image as it sees it."""
    st.markdown(f"**{plain(run.name)}** :small[{plain(run.config.model.title)}]")
    try:
        view, probabilities = prediction(run, image)
        found = map_for(run, image, label)
    except UserError as error:
        text.show_error(error)
        return
    names = names_of(run.config)
    show_answer(names, probabilities, label)
    rows, columns = found.heat.shape
    said = METHODS[found.method].format(label=plain(label), rows=rows, columns=columns, caveat=found.caveat)
    st.image(
        overlays.overlay(view, found.heat, top=float(found.heat.max()), side=LARGE),
        width="stretch",
        alt=f"Map of {run.name} for {label} over the image",
    )
    st.caption(said if found.heat.any() else f"{said} Nothing that it sees speaks for this class.")


def show_answer(names: tuple[str, ...], probabilities: np.ndarray, label: str) -> None:
    """Badges: what the network says, and how likely it finds the class of the map."""
    best = int(probabilities.argmax())
    with st.container(horizontal=True, gap="small"):
        text.name_badge(names[best], before="predicted: ", after=f", {probabilities[best]:.1%}", color="blue")
        if names[best] != label:
            text.name_badge(label, after=f": {probabilities[names.index(label)]:.1%}")


def show_legend() -> None:
    """What the colours say."""
    steps = ", ".join(SEQUENTIAL)
    st.html(
        '<div style="display: flex; align-items: center; gap: 0.6rem; font-size: 0.875rem; opacity: 0.8; '
        'white-space: nowrap">'
        "<span>little: the image shows through</span>"
        f'<span style="flex: 0 1 10rem; height: 0.6rem; background: linear-gradient(90deg, {steps})"></span>'
        "<span>the most in this picture</span></div>"
    )


@st.fragment
def explore_blocks(run: Run, picked: PickedImage) -> None:
    """A convolutional network's maps: the last block large, with another network beside it, then every block."""
    names, (view, probabilities) = names_of(run.config), prediction(run, picked.image)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        label = pick_class(names, names[int(probabilities.argmax())])
        other = choose_beside(run)
    show_maps([run, *([other] if other else [])], picked, label, view)
    st.subheader("Every block", anchor=False, help=term("Grad-CAM"))
    st.caption(
        f"Grad-CAM for {plain(label)} after each block, first to last: the positions get fewer, and what they stand "
        "for gets larger. Each picture has its own scale."
    )
    maps = block_maps(run, picked.image, label)
    with st.grid("auto", min_column_width=150):
        for number, heat in enumerate(maps, start=1):
            with st.container():
                st.image(
                    overlays.overlay(view, heat, top=float(heat.max()), side=SMALL),
                    width="stretch",
                    alt=f"Grad-CAM of block {number}",
                )
                size = f"Block {number}, {heat.shape[0]} × {heat.shape[1]}"
                st.caption(size if heat.any() else f"{size}: nothing speaks for the class")


@st.fragment
def explore_beside(run: Run, picked: PickedImage) -> None:
    """A transformer's map for a class with a convolutional network's beside it."""
    st.subheader("Beside a convolutional network", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        other = choose_beside(run)
        if other is not None:
            names, (view, probabilities) = names_of(run.config), prediction(run, picked.image)
            label = pick_class(names, names[int(probabilities.argmax())])
    if other is None:
        st.caption("Choose one, and both networks show for one class where in this image they find it.")
        return
    show_maps([run, other], picked, label, view)
    with st.expander("What Grad-CAM is, and what it is not", icon=":material/help:"):
        st.markdown(WHAT_IT_IS)


def show_maps(shown: list[Run], picked: PickedImage, label: str, view: np.ndarray) -> None:
    """The image, and a map of each network for a class."""
    with st.grid(1 + len(shown), min_column_width=200):
        with st.container():
            st.markdown(f"**The image** :small[{view.shape[1]} × {view.shape[0]} pixels]")
            if picked.label is not None:
                text.name_badge(picked.label, before="true: ")
            scaled = Image.fromarray(view).resize((LARGE, LARGE), Image.Resampling.BICUBIC)
            st.image(scaled, width="stretch", alt=f"{picked.title} as {shown[0].name} sees it")
        for run in shown:
            with st.container():
                show_map(run, picked.image, label)
    show_legend()
