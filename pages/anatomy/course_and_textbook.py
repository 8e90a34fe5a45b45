"""Compare attention in the textbook and in the course network line by line, and show what each departure changes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from pages.anatomy.one_head import controls, head_steps, token_names, token_row
from pages.ui import text
from pages.ui.downloads import plotly_config
from pages.ui.images import image_picker
from pages.ui.widgets.heat_map import heat_map
from vit import plots
from vit.config import Departure, ReferenceConfig, TransformerConfig
from vit.cost.diagram import count_parameters, diagram
from vit.errors import UserError
from vit.explain.anatomy import departures
from vit.explain.anatomy.arithmetic import mended_departures
from vit.explain.anatomy.departures import AttentionResult
from vit.runs import Run

if TYPE_CHECKING:
    from torch import Tensor

SOURCES = ("random", "from this run")

LINES = r"""
| | Textbook | Course network |
|:--|:--|:--|
| input of a head | $\hat Z$: the whole embedding of each token | $\hat Z_h$: a slice of the embedding of each token |
| queries (also keys, values) | $Q = \hat Z\,W_Q^\top$ | $\operatorname{flat} Q = W_Q \operatorname{flat} \hat Z_h$ |
| scores | $S = Q\,K^\top / \sqrt{d}$ | $S = Q\,K^\top$ |
| softmax | $a_{nm} = \dfrac{e^{s_{nm}}}{\sum_{m'} e^{s_{nm'}}}$ | $a_{nm} = \dfrac{e^{s_{nm}}}{\sum_{n'} e^{s_{n'm}}}$|
| weighted sum | $O = A\,V$ | $O = A\,V / \sqrt{d}$ |
| combining the heads | $U = [O_1; O_2; \dots]\,W_O^\top$ | $U = [O_1; O_2; \dots]$ |
| residual | $Z' = Z + U$ | $Z' = Z + U$ |
| MLP | each token separately, GELU | all tokens flattened, ReLU |
| input of the classifier | after a layer norm, the class token or the mean of the patches | the mean of all tokens |
"""


@dataclass(frozen=True)
class DepartureText:
    """Explanation of one departure.

    Attributes:
        title: the departure in a few words.
        what: what it is and what it changes.
        switch: the setting that fixes it.
    """

    title: str
    what: str
    switch: Departure


DEPARTURES = (
    DepartureText(
        "A head sees only its slice of the embedding",
        "In the textbook every head receives the whole embedding of a token and learns what to read from it. Here the "
        "embedding is cut: head 1 gets the first numbers, head 2 the next, and so on. A head can never use the numbers "
        "in another head's slice.",
        "projection",
    ),
    DepartureText(
        "Queries, keys and values mix positions",
        "The slices of all tokens are concatenated before the linear map. So row j of Q is computed from every patch: "
        "it is not patch j's query, and the map of such a head does not show what patch j attends to. The linear maps "
        "also grow with the square of the number of tokens.",
        "projection",
    ),
    DepartureText(
        "The softmax runs over the queries",
        "In the textbook each row of the map sums to 1: a token divides its attention among all tokens. Here each "
        "column sums to 1: each key is divided among the queries. So the attention of one token may add up to more "
        "than 1, or to almost nothing.",
        "softmax",
    ),
    DepartureText(
        "The scaling comes after the product with V",
        "Scores are sums of d products and grow with √d. The textbook divides them by √d before the softmax, so they "
        "stay moderate. Without this division the largest score takes nearly all attention, and almost no gradient "
        "reaches the others. Dividing the output afterwards only makes it smaller. In both maps below the softmax runs "
        "over the keys, so they differ only in the scaling.",
        "scaling",
    ),
    DepartureText(
        "No output projection",
        "The textbook concatenates the heads and mixes them with one more linear map. Without it each head writes only "
        "to its own slice, the same slice that it reads, so attention never combines information from different heads.",
        "output",
    ),
    DepartureText(
        "The MLP works on the flattened sequence",
        "The textbook's MLP processes each token separately, with the same weights for all. Here one MLP processes all "
        "tokens at once: it mixes positions, has separate weights for every position, and holds most of the network's "
        "parameters.",
        "mlp",
    ),
    DepartureText(
        "ReLU, no final norm, a mean over all tokens, large positions",
        "ReLU is zero below zero, so negative inputs get no gradient; GELU is smooth there. There is no norm before "
        "the classification head, and the head reads a mean that includes the class token, so this token has no "
        "special role. Position embeddings start with standard deviation 1 instead of the ViT's 0.02, so at first they "
        "dominate the content of the patches. (The switch fixes ReLU and the norm; the mean and the positions stay.)",
        "finish",
    ),
)


@st.cache_data(max_entries=1, show_spinner=False)
def dependence_maps() -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Return by departure which inputs affect which outputs, in the course network and in the textbook's."""
    return {
        0: (departures.slice_reach(), departures.slice_reach(("projection",))),
        1: (departures.query_reach(), departures.query_reach(("projection",))),
        4: (departures.output_reach(), departures.output_reach(("output",))),
        5: (departures.mlp_reach(), departures.mlp_reach(("mlp",))),
    }


def show_pair(
    key: str, course: np.ndarray, textbook: np.ndarray, rows: list[str], columns: list[str], notes: tuple[str, str]
) -> None:
    """Show two maps side by side, each with a note."""
    with st.grid(2, min_column_width=280, gap="medium") as cells:
        for name, values, note in (("Course network", course, notes[0]), ("Textbook", textbook, notes[1])):
            with cells.cell():
                st.markdown(f":small[**{name}.** {note}]")
                heat_map(
                    values,
                    key=f"{key}_{name}",
                    label=f"{name}: {note}",
                    row_names=rows,
                    column_names=columns,
                    share=True,
                )


def sum_range(name: str, values: np.ndarray) -> str:
    """Return a phrase such as "rows sum to between 0.31 and 2.94" or "rows sum to 1"."""
    low, high = float(values.min()), float(values.max())
    return f"{name} sum to 1" if high - low < 1e-3 else f"{name} sum to between {low:.2f} and {high:.2f}"


def compute_attention(
    q: "Tensor", k: "Tensor", v: "Tensor"
) -> tuple[tuple[AttentionResult, AttentionResult], tuple[AttentionResult, AttentionResult]]:
    """Compute attention from the same Q, K and V with and without departures 3 and 4.

    Returns:
        Two pairs, each with the course network's result first and the textbook's second.
    """
    over_queries, over_keys = departures.attend(q, k, v), departures.attend(q, k, v, ("softmax",))
    scaled = departures.attend(q, k, v, ("softmax", "scaling"))
    return (over_queries, over_keys), (over_keys, scaled)


def choose_qkv(run: Run) -> "tuple[tuple[Tensor, Tensor, Tensor], list[str]] | None":
    """Return Q, K and V with the names of their tokens, random or from a head of the run; None without an image."""
    config = run.config.model
    options = SOURCES if isinstance(config, TransformerConfig) else SOURCES[:1]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source = st.segmented_control(
            "Q, K and V for examples 3 and 4", options, default=SOURCES[0], required=True, key="qkv"
        )
        if source == SOURCES[0] or not isinstance(config, TransformerConfig):
            return departures.random_qkv(), [f"token {index}" for index in range(17)]
        picked = image_picker.pick_image(run)
        if picked is None:
            return None
        token, layer, head = controls(config)
    steps, _ = head_steps(str(run.path), run.stamp, layer, head, token_row(config, token), picked.image)
    return departures.qkv_of_steps(steps), token_names(config)


def show_example(
    number: int,
    attended: tuple[tuple[AttentionResult, AttentionResult], tuple[AttentionResult, AttentionResult]],
    names: list[str],
) -> None:
    """Show what departure ``number``, from 0, changes, as a pair of maps or a plot."""
    maps = dependence_maps()
    small = [f"token {index}" for index in range(len(maps[1][0]))]
    heads = [f"head {index + 1}" for index in range(len(maps[0][0]))]
    numbers = [f"number {index + 1}" for index in range(maps[0][0].shape[1])]
    keys = [f"key: {name}" for name in names]

    def sums(one: AttentionResult) -> str:
        return f"{sum_range('Rows', one.row_sums)}, {sum_range('columns', one.column_sums)}."

    def spread(one: AttentionResult) -> str:
        return f"On average a row is spread over {one.effective:.1f} of {len(names)} tokens (exp of its entropy)."

    match number:
        case 0:
            show_pair(
                "slice", *maps[0], heads, numbers, ("Each head reads its own slice.", "Each head reads every number.")
            )
        case 1:
            rows = [f"row {index} of Q" for index in range(len(small))]
            notes = ("Every token affects every row of Q.", "Each token affects only its own query.")
            show_pair("query", *maps[1], rows, small, notes)
        case 2:
            course, textbook = attended[0]
            show_pair("softmax", course.attention, textbook.attention, names, keys, (sums(course), sums(textbook)))
        case 3:
            course, textbook = attended[1]
            show_pair("scaling", course.attention, textbook.attention, names, keys, (spread(course), spread(textbook)))
        case 4:
            notes = ("Each head writes to its own slice.", "Each head writes to every number.")
            show_pair("output", *maps[4], heads, numbers, notes)
        case 5:
            notes = ("Every token affects the output of every token.", "Each token affects only its own output.")
            show_pair("mlp", *maps[5], small, [f"input: {it}" for it in small], notes)
        case _:
            st.plotly_chart(
                plots.activation_curves(departures.activations()),
                key="activations",
                config=plotly_config("activations"),
                alt="ReLU and GELU around zero",
            )


def parameter_change(switch: Departure) -> str:
    """Return how the switch changes the number of parameters of the original course network."""
    before, after = (count_parameters(diagram(ReferenceConfig(mended=it))) for it in ((), (switch,)))
    if before == after:
        return "Used alone, it does not change the number of parameters."
    return f"Used alone, it changes the number of parameters: {before:,} → {after:,}."


def show(run: Run) -> None:
    """Show the part "Course and textbook" of the page."""
    config = run.config.model
    st.caption(
        "The course network comes from a student's report (Purdue ECE 60146, 2023) from which this explorer grew. The "
        "textbook is eq. 1 of Vaswani et al. (2017) in the encoder of Dosovitskiy et al. (2021). Biases are left out; "
        "flat concatenates all rows."
    )
    st.markdown(LINES)
    st.subheader("Seven departures, and what each changes", anchor=False)
    st.caption(
        "The maps of 1, 2, 5 and 6 come from a small course network with random weights (17 tokens of 16 numbers, four "
        "heads), without changes and with this departure fixed. Yellow: the input affects the output. Dark: it does "
        "not. The maps of 3 and 4 use the same Q, K and V on both sides."
    )
    try:
        found = choose_qkv(run)
    except UserError as error:
        text.show_error(error)
        return
    if found is None:
        return
    (q, k, v), names = found
    attended = compute_attention(q, k, v)
    for number, departure in enumerate(DEPARTURES):
        with st.container(border=True):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"**{number + 1}. {departure.title}**", width="content")
                if isinstance(config, TransformerConfig):
                    fixed = departure.switch in mended_departures(config)
                    st.badge("not in this run" if fixed else "in this run", color="gray" if fixed else "orange")
            st.markdown(departure.what)
            show_example(number, attended, names)
            st.caption(f"The switch `{departure.switch}` fixes this. {parameter_change(departure.switch)}")
