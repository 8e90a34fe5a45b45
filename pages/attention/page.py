"""Attention: the maps of every head for one image; for a convolutional network, Grad-CAM."""

from typing import NamedTuple

import numpy as np
import streamlit as st

from pages.attention import class_maps, head_notes, vote_maps
from pages.ui import answer, cached_models, downloads, run_picker, text, view_pickers
from pages.ui.dependence import note_low_dependence
from pages.ui.images import image_picker
from pages.ui.run_doubts import show_run_doubts
from pages.ui.widgets.live_camera import WORDS, live_camera
from pages.ui.widgets.map_grid import Selection, TileMaps, forget_browsers, is_smooth, map_grid, scale_controls
from pages.ui.wording import term
from vit import plots
from vit.classes import class_names_of
from vit.config import TransformerConfig
from vit.config.words import SUMMARIES, summary_name, tokens_before, words_before
from vit.errors import ExplainError, UserError
from vit.explain import contributions, token_rows
from vit.pictures import overlays
from vit.runs import Run

VIEWS = ("Attention", "Contribution", "Mean, max, min", "Votes")
FUSIONS = ("Mean over heads", "Max over heads", "Min over heads")

INTRO = (
    "Point at a patch to see what it attends to in every head: the brighter, the more attention. Click a tile to "
    "enlarge its head."
)
INTRO_CNN = (
    "This network is convolutional and has no attention. Grad-CAM shows where it looks: the brighter a place, the more "
    "its content speaks for the chosen class."
)

WHAT_IT_IS = """
**What it is.** The model cuts the image into patches and turns each patch into a token. A model with a class token has
one token more. This model reads its answer from the **{summary}**, its summary token. In every layer, each head lets
every token attend to all tokens and copy information from them. A tile shows for one head how the chosen token divides
its attention. The shares sum to 100 %: the number on the tile is the share of the class token, the colours are the
shares of the patches.

**Point, pin, read.** While no patch is pinned, the maps follow the pointer, and without it they are those of the
{summary}. A click pins a patch; then the pointer reads the values of its map. A second click releases it. With the
keyboard, arrow keys move over the patches, Enter pins one, Escape goes back. *Smooth* interpolates the colours; the
network has no finer values, and a number on hover is always that of a whole patch.

**What to look for.** In early layers, heads often attend to neighbours, to a fixed offset or to everything evenly. In
later layers, many heads attend to all patches of the object that you click on, and the summary token attends to the
parts that decide the answer. Some heads put nearly all attention on one or two patches or on the class token. This is
often how a head does nothing. On hover, "1.0 × even" means as much as with evenly spread attention.

**Limits.** A map shows where information comes from. It does not show what the information is or whether it matters: a
patch can get attention and change nothing. From the second layer on, a patch's token also holds information from other
patches, so a bright patch need not be about its own pixels alone. Each head is one of many, and later layers weigh
their outputs.

**Labels and borders.** They are measured over many images and do not change with the image on the page. "object 70%"
means that 70 % of the summary token's attention to patches lies on the object. Other labels are the names from the page
Heads; hover over a tile for the figures behind them. A border marks a head without which the accuracy falls, when this
head alone outputs zeros. The page opens with the head that has most of its attention on the object, if that was
measured.

**Colours.** Shared: all tiles use one scale. It ends at the 99th percentile of the values, because a single strong link
would leave the rest dark. Per tile: each tile has its own scale. This shows shapes, but amounts cannot be compared
between tiles.
"""

READING = """
Rows are tokens that attend, columns are tokens that are attended to. Each row sums to 1.

Bright column: many tokens attend to this one. Bright diagonal: each token attends to itself; lines next to it are the
neighbours. Blocks: the patches of one region attend to each other.

Drag to zoom in, double-click to zoom out.
"""

READING_OTHER = """
Rows are tokens that attend, columns are tokens that are attended to.

Bright column: many tokens take information from this one. Bright diagonal: each token takes information from itself.

Drag to zoom in, double-click to zoom out.
"""

CONTRIBUTION = (
    "A head copies attention times the value of a token, so it can attend to a patch and copy almost nothing. Here the "
    "colour is the length of what a token contributes, ‖α f(x)‖ (Kobayashi et al. 2020). A patch that is bright in the "
    "attention and dark here got attention without effect."
)

FUSED = (
    "The heads of each layer combined into one map: their mean, maximum and minimum for each patch. The minimum is "
    "bright where all heads attend, the maximum where at least one head attends."
)

REGISTERS = (
    "The tokens before the patches are {before}. Registers are extra tokens that the answer is not read from. The "
    "network stores information about the whole image in them; networks without registers use patches of plain "
    "background for this (Darcet et al. 2024). The buttons below the image choose one of these tokens. The number on a "
    "tile is their total share of the attention."
)

DEVIATION_MAX = 1e-5  # of the logits, relative to the largest if it is above 1: rounding of single precision


class View(NamedTuple):
    """What the tiles show.

    Attributes:
        matrices: ``(depth column n m)``.
        column_names: one for each column of tiles.
        title: the heading of the tiles.
        quantity: what a number measures.
        shares: whether the numbers of a row sum to 1.
        words: an explanation above the tiles.
    """

    matrices: np.ndarray
    column_names: list[str]
    title: str
    quantity: str
    shares: bool
    words: str


def view_of(look: cached_models.Look, show: str, run: Run) -> View:
    """Return the matrices of one of :data:`VIEWS`.

    Raises:
        ExplainError: the view is not defined for this network.
    """
    attention = look.attention
    heads = [f"Head {head}" for head in range(1, attention.shape[1] + 1)]
    match show:
        case "Contribution":
            norms = contributions(cached_models.load_model(run)[0], look.record)[0]
            return View(norms, heads, "What every head copies", "norm", False, CONTRIBUTION)
        case "Mean, max, min":
            fused = np.stack([attention.mean(axis=1), attention.max(axis=1), attention.min(axis=1)], axis=1)
            return View(fused, list(FUSIONS), "All heads of a layer combined", "attention", False, FUSED)
        case _:
            return View(attention, heads, "Every head of every layer", "attention", True, "")


@st.fragment
def show_attention(
    run: Run, config: TransformerConfig, look: cached_models.Look, picked: cached_models.PickedImage
) -> None:
    """Show the maps, the matrix of the chosen tile and their controls; a click reruns this part alone."""
    record = look.record
    before = tokens_before(config)
    if before:
        st.caption(REGISTERS.format(before=words_before(before)), help=term("class token", "register"))
    if record.caveat:
        st.warning(record.caveat, icon=":material/info:")
    controls = st.container(horizontal=True, vertical_alignment="center")
    with controls:
        show = st.segmented_control(
            "Show",
            VIEWS,
            default=VIEWS[0],
            required=True,
            key="show",
            bind="query-params",
            label_visibility="collapsed",
            wrap=False,
        )
    try:
        if show == "Votes":
            vote_maps.show_vote_maps(run, config, look, picked)
            return
        view = view_of(look, show, run)
    except ExplainError as error:
        text.show_error(error)
        return
    if view.words:
        st.caption(view.words, help=term("contribution") if show == "Contribution" else None)
    fused = show == "Mean, max, min"
    key = "fusion" if fused else "head"
    depth, columns = view.matrices.shape[:2]
    with controls:
        scale_controls()
        with view_pickers.advanced():
            token = view_pickers.pick_token(record.grid, zero=SUMMARIES[record.pool], others=before)
            first_layer, first_head = (1, 1) if fused else head_notes.first_head(run)
            layer = view_pickers.pick_layer(depth, default=first_layer)
            head = (
                view_pickers.pick_number("Fusion", 1, columns, key=key, help="1 mean, 2 max, 3 min.")
                if fused
                else view_pickers.pick_head(columns, default=first_head)
            )
    row_names = [f"Layer {number}" for number in range(1, depth + 1)]
    notes, legend = ([], []) if fused else head_notes.head_notes(run, config)
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
            one_tile=lambda row, column, tokens: np.stack(
                [token_rows(record, view.matrices[row - 1, column - 1], one) for one in tokens]
            ),
            tile_notes=notes,
            key=legend,
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
                    depth, columns, *record.grid
                ),
                row_names,
                view.column_names,
                smooth=is_smooth(),
            ),
            arrays=lambda: {
                "matrices": view.matrices,
                "grid": np.array(record.grid),
                "prefix_tokens": np.array(record.prefix_tokens),
                "prefix_names": np.array(config.prefix_names),
                "probabilities": look.probabilities,
            },
        )
        if not fused:
            head_notes.offer_names(run)
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
    check.caption(describe_check(cached_models.deviation(run, picked), numbers))  # last: it takes two more passes


def describe_check(deviation: float, numbers: str = "logits") -> str:
    """Say whether the maps reproduce the model's output.

    Args:
        deviation: the largest difference between the recomputed output and the model's own.
        numbers: what the output consists of.
    """
    if deviation <= DEVIATION_MAX:
        return f":material/verified: Checked: these maps reproduce the model's {numbers} (error {deviation:.1g})."
    return (
        f":material/warning: The {numbers} recomputed from these maps differ from the model's own by {deviation:.1e}. "
        "Do not trust these maps."
    )


st.title("Attention", anchor=False)
intro = st.empty()
choices = st.container(horizontal=True, vertical_alignment="bottom")
with choices:
    run = run_picker.pick_run(width=200)
if run is None:
    intro.caption(INTRO)
    st.stop()
config = run.config.model
convolutional = cached_models.is_convolutional(run)
intro.caption(INTRO_CNN if convolutional else INTRO, help=term("attention", "head"))
try:
    cached_models.load_model(run)
    with choices:
        picked = image_picker.pick_image(run)
        live = st.toggle("Live", key="live", bind="query-params", help=WORDS, width="content")
    if live:
        with st.container(border=True):
            live_camera(run, uploader="image_upload", key="live_camera")
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

output = cached_models.output_of(run, picked.image)
answer.show_answer(picked, class_names_of(run.config), probabilities, output=output)
show_run_doubts(run)
note_low_dependence(run)
forget_browsers()
if isinstance(config, TransformerConfig):
    show_attention(run, config, look, picked)
    with st.expander("How to read attention maps, and their limits", icon=":material/help:"):
        st.markdown(WHAT_IT_IS.format(summary=summary_name(config)))
    if class_names_of(run.config):
        class_maps.show_cnn_comparison(run, picked)
else:
    class_maps.show_block_maps(run, picked)
    with st.expander("What Grad-CAM shows, and its limits", icon=":material/help:"):
        st.markdown(class_maps.WHAT_IT_IS)
