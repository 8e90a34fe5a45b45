"""Attention dependence: how much the accuracy depends on the heads and on where they look."""

import streamlit as st

from pages.heads.importance import NO_CLASSES_TO_LOSE, NO_HEADS
from pages.ui import run_picker
from pages.ui.dependence import measure_dependence
from pages.ui.text import show_error
from pages.ui.wording import term
from vit.config import TransformerConfig
from vit.errors import UserError
from vit.runs import Run
from vit.runs.dependence import LOW, Dependence

INTRO = (
    "How much the answer depends on the attention. Maps of a network that answers as well without its heads, or with "
    "heads that look everywhere equally, explain little."
)

WHAT_IT_IS = f"""
**What it is.** The network runs on validation images as it is, with zeros in place of the output of every head, with
uniform attention in every head, and with every head's mean map over the images. What is lost is due to the heads, to
where they look, and to how their maps differ between images. *Attention dependence* is the share of the accuracy above
chance that is lost without heads or with uniform attention, whichever loses less.

**What to look for.** Below {LOW:.0%} the answer hardly depends on what a map shows: convolutions before the first layer
or the MLPs do most of the work. In a network with a class token, zeros in all heads always give chance, because nothing
of the image reaches the class token; uniform attention then tells more.

**Each head.** The accuracy that is lost when this head alone outputs zeros, with the 95% interval of the paired
difference (Bonett and Price 2012). Heads share their work, so a network can need its heads although it needs none of
them alone. *On the object* is the share of the summary token's attention to patches that lies on the object, for images
with masks.

**Limits.** The network was trained with its heads and with its own maps. A network trained without them would do
better than this one without them. High figures do not say that a map shows the reason of an answer: the Faithfulness
page tests that.
"""


def show(run: Run) -> None:
    """Show the part of the page."""
    st.caption(INTRO, help=term("attention dependence", "ablation"))
    config = run.config.model
    if not isinstance(config, TransformerConfig):
        st.info(NO_HEADS, icon=":material/info:")
        return
    if not config.num_classes:
        run_picker.show_no_classes(run, NO_CLASSES_TO_LOSE)
        return
    try:
        found = measure_dependence(run, config)
    except UserError as error:
        show_error(error)
        return
    if found is None:
        st.caption("Not measured yet. A training that is long enough measures it at its end.")
    else:
        show_figures(found)
        show_heads(found)
    with st.expander("How to read the attention dependence, and its limits", icon=":material/help:"):
        st.markdown(WHAT_IT_IS)


def show_figures(found: Dependence) -> None:
    """Show the figures of the whole network and what each means."""
    rows = "\n".join(f"| {figure.name} | **{figure.value}** | {figure.meaning} |" for figure in found.figures())
    st.markdown(f"| Figure | Value | What it means |\n| --- | ---: | --- |\n{rows}")


def show_heads(found: Dependence) -> None:
    """Show what each head contributes."""
    st.subheader("Each head", anchor=False)
    rows = [
        {
            "Layer": row,
            "Head": column,
            "Accuracy lost": 100 * head.lost,
            "From": 100 * head.low,
            "To": 100 * head.high,
            "Costs accuracy": head.low > 0,
            "On the object": None if head.inside is None else 100 * head.inside,
        }
        for row, layer in enumerate(found.layers, start=1)
        for column, head in enumerate(layer, start=1)
    ]
    points = st.column_config.NumberColumn
    columns = {
        "Accuracy lost": points(format="%.1f", help="Percentage points lost when only this head outputs zeros."),
        "From": points(format="%.1f", help="Lower end of the 95% interval, in percentage points."),
        "To": points(format="%.1f", help="Upper end of the 95% interval, in percentage points."),
        "Costs accuracy": st.column_config.CheckboxColumn(help="The interval lies above 0."),
        "On the object": points(
            format="%.0f%%", help="Share of the summary token's attention to patches that lies on the object."
        ),
    }
    if found.best_inside is None:
        rows = [{name: value for name, value in row.items() if name != "On the object"} for row in rows]
    st.dataframe(rows, hide_index=True, column_config=columns, alt="What each head contributes", key="dependence_heads")
    per_layer = [f"layer {row}: {value:.2f}" for row, value in enumerate(found.variety, start=1) if value is not None]
    if per_layer:
        st.caption(f"Correlation of the maps by layer: {', '.join(per_layer)}.")
