"""Attention: every head of every layer, for one image and any of its patches; of a CNN, where it looks for a class."""

from typing import NamedTuple

import numpy as np
import streamlit as st

from pages.attention import class_maps
from pages.ui import answer, cached_models, downloads, image_picker, run_picker, text, view_pickers
from pages.ui.widgets.map_grid import (
    Selection,
    TileMaps,
    forget_browsers,
    map_grid,
    scale_controls,
    tokens_before,
    words_before,
)
from pages.ui.wording import term
from vit import plots
from vit.classes import names_of
from vit.errors import ExplainError, UserError
from vit.explain import contributions, token_rows
from vit.pictures import overlays
from vit.runs import Run

VIEWS = ("Attention", "Contribution", "Mean, max, min")
FUSIONS = ("Mean over heads", "Max over heads", "Min over heads")

INTRO = (
    "Each tile is one head of one layer: the brighter a patch, the more of its attention the chosen token gives to it. "
    "Click a patch in the image to look from there, and a tile to enlarge its head."
)
INTRO_CNN = (
    "This network is convolutional and has no attention; Grad-CAM shows where it looks: the brighter a place, the more "
    "what is there speaks for the chosen class."
)

WHAT_IT_IS = """
**What it is.** The model cuts the image into patches and turns each into a token; one more, the class token,
stands beside them. The answer is read from the summary token: the class token, or the mean of the patches, as the
model was set. In every layer each head lets every token look at all the others and take something over from them. A
tile shows for one head how the chosen token divides its attention: it has 100 % to give, some of it to the class
token (the number on the tile), the rest to the patches (the colours).

**What to look for.** In early layers heads often look at neighbours, at a fixed offset or at everything evenly. In
later ones many gather the patches of one object, wherever you click in it, and the summary token looks at what
decides. Some heads put nearly everything on one or two patches or on the class token, which is often their way of
doing nothing. "1.0 × even" on hover means as much as if the attention were spread evenly.

**What it is not.** A map says where information is taken from, not what it is and not what it was good for: a patch
can be looked at and change nothing. From the second layer on a patch's token already holds something of the patches
that it looked at before, so a bright patch need not be about those pixels alone. And one head is one voice among
many; the next layers weigh them.

**Colours.** Shared: all tiles have one scale, which ends at the 99th percentile of what they show, for a single
strong link would leave the rest dark. Per tile: each has its own, so shapes show and amounts cannot be
compared.
"""

READING = """
A row is a token that attends, a column one that is attended to; each row sums to 1.

A bright column: everybody looks at that token. A bright diagonal: each token looks at itself; lines beside it are its
neighbours. Blocks: the patches of one region look at each other.

Drag to zoom in, double-click to zoom out.
"""

READING_OTHER = """
A row is a token that attends, a column one that is attended to.

A bright column: everybody takes from that token. A bright diagonal: each token takes from itself.

Drag to zoom in, double-click to zoom out.
"""

CONTRIBUTION = (
    "A head may look at a patch and take nothing over, since what it takes is attention times the value of that token. "
    "Here a colour is the length of what the token adds, ‖α f(x)‖ (Kobayashi et al. 2020): a place that is bright in "
    "the attention and dark here was looked at without effect."
)

FUSED = (
    "The heads of each layer as one: their mean, the most that any head gives to a patch, and the least. The min shows "
    "where all heads agree; the max is bright wherever one of them looks."
)

REGISTERS = (
    "Before the patches stand {before}. Registers are tokens that nothing is read from: the network learned to keep "
    "there what concerns the whole image, for which others take patches of plain background (Darcet et al. 2024). The "
    "buttons below the image look from each of them; the number on a tile is what goes to all of them together."
)

DEVIATION_MAX = 1e-5  # of the logits, as a share of the largest where that is above 1: single precision's doubt


class View(NamedTuple):
    """What the tiles show: ``matrices (depth column n m)``, names of the columns, and what a number is."""

    matrices: np.ndarray
    column_names: list[str]
    title: str
    quantity: str
    shares: bool
    words: str


def view_of(look: cached_models.Look, show: str, run: Run) -> View:
    """The matrices of one of :data:`VIEWS`.

    Raises:
        ExplainError: this network cannot give it.
    """
    attention = look.attention
    heads = [f"Head {head}" for head in range(1, attention.shape[1] + 1)]
    match show:
        case "Contribution":
            norms = contributions(cached_models.load_model(run)[0], look.record)[0]
            return View(norms, heads, "What every head takes over", "norm", False, CONTRIBUTION)
        case "Mean, max, min":
            fused = np.stack([attention.mean(axis=1), attention.max(axis=1), attention.min(axis=1)], axis=1)
            return View(fused, list(FUSIONS), "All heads of a layer in one", "attention", False, FUSED)
        case _:
            return View(attention, heads, "Every head of every layer", "attention", True, "")


@st.fragment
def explore(run: Run, look: cached_models.Look, picked: cached_models.PickedImage) -> None:
    """What a click on a patch or a tile changes, and nothing else."""
    record, config = look.record, run.config.model
    before = tokens_before(config)
    if before:
        st.caption(REGISTERS.format(before=words_before(before)), help=term("class token", "register"))
    if record.caveat:
        st.warning(record.caveat, icon=":material/info:")
    show = st.segmented_control(
        "Show", VIEWS, default=VIEWS[0], required=True, key="show", bind="query-params", label_visibility="collapsed"
    )
    try:
        view = view_of(look, show, run)
    except ExplainError as error:
        text.show_error(error)
        return
    if view.words:
        st.caption(view.words, help=term("contribution") if show == "Contribution" else None)
    fused = show == "Mean, max, min"
    key = "fusion" if fused else "head"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        depth, columns = view.matrices.shape[:2]
        token = view_pickers.pick_token(record.grid, others=before)
        layer = view_pickers.pick_layer(depth)
        head = (
            view_pickers.pick_number("Fusion", key, 1, columns, help="1 mean, 2 max, 3 min.")
            if fused
            else view_pickers.pick_head(columns)
        )
        scale_controls()
    row_names = [f"Layer {number}" for number in range(1, len(view.matrices) + 1)]
    map_grid(
        TileMaps(
            maps=lambda tokens: np.stack([token_rows(record, view.matrices, one) for one in tokens])[None],
            image=cached_models.looked_at(run, picked.image),
            version=f"{cached_models.version(run, picked.id)}/{show}",
            grid=record.grid,
            prefix=record.prefix_tokens,
            pool=record.pool,
            row_names=row_names,
            column_names=view.column_names,
            title=view.title,
            quantity=view.quantity,
            shares=view.shares,
            before=before,
        ),
        Selection(token=token, row=layer, column=head, keys=("token", "layer", key)),
        key="grid",
    )
    name = f"{run.name}-{picked.id}-{show.lower().replace(', ', '-')}"
    with st.container(horizontal=True, vertical_alignment="center"):
        downloads.downloads(
            name,
            key="maps",
            picture=lambda: overlays.attention_grid(
                cached_models.view_of(run, picked.image),
                token_rows(record, view.matrices, token)[..., record.prefix_tokens :].reshape(
                    *view.matrices.shape[:2], *record.grid
                ),
                row_names,
                view.column_names,
            ),
            arrays=lambda: {
                "matrices": view.matrices,
                "grid": np.array(record.grid),
                "prefix_tokens": np.array(record.prefix_tokens),
                "prefix_names": np.array(config.prefix_names),
                "probabilities": look.probabilities,
            },
        )
        check = st.empty()
    tile = f"{row_names[layer - 1]}, {view.column_names[head - 1].lower()}"
    matrix = view.matrices[layer - 1, head - 1]
    st.subheader(f"{tile}: every token to every token", anchor=False)
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.plotly_chart(
            plots.attention_matrix(matrix, record.grid, config.prefix_names, view.quantity),
            width=600,
            config=downloads.plotly_config(f"{name}-layer-{layer}-{head}"),
            alt=f"Heatmap of {view.quantity} in {tile}",
        )
        if not record.caveat:
            with st.container(width=270):
                st.caption(READING if view.shares else READING_OTHER)
    numbers = "logits" if config.num_classes else "features"
    check.caption(checked(cached_models.deviation(run, picked), numbers))  # last, since it takes two more passes


def checked(deviation: float, numbers: str = "logits") -> str:
    """Whether the maps are the attention that the answer was computed with; ``numbers`` is what it consists of."""
    if deviation <= DEVIATION_MAX:
        return (
            ":material/verified: These maps are the attention that was used: put in the place of the model's own "
            f"softmax they give its answer, to {deviation:.0e} in the {numbers}."
        )
    return (
        f":material/warning: Recomputed from these maps, the {numbers} differ from the model's own by "
        f"{deviation:.1e}: do not trust them."
    )


st.title("Attention", anchor=False)
intro = st.empty()
choices = st.container(horizontal=True, vertical_alignment="bottom")
with choices:
    run = run_picker.pick_run(width=240)
if run is None:
    intro.caption(INTRO)
    st.stop()
convolutional = cached_models.is_convolutional(run)
intro.caption(INTRO_CNN if convolutional else INTRO, help=term("attention", "head"))
try:
    cached_models.load_model(run)
    with choices:
        picked = image_picker.pick_image(run)
    if picked is None:
        st.stop()
    if convolutional:
        probabilities = cached_models.prediction(run, picked.image).probabilities
    else:
        look = cached_models.look(run, picked)
        probabilities = look.probabilities
except UserError as error:
    text.show_error(error)
    st.stop()

answer.show_answer(picked, names_of(run.config), probabilities)
forget_browsers()
if convolutional:
    class_maps.explore_blocks(run, picked)
    with st.expander("What Grad-CAM is, and what it is not", icon=":material/help:"):
        st.markdown(class_maps.WHAT_IT_IS)
else:
    explore(run, look, picked)
    with st.expander("What an attention map is, and what it is not", icon=":material/help:"):
        st.markdown(WHAT_IT_IS)
    if run.config.model.num_classes:
        class_maps.explore_beside(run, picked)
