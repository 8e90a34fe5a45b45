"""The Train page's choice of a network and of its settings."""

import streamlit as st

from pages.train.controls import MENDS, Controls
from pages.ui.wording import term
from vit.config import DEPARTURES, Departure

SENTENCES = {
    "vit": "Cuts the image into patches and lets every patch attend to every other, in several heads and blocks, as "
    "the textbook has it. Attention shows what each head attends to.",
    "reference": "The transformer of a course report, to the letter. It departs from the textbook in ways that mix the "
    "patches with each other and make it very large; each departure can be mended.",
    "reference-einsum": "The course network with the products of its attention written in Einstein notation: the same "
    "numbers, at another speed.",
    "cnn": "A small convolutional network without attention: four times a filter over the neighbourhood of each pixel, "
    "and half the resolution. What a transformer has to measure up to.",
    "cnn-residual": "A deeper convolutional network whose blocks add to what goes past them, with about as many "
    "parameters as the default Vision Transformer, so that the two can be compared.",
}
"""What each network is."""

DEPARTURE_TEXTS: dict[Departure, tuple[str, str]] = {
    "projection": (
        "A head flattens its own slice of the embedding and makes Q, K and V of all positions together.",
        "Q, K and V of a token are linear maps of that token's whole embedding.",
    ),
    "softmax": ("The softmax runs over the queries: columns of the map sum to 1.", "Over the keys: rows sum to 1."),
    "scaling": (
        "The product with V is divided by √d, which leaves the softmax as sharp as it is.",
        "The scores are divided by √d before the softmax.",
    ),
    "output": ("The heads are set side by side, and that is all.", "A linear map mixes them afterwards."),
    "mlp": (
        "The MLP takes all tokens as one long vector, with most of the network's parameters.",
        "The same small MLP takes each token by itself.",
    ),
    "finish": ("ReLU in the MLP, and no norm after the last block.", "GELU, and a final norm."),
}
"""For each departure: what the course network does, and what is done once it is mended."""


def show_departures() -> None:
    """What each departure is, in a table that opens on a click."""
    with st.expander("What mending changes", icon=":material/build:"):
        rows = [DEPARTURE_TEXTS[name] for name in DEPARTURES]
        st.table(
            {
                "Rung": [str(rung) for rung in range(1, len(DEPARTURES) + 1)],
                "Mended": [MENDS[name] for name in DEPARTURES],
                "In the course network": [before for before, _ in rows],
                "In the textbook": [after for _, after in rows],
            },
            hide_index=True,
        )


def model_controls(controls: Controls) -> None:
    """The controls of the chosen network."""
    match controls.space.base.architecture:
        case "vit":
            _vit_controls(controls)
        case "reference":
            _course_controls(controls)
        case _:
            _cnn_controls(controls)


def _vit_controls(controls: Controls) -> None:
    """Heads and depth first; the rest in an expander."""
    left, right = st.columns(2, gap="large")
    with left:
        heads = controls.slider("heads", "Attention heads", help=term("head"))
        controls.slider("depth", "Encoder depth", help=term("depth", "block"))
    with right:
        width = controls.slider(
            "head_dim",
            "Width of a head",
            help=term("head_dim"),
        )
        controls.slider(
            "patch",
            "Patch size",
            help=term("patch", here="Its side. Small patches see more and cost more."),
        )
    values = controls.values
    _show_tokens(heads, width, values["size"], values["size"] // values["patch"])
    with st.expander("More about the model", icon=":material/tune:"):
        left, right = st.columns(2, gap="large")
        with left:
            _size_slider(controls)
            controls.choice("stem", "From patches to tokens", help=term("stem"))
            controls.choice("pool", "The classifier reads", help=term("summary token"))
        with right:
            controls.slider("mlp_ratio", "MLP ratio", help=term("MLP"))
            controls.slider("dropout", "Dropout", help=term("dropout"))


def _course_controls(controls: Controls) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        heads = controls.slider("course_heads", "Attention heads", help="Two in the course report.")
        controls.slider("course_depth", "Encoder depth", help="Blocks of attention and MLP; two in the course report.")
        _size_slider(controls)
    with right:
        width = controls.slider(
            "course_head_dim", "Width of a head", help="Numbers in a head's query, key and value; 64 in the report."
        )
        grid = controls.slider(
            "course_grid",
            "Patches along one side",
            help="The image is cut into this many rows and columns; 4 in the course report. Until Q, K, V and the MLP "
            "are mended, twice as many make the network sixteen times as large.",
        )
    _show_tokens(heads, width, controls.values["size"], grid)


def _cnn_controls(controls: Controls) -> None:
    left, _ = st.columns(2, gap="large")
    with left:
        _size_slider(controls)
    st.caption("It has neither patches nor heads; its widths are fixed.")


def _size_slider(controls: Controls) -> None:
    controls.slider("size", "Image size in pixels", help="Every image is brought to this square.")


def _show_tokens(heads: int, width: int, size: int, grid: int) -> None:
    st.caption(
        f"A token is embed_dim = {heads} heads × {width} = {heads * width} numbers wide; "
        f"an image of {size} px is cut into {grid} × {grid} patches of {size // grid} px."
    )
