"""Maps for one class: Grad-CAM of the blocks of a convolutional network, and two networks side by side."""

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from PIL import Image

from pages import access
from pages.ui import cached_models, link_state, text
from pages.ui.cached_models import PickedImage, cached, import_captum, is_convolutional, prediction
from pages.ui.run_doubts import show_run_doubts
from pages.ui.run_picker import say_missing_run
from pages.ui.text import plain
from pages.ui.view_pickers import pick_class
from pages.ui.widgets.map_grid import is_smooth, smooth_control
from pages.ui.wording import term
from vit.classes import class_names_of
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
    "raw": "What its summary token attends to in the last layer, mean over heads, {rows} × {columns} patches. It is "
    "the same for every class. {caveat}",
}

WHAT_IT_IS = """
**What it is.** A convolutional network has no attention. Grad-CAM (Selvaraju et al. 2017) looks at the output of a
block: which channels would raise the score of the chosen class if they were a little stronger? It weights each channel
by this gradient, adds them up and sets negative values to zero. A bright place has content that speaks for the class,
as far as this block can tell.

**What to look for.** The last block has few positions and detects objects. Its map is coarse and shows what decided the
answer. Early blocks have many positions and detect edges and colours. Their maps are detailed and say little about the
class. Choose another class: a map that hardly changes says little about either class.

**Limits.** Grad-CAM is not attention: nothing in the network chose to look there. Each position depends on a large part
of the image, so the location of a bright square is approximate. And Grad-CAM is a gradient at this one image: it does
not show what would happen without the bright part.

**Compared with a transformer.** The transformer's map is made from its attention and the gradient of the same class
score. Both maps show how much a place speaks for the class, but their units differ: compare the places, not the
brightness. If the two maps disagree, both can be right, because the two networks may use different evidence.
"""


@cached
def map_for(run: Run, image: Image.Image, label: str) -> "ClassMap":
    """Return how much each place of an image speaks for a class."""
    from vit.explain import class_map

    if is_convolutional(run):
        import_captum()
    model, info = cached_models.load_model(run)
    return class_map(model, cached_models.model_input(info, image), info.class_names.index(label))


@cached
def block_maps(run: Run, image: Image.Image, label: str) -> list[np.ndarray]:
    """Return the Grad-CAM map ``(rows columns)`` of every block of a convolutional network."""
    from vit.cnn import CNN
    from vit.explain import grad_cam

    import_captum()
    model, info = cached_models.load_model(run)
    if not isinstance(model, CNN):
        raise TypeError(f"{run.name} is not a convolutional network.")
    images, index = cached_models.model_input(info, image), info.class_names.index(label)
    return [grad_cam(model, images, index, layer=layer)[0] for layer in range(len(model.blocks))]


def choose_other_kind(run: Run) -> Run | None:
    """Show a select box over the runs of the other kind with the same classes, bound to ``?beside=``."""
    convolutional, class_names = is_convolutional(run), set(class_names_of(run.config))
    found = {
        other.name: other
        for other in access.my_runs()
        if other.has_weights
        and is_convolutional(other) != convolutional
        and set(class_names_of(other.config)) == class_names
    }
    say_missing_run("beside")
    link_state.one_of("beside", found)
    kind = "transformer" if convolutional else "convolutional network"
    chosen = st.selectbox(
        "Compare with",
        list(found),
        index=None,
        placeholder=f"Choose a {kind}" if found else f"No {kind} yet",
        key="beside",
        bind="query-params",
        width=220,
        disabled=not found,
        help=f"A run of a {kind} with the same classes. Train one to compare the two.",
    )
    return found.get(chosen) if chosen else None


def show_map(run: Run, image: Image.Image, label: str) -> None:
    """Show one network's answer, and its map for a class over the image at the network's input size."""
    st.markdown(f"**{plain(run.name)}** :small[{plain(run.config.model.title)}]")
    show_run_doubts(run)
    try:
        view, probabilities = prediction(run, image)
        found = map_for(run, image, label)
    except UserError as error:
        text.show_error(error)
        return
    names = class_names_of(run.config)
    show_prediction_badges(names, probabilities, label)
    rows, columns = found.heat.shape
    said = METHODS[found.method].format(label=plain(label), rows=rows, columns=columns, caveat=found.caveat)
    st.image(
        overlays.overlay(view, found.heat, top=float(found.heat.max()), side=LARGE, smooth=is_smooth()),
        width="stretch",
        alt=f"Map of {run.name} for {label} over the image",
    )
    st.caption(said if found.heat.any() else f"{said} Nothing in this image speaks for this class.")


def show_prediction_badges(names: tuple[str, ...], probabilities: np.ndarray, label: str) -> None:
    """Show the predicted class and the probability of the map's class as badges."""
    best = int(probabilities.argmax())
    with st.container(horizontal=True, gap="small"):
        text.name_badge(names[best], before="predicted: ", after=f", {probabilities[best]:.1%}", color="blue")
        if names[best] != label:
            text.name_badge(label, after=f": {probabilities[names.index(label)]:.1%}")


def show_legend() -> None:
    """Show the colour scale of the maps."""
    steps = ", ".join(SEQUENTIAL)
    st.html(
        '<div style="display: flex; align-items: center; gap: 0.6rem; font-size: 0.875rem; opacity: 0.8; '
        'white-space: nowrap">'
        "<span>low (transparent)</span>"
        f'<span style="flex: 0 1 10rem; height: 0.6rem; background: linear-gradient(90deg, {steps})"></span>'
        "<span>highest in this picture</span></div>"
    )


@st.fragment
def show_block_maps(run: Run, picked: PickedImage) -> None:
    """Show a convolutional network's maps: the last block large, next to another network's map, then every block."""
    names, (view, probabilities) = class_names_of(run.config), prediction(run, picked.image)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        label = pick_class(names, names[int(probabilities.argmax())])
        other = choose_other_kind(run)
        smooth_control()
    show_maps([run, *([other] if other else [])], picked, label, view)
    st.subheader("Every block", anchor=False, help=term("Grad-CAM"))
    st.caption(
        f"Grad-CAM for {plain(label)} after each block, from first to last. Later blocks have fewer positions, and "
        "each covers a larger part of the image. Each picture has its own colour scale."
    )
    maps = block_maps(run, picked.image, label)
    with st.grid("auto", min_column_width=150):
        for number, heat in enumerate(maps, start=1):
            with st.container():
                st.image(
                    overlays.overlay(view, heat, top=float(heat.max()), side=SMALL, smooth=is_smooth()),
                    width="stretch",
                    alt=f"Grad-CAM of block {number}",
                )
                size = f"Block {number}, {heat.shape[0]} × {heat.shape[1]}"
                st.caption(size if heat.any() else f"{size}: nothing speaks for the class")


@st.fragment
def show_cnn_comparison(run: Run, picked: PickedImage) -> None:
    """Show a transformer's map for a class next to that of a convolutional network."""
    st.subheader("Compare with a convolutional network", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        other = choose_other_kind(run)
        if other is not None:
            names, (view, probabilities) = class_names_of(run.config), prediction(run, picked.image)
            label = pick_class(names, names[int(probabilities.argmax())])
    if other is None:
        st.caption("Choose a run to see where both networks find a class in this image.")
        return
    show_maps([run, other], picked, label, view)
    with st.expander("What Grad-CAM shows, and its limits", icon=":material/help:"):
        st.markdown(WHAT_IT_IS)


def show_maps(shown: list[Run], picked: PickedImage, label: str, view: np.ndarray) -> None:
    """Show the image and the map of each network for a class."""
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
