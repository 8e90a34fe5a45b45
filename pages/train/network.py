"""The network of a new run, and its settings."""

import streamlit as st

from pages.train.controls import MENDS, Controls
from vit.config import DEPARTURES, Departure

SENTENCES = {
    "vit": "The standard Vision Transformer: it cuts the image into patches, and in every head each patch attends to "
    "all patches. The Attention page shows what each head attends to.",
    "reference": "An exact copy of the transformer of a course report. It departs from the textbook in ways that mix "
    "the patches with each other and make the network very large; each departure can be mended.",
    "reference-einsum": "The course network with its attention written in Einstein notation (einsum): the same results "
    "at another speed.",
    "cnn": "A small convolutional network without attention: four convolutions, each of which halves the resolution. "
    "A baseline for the transformers.",
    "cnn-residual": "A deeper convolutional network with residual blocks. It has about as many parameters as the "
    "default Vision Transformer, so that the two can be compared.",
}
"""A description of each network."""

DEPARTURE_TEXTS: dict[Departure, tuple[str, str]] = {
    "projection": (
        "A head flattens its slice of the embedding and computes Q, K and V from all positions together.",
        "Q, K and V of a token are linear maps of that token's whole embedding.",
    ),
    "softmax": (
        "The softmax runs over the queries: columns of the map sum to 1.",
        "The softmax runs over the keys: rows of the map sum to 1.",
    ),
    "scaling": (
        "The product with V is divided by √d, after the softmax.",
        "The scores are divided by √d before the softmax.",
    ),
    "output": ("The heads are concatenated.", "The heads are concatenated and mixed by a linear map."),
    "mlp": (
        "The MLP takes all tokens as one long vector and has most of the network's parameters.",
        "The same small MLP is applied to each token separately.",
    ),
    "finish": ("ReLU in the MLP, no norm after the last block.", "GELU in the MLP, a norm after the last block."),
}
"""For each departure: what the course network does, and what the mended network does."""


def show_departures() -> None:
    """Show a table of the departures, closed at first."""
    with st.expander("What mending changes", icon=":material/build:"):
        rows = [DEPARTURE_TEXTS[name] for name in DEPARTURES]
        st.table(
            {
                "Rung": [str(rung) for rung in range(1, len(DEPARTURES) + 1)],
                "When mended": [MENDS[name] for name in DEPARTURES],
                "In the course network": [before for before, _ in rows],
                "In the textbook": [after for _, after in rows],
            },
            hide_index=True,
        )


def model_controls(controls: Controls) -> None:
    """Show the controls of the chosen network."""
    match controls.space.base.architecture:
        case "vit":
            _vit_controls(controls)
        case "reference":
            _course_controls(controls)
        case _:
            _cnn_controls(controls)


def _vit_controls(controls: Controls) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        heads = controls.slider("heads")
        controls.slider("depth")
    with right:
        width = controls.slider("head_dim")
        controls.slider("patch", note="Smaller patches show more detail and take longer to train.")
    values = controls.values
    _show_tokens(heads, width, values["size"], values["size"] // values["patch"])
    with st.expander("More about the model", icon=":material/tune:"):
        left, right = st.columns(2, gap="large")
        with left:
            _size_slider(controls)
            controls.choice("stem")
            controls.choice("pool")
        with right:
            controls.slider("mlp_ratio")
            controls.slider("dropout")


def _course_controls(controls: Controls) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        heads = controls.slider("course_heads", note="The course report uses 2.")
        controls.slider("course_depth", note="The course report uses 2.")
        _size_slider(controls)
    with right:
        width = controls.slider("course_head_dim", note="The course report uses 64.")
        grid = controls.slider(
            "course_grid",
            note="The course report uses 4. Unless Q, K, V and the MLP are mended, twice as many make the network "
            "sixteen times as large.",
        )
    _show_tokens(heads, width, controls.values["size"], grid)


def _cnn_controls(controls: Controls) -> None:
    left, _ = st.columns(2, gap="large")
    with left:
        _size_slider(controls)
    st.caption("This network has no patches and no heads, and its widths are fixed.")


def _size_slider(controls: Controls) -> None:
    controls.slider("size", note="Larger images show more detail and take longer to train.")


def _show_tokens(heads: int, width: int, size: int, grid: int) -> None:
    st.caption(
        f"Token width (embed_dim): {heads} heads × {width} = {heads * width}. "
        f"Each image of {size} px is cut into {grid} × {grid} patches of {size // grid} px."
    )
