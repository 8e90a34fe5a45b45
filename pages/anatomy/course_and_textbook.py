"""The textbook's attention and the course network's, line by line, and what each departure changes."""

from dataclasses import dataclass

import numpy as np
import streamlit as st

from pages.anatomy.one_head import controls, row_of, steps_of, token_names
from pages.ui import image_picker, text
from pages.ui.downloads import plotly_config
from pages.ui.widgets.heat_map import heat_map
from vit import plots
from vit.config import Departure, ReferenceConfig, TransformerConfig
from vit.cost.diagram import count_parameters, diagram
from vit.errors import UserError
from vit.explain.anatomy import departures
from vit.explain.anatomy.arithmetic import mended_departures
from vit.explain.anatomy.departures import AttentionResult
from vit.runs import Run

SOURCES = ("drawn at random", "of this run")

LINES = r"""
| | Textbook | Course network |
|:--|:--|:--|
| a head sees | $\hat Z$: each token whole | $\hat Z_h$: its slice of each token |
| queries; keys, values likewise | $Q = \hat Z\,W_Q^\top$ | $\operatorname{flat} Q = W_Q \operatorname{flat} \hat Z_h$ |
| scores | $S = Q\,K^\top / \sqrt{d}$ | $S = Q\,K^\top$ |
| softmax | $a_{nm} = \dfrac{e^{s_{nm}}}{\sum_{m'} e^{s_{nm'}}}$ | $a_{nm} = \dfrac{e^{s_{nm}}}{\sum_{n'} e^{s_{n'm}}}$|
| weighted sum | $O = A\,V$ | $O = A\,V / \sqrt{d}$ |
| heads together | $U = [O_1; O_2; \dots]\,W_O^\top$ | $U = [O_1; O_2; \dots]$ |
| residual | $Z' = Z + U$ | $Z' = Z + U$ |
| MLP | each token by itself, GELU | all tokens flattened, ReLU |
| the head reads | after a layer norm, the class token or the mean of the patches | the mean of all tokens |
"""


@dataclass(frozen=True)
class Words:
    """One departure in a student's words: what it is, what it changes, and the switch that mends it."""

    title: str
    what: str
    switch: Departure


DEPARTURES = (
    Words(
        "A head sees only its slice of the embedding",
        "The textbook gives every head the whole embedding of a token and lets it learn what to read. Here the "
        "embedding is cut: head 1 gets the first numbers, head 2 the next, and what stands in another head's slice a "
        "head can never ask for.",
        "projection",
    ),
    Words(
        "Queries, keys and values mix positions",
        "The slices of all tokens are laid end to end before the linear map. So row j of Q is computed from every "
        "patch: it is not patch j's query, and a map of such a head does not say what patch j attends to. The linear "
        "maps grow with the square of the number of tokens, too.",
        "projection",
    ),
    Words(
        "The softmax runs over the queries",
        "In the textbook each row of the map sums to 1: a token divides its attention among the others. Here each "
        "column does: a key is divided among those that look at it. A token may then take in several tokens' worth, "
        "or next to nothing.",
        "softmax",
    ),
    Words(
        "The scaling comes after the product with V",
        "Scores are sums of d products and grow with √d. Divided before the softmax, as in the textbook, they stay "
        "mild; undivided, the largest takes nearly all, and almost no gradient is left for the others. Dividing the "
        "output afterwards only makes it smaller. In both maps below the softmax runs over the keys, so the scaling "
        "alone differs.",
        "scaling",
    ),
    Words(
        "No output projection",
        "After the heads are put side by side the textbook mixes them with one more linear map. Without it each head "
        "writes to its own slice alone, the same from which it reads: within the attention the heads never meet.",
        "output",
    ),
    Words(
        "The MLP works on the flattened sequence",
        "The textbook's MLP treats each token by itself, with the same weights for all. Here one MLP takes all tokens "
        "at once: it mixes positions, learns every place anew, and holds most of the network's parameters.",
        "mlp",
    ),
    Words(
        "ReLU, no last norm, a mean over all tokens, large positions",
        "ReLU cuts off where GELU bends, so a number below zero sends no gradient. No norm stands before the head, "
        "and the mean that the head reads includes the class token, so that token has no part of its own. Positions "
        "are drawn with deviation 1, where a ViT draws them with 0.02: at first they drown what the patches say. "
        "(The switch mends ReLU and the norm; the mean and the positions stay.)",
        "finish",
    ),
)


@st.cache_data(max_entries=1, show_spinner=False)
def reaches() -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """By departure, what reaches what in the course network and in the textbook's."""
    return {
        0: (departures.slice_reach(), departures.slice_reach(("projection",))),
        1: (departures.query_reach(), departures.query_reach(("projection",))),
        4: (departures.output_reach(), departures.output_reach(("output",))),
        5: (departures.mlp_reach(), departures.mlp_reach(("mlp",))),
    }


def pair(key: str, course: np.ndarray, textbook: np.ndarray, rows: list[str], columns: list[str], notes: tuple) -> None:
    """Two maps side by side, each with what it shows."""
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


def sums(name: str, values: np.ndarray) -> str:
    """Such as "rows sum to 0.31 to 2.94", or "to 1 each"."""
    low, high = float(values.min()), float(values.max())
    return f"{name} sum to 1 each" if high - low < 1e-3 else f"{name} sum to {low:.2f} to {high:.2f}"


def show_attention(q, k, v) -> tuple[tuple[AttentionResult, AttentionResult], tuple[AttentionResult, AttentionResult]]:
    """The same Q, K and V by way of the departures 3 and 4: pairs of the course's way and the textbook's."""
    over_queries, over_keys = departures.attend(q, k, v), departures.attend(q, k, v, ("softmax",))
    scaled = departures.attend(q, k, v, ("softmax", "scaling"))
    return (over_queries, over_keys), (over_keys, scaled)


def tensors(run: Run) -> tuple | None:
    """Q, K and V, and what their tokens are called: of the run's head, or drawn."""
    config = run.config.model
    options = SOURCES if isinstance(config, TransformerConfig) else SOURCES[:1]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source = st.segmented_control(
            "Q, K and V of the examples 3 and 4", options, default=SOURCES[0], required=True, key="qkv"
        )
        if source == SOURCES[0]:
            return departures.random_qkv(), [f"token {index}" for index in range(17)]
        picked = image_picker.pick_image(run)
        if picked is None:
            return None
        token, layer, head = controls(config)
    steps, _ = steps_of(str(run.path), run.stamp, layer, head, row_of(config, token), picked.image)
    return departures.qkv_of_steps(steps), token_names(config)


def illustrate(number: int, attended: tuple, names: list[str]) -> None:
    """What one departure changes, on numbers."""
    reach = reaches()
    small = [f"token {index}" for index in range(len(reach[1][0]))]
    heads = [f"head {index + 1}" for index in range(len(reach[0][0]))]
    numbers = [f"number {index + 1}" for index in range(reach[0][0].shape[1])]
    match number:
        case 0:
            notes = ("Each head reads its own slice.", "Each head reads every number.")
            pair("slice", *reach[0], heads, numbers, notes)
        case 1:
            notes = ("Every token moves every row of Q.", "Each token moves its own query.")
            pair("query", *reach[1], [f"row {it} of Q" for it in range(len(small))], small, notes)
        case 2:
            course, textbook = attended[0]
            notes = tuple(f"{sums('Rows', one.row_sums)}, {sums('columns', one.column_sums)}." for one in attended[0])
            pair("softmax", course.attention, textbook.attention, names, [f"key: {it}" for it in names], notes)
        case 3:
            course, textbook = attended[1]
            notes = tuple(
                f"A row is spread over {one.effective:.1f} of {len(names)} tokens (e to its entropy, mean)."
                for one in attended[1]
            )
            pair("scaling", course.attention, textbook.attention, names, [f"key: {it}" for it in names], notes)
        case 4:
            notes = ("Each head writes to its own slice.", "Each head writes to every number.")
            pair("output", *reach[4], heads, numbers, notes)
        case 5:
            notes = ("Every token moves what becomes of every other.", "Each token moves itself alone.")
            pair("mlp", *reach[5], small, [f"by {it}" for it in small], notes)
        case _:
            st.plotly_chart(
                plots.activation_curves(departures.activations()),
                key="activations",
                config=plotly_config("activations"),
                alt="ReLU and GELU around zero",
            )


def cost(switch: Departure) -> str:
    """What the switch does to the parameters of the course network as the report has it."""
    before, after = (count_parameters(diagram(ReferenceConfig(mended=it))) for it in ((), (switch,)))
    if before == after:
        return "no parameters"
    return f"{before:,} → {after:,} parameters"


def show(run: Run) -> None:
    """The part of the page."""
    config = run.config.model
    st.caption(
        "The course network is the one of a student's report (Purdue ECE 60146, 2023) that this explorer grew from; "
        "the textbook is eq. 1 of Vaswani et al. (2017) in the encoder of Dosovitskiy et al. (2021). Biases are left "
        "out; flat lays all rows end to end."
    )
    st.markdown(LINES)
    st.subheader("Seven departures, and what each changes", anchor=False)
    st.caption(
        "The maps of 1, 2, 5 and 6 come from a small course network with random weights (17 tokens of 16 numbers, four "
        "heads), as it is and with the one departure mended: yellow where a number that goes in moves one that comes "
        "out, dark where it cannot. Those of 3 and 4 send one set of Q, K and V through both."
    )
    try:
        found = tensors(run)
    except UserError as error:
        text.show_error(error)
        return
    if found is None:
        return
    (q, k, v), names = found
    attended = show_attention(q, k, v)
    for number, words in enumerate(DEPARTURES):
        with st.container(border=True):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"**{number + 1}. {words.title}**", width="content")
                if isinstance(config, TransformerConfig):
                    right = words.switch in mended_departures(config)
                    st.badge("not in this run" if right else "in this run", color="gray" if right else "orange")
            st.markdown(words.what)
            illustrate(number, attended, names)
            st.caption(f"Mended by the switch `{words.switch}`, by itself: {cost(words.switch)}.")
