"""Tokens: what each token holds after every layer: similarity, principal components, lengths, and the logit lens."""

import streamlit as st

from pages.tokens import shared
from pages.ui import answer, cached_models, image_picker, run_picker, text
from pages.ui.widgets.map_grid import forget_browsers
from pages.ui.wording import term
from vit.errors import ExplainError, UserError

ASPECTS = ("Similarity", "Components", "Norms", "Logit lens")

INTRO = (
    "A token is a list of numbers that the network keeps for each patch of the image, and changes a little in every "
    "layer. Here you see what the tokens hold after each layer: which are alike, how they differ, and what the network "
    "would answer if it stopped there."
)

NO_TOKENS = (
    "This network is convolutional and has no tokens: choose the run of a transformer, or see on the Attention page "
    "where this network looks."
)

MIXED = (
    "This network mixes positions outside its attention too, so the token in a patch's place need not be about that "
    "patch."
)


@st.fragment
def explore(seen: shared.Seen) -> None:
    """What a click on a patch or a tile changes, and nothing else."""
    aspect = st.segmented_control(
        "Show",
        ASPECTS,
        default=ASPECTS[0],
        required=True,
        key="aspect",
        bind="query-params",
        on_change=forget_browsers,
        label_visibility="collapsed",
    )
    # Each part imports what it needs when it is chosen.
    match aspect:
        case "Similarity":
            from pages.tokens.similarity import show
        case "Components":
            from pages.tokens.components import show
        case "Norms":
            from pages.tokens.norms import show
        case _:
            from pages.tokens.logit_lens import show
    show(seen)


st.title("Tokens", anchor=False)
st.caption(INTRO, help=term("token", "residual stream"))
choices = st.container(horizontal=True, vertical_alignment="bottom")
with choices:
    run = run_picker.pick_run(width=240)
if run is None:
    st.stop()
try:
    if cached_models.is_convolutional(run):
        raise ExplainError(NO_TOKENS)
    with choices:
        picked = image_picker.pick_image(run)
    if picked is None:
        st.stop()
    seen = shared.see(run, picked.image, picked.id, picked)
except UserError as error:
    text.show_error(error)
    st.stop()

answer.show_answer(seen.picked, seen.class_names, seen.probabilities)
if seen.record.mixes_positions:
    st.warning(MIXED, icon=":material/info:")
forget_browsers()
explore(seen)
