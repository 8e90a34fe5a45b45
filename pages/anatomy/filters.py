"""What the first layer and the positions have learned."""

import numpy as np
import streamlit as st

from pages.ui import cached_models, text
from pages.ui.downloads import plotly_config
from pages.ui.wording import term
from vit import plots
from vit.errors import ExplainError, UserError
from vit.explain.anatomy import filters
from vit.networks import Network
from vit.plots.anatomy import map_spacing
from vit.runs import Run

SHEET_COLUMNS = 16
COMPONENT_COLUMNS = 7
SIDE = 48  # pixels of a tile, at least


def show_sheet(learned: np.ndarray) -> None:
    """Filters ``(e c p1 p2)`` as tiles."""
    count, _, height, width = learned.shape
    st.image(filters.filter_sheet(learned, columns=SHEET_COLUMNS, side=SIDE), width="stretch", alt="The filters")
    st.caption(
        f"{count} filters of {height} × {width} pixels, the strongest first. Grey is zero; red, green and blue are the "
        "weights of those channels, each filter on its own scale."
    )


def show_components(learned: np.ndarray) -> None:
    """The principal components of filters ``(e c p1 p2)``."""
    principal, shares = filters.principal_components(learned)
    picture = filters.filter_sheet(principal, columns=COMPONENT_COLUMNS, side=SIDE)
    st.image(picture, width="stretch", alt="The principal components of the filters")
    st.caption(
        f"Their first {len(shares)} principal components (as in Dosovitskiy et al. 2021, fig. 7, left), the most "
        f"important first: what the filters have in common. The first holds {shares[0]:.0%} of their variance, all "
        f"of these {shares.sum():.0%}. Trained on many images they look like smooth waves and edges; noise means that "
        "the network had too few images, or too few epochs, to need such order."
    )


def show_filters(model: Network) -> None:
    """The filters of the patch embedding and what they have in common, or those of the first convolution."""
    try:
        learned = filters.patch_filters(model)
    except ExplainError as error:
        st.subheader("Filters of the first convolution", anchor=False)
        st.caption(f"{error} These are the filters of its first convolution.")
        show_sheet(filters.first_filters(model))
        return
    st.subheader("Patch filters", anchor=False, help=term("stem"))
    with st.grid(2, min_column_width=380, gap="large") as row:
        with row.cell():
            show_sheet(learned)
        with row.cell():
            show_components(learned)


def show_positions(model: Network) -> None:
    """How similar the position embeddings are."""
    st.subheader("Similarity of the position embeddings", anchor=False, help=term("position embedding"))
    try:
        similarity = filters.position_similarity(model)
    except ExplainError as error:
        st.caption(str(error))
        return
    with st.container(horizontal=True, gap="medium"):
        st.plotly_chart(
            plots.position_maps(similarity),
            key="positions",
            width=560,
            config=plotly_config("position-similarity"),
            alt="A map for each patch: how similar its position embedding is to the others",
        )
        words = st.container(width=300)
    each = map_spacing(similarity.shape[0])
    if each > 1:
        words.caption(f"Of {similarity.shape[0]} × {similarity.shape[1]} patches one in {each} each way has its map.")
    words.caption(
        "One small map for each patch, placed where the patch is: how similar its position embedding is to that of "
        "every other patch (Dosovitskiy et al. 2021, fig. 7, centre). The brightest spot of a map is the patch itself. "
        "A network that has learned what is near what shows a bright neighbourhood around it, often with its row and "
        "column; one that has not shows noise, as it was drawn at the start. Drag to zoom in, double-click to zoom out."
    )


def show(run: Run) -> None:
    """The part of the page."""
    try:
        model, _ = cached_models.load_model(run)
    except UserError as error:
        text.show_error(error)
        return
    show_filters(model)
    show_positions(model)
