"""Show what the first layer and the position embeddings have learned."""

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
SIDE = 48  # minimum side of a tile in pixels


def show_filter_tiles(learned: np.ndarray) -> None:
    """Show filters ``(e c p1 p2)`` as tiles."""
    count, _, height, width = learned.shape
    st.image(filters.filter_sheet(learned, columns=SHEET_COLUMNS, side=SIDE), width="stretch", alt="Filters")
    st.caption(
        f"{count} filters of {height} × {width} pixels, strongest first. Grey is zero. Red, green and blue show the "
        "weights of these channels; each filter has its own scale."
    )


def show_components(learned: np.ndarray) -> None:
    """Show the principal components of filters ``(e c p1 p2)``."""
    principal, shares = filters.principal_components(learned)
    picture = filters.filter_sheet(principal, columns=COMPONENT_COLUMNS, side=SIDE)
    st.image(picture, width="stretch", alt="Principal components of the filters")
    st.caption(
        f"The first {len(shares)} principal components of the filters, most important first (as in Dosovitskiy et al. "
        "2021, fig. 7, left): the patterns that the filters have in common. The first component explains "
        f"{shares[0]:.0%} of their variance, all of these {shares.sum():.0%}. After training on many images they look "
        "like smooth waves and edges. Noise means that there were too few images or epochs for such patterns to form."
    )


def show_filters(model: Network) -> None:
    """Show the filters of the patch embedding with their principal components, or those of the first convolution."""
    try:
        learned = filters.patch_filters(model)
    except ExplainError as error:
        st.subheader("Filters of the first convolution", anchor=False)
        st.caption(f"{error} Shown instead: the filters of its first convolution.")
        show_filter_tiles(filters.first_filters(model))
        return
    st.subheader("Patch filters", anchor=False, help=term("stem"))
    with st.grid(2, min_column_width=380, gap="large") as row:
        with row.cell():
            show_filter_tiles(learned)
        with row.cell():
            show_components(learned)


def show_positions(model: Network) -> None:
    """Show how similar the position embeddings are."""
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
    spacing = map_spacing(similarity.shape[0])
    if spacing > 1:
        words.caption(
            f"One in {spacing} of the {similarity.shape[0]} rows and {similarity.shape[1]} columns of patches has maps."
        )
    words.caption(
        "One small map for each patch, at the place of the patch: how similar its position embedding is to that of "
        "every other patch (Dosovitskiy et al. 2021, fig. 7, centre). The brightest spot of a map is the patch itself. "
        "If the network has learned which positions are close to each other, the surroundings of the patch are bright, "
        "often also its row and column. If not, the map shows noise, as at the start of training. Drag to zoom in, "
        "double-click to zoom out."
    )


def show(run: Run) -> None:
    """Show the part "Filters and positions" of the page."""
    try:
        model, _ = cached_models.load_model(run)
    except UserError as error:
        text.show_error(error)
        return
    show_filters(model)
    show_positions(model)
