"""Tokens: the tokens after every layer: similarity, principal components, norms, and the logit lens."""

import streamlit as st

from pages.tokens import shared
from pages.ui import answer, cached_models, run_picker, text
from pages.ui.dependence import note_low_dependence
from pages.ui.images import image_picker
from pages.ui.run_doubts import show_run_doubts
from pages.ui.widgets.map_grid import forget_browsers
from pages.ui.wording import term
from vit.config import TransformerConfig
from vit.errors import ExplainError, UserError

ASPECTS = ("Similarity", "Components", "Norms", "Logit lens")

INTRO = (
    "A token is a list of numbers for one patch of the image. Every layer changes it a little. This page shows the "
    "tokens after each layer: which are similar, how they differ, and what the network would answer if it stopped "
    "there."
)

NO_TOKENS = (
    "This network is convolutional and has no tokens. Choose the run of a transformer, or use the Attention page to "
    "see where this network looks."
)

MIXED = (
    "This network mixes positions outside its attention too, so the token at a patch's position need not be about that "
    "patch."
)


@st.fragment
def show_tokens(image_tokens: shared.ImageTokens) -> None:
    """Show the chosen part of the page; a click on a patch or a tile reruns this part alone."""
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
    # Each part imports its modules when it is chosen.
    match aspect:
        case "Similarity":
            from pages.tokens.similarity import show
        case "Components":
            from pages.tokens.components import show
        case "Norms":
            from pages.tokens.norms import show
        case _:
            from pages.tokens.logit_lens import show
    show(image_tokens)


st.title("Tokens", anchor=False)
st.caption(INTRO, help=term("token", "residual stream"))
choices = st.container(horizontal=True, vertical_alignment="bottom")
with choices:
    run = run_picker.pick_run(width=240)
if run is None:
    st.stop()
try:
    config = run.config.model
    if not isinstance(config, TransformerConfig):
        raise ExplainError(NO_TOKENS)
    with choices:
        picked = image_picker.pick_image(run)
    if picked is None:
        st.stop()
    image_tokens = shared.tokens_of(run, picked.image, picked.id, picked, config.prefix_names)
except UserError as error:
    text.show_error(error)
    st.stop()

output = cached_models.output_of(run, picked.image)
answer.show_answer(image_tokens.picked, image_tokens.class_names, image_tokens.probabilities, output=output)
note_low_dependence(run)
show_run_doubts(run)
if image_tokens.record.mixes_positions:
    st.warning(MIXED, icon=":material/info:")
forget_browsers()
show_tokens(image_tokens)
