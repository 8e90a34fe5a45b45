"""Attention: every head of every layer, for one image and any of its patches; of a CNN, where it looks for a class."""

import streamlit as st

from pages import attention_beside, components
from vit import plots
from vit.errors import UserError
from vit.explain import attention_arrays

SCALES = ("shared", "per head")

INTRO = (
    "Each tile is one head of one layer: the brighter a patch, the more of its attention the chosen token gives to it. "
    "Click a patch in the image to look from there, and a tile to enlarge its head."
)
INTRO_CNN = (
    "This network is convolutional and has no attention; Grad-CAM shows where it looks: the brighter a place, the more "
    "what is there speaks for the chosen class."
)

WHAT_IT_IS = """
**What it is.** The model cuts the image into patches and turns each into a token; one more, the class token,
stands beside them. The answer is read from the summary token: the class token, or the mean of the patches, as the
model was set. In every layer each head lets every token look at all the others and take something over from them. A
tile shows for one head how the chosen token divides its attention: it has 100 % to give, some of it to the class
token (the number on the tile), the rest to the patches (the colours).

**What to look for.** In early layers heads often look at neighbours, at a fixed offset or at everything evenly. In
later ones many gather the patches of one object, wherever you click in it, and the summary token looks at what
decides. Some heads put nearly everything on one or two patches or on the class token, which is often their way of
doing nothing. "1.0 × even" on hover means as much as if the attention were spread evenly.

**What it is not.** A map says where information is taken from, not what it is and not what it was good for: a patch
can be looked at and change nothing. From the second layer on a patch's token already holds something of the patches
that it looked at before, so a bright patch need not be about those pixels alone. And one head is one voice among
many; the next layers weigh them.

**Colours.** Shared: all tiles have one scale, which ends at the 99th percentile of what they show, for a single
strong link would leave the rest dark. Per head: each tile has its own, so shapes show and amounts cannot be
compared.
"""

READING = """
A row is a token that attends, a column one that is attended to; each row sums to 1.

A bright column: everybody looks at that token. A bright diagonal: each token looks at itself; lines beside it are its
neighbours. Blocks: the patches of one region look at each other.

Drag to zoom in, double-click to zoom out.
"""


def controls(depth: int, heads: int, rows: int, columns: int) -> tuple[int, int, int]:
    """The numbers that a click sets too: token, layer, head; and how the maps are coloured."""
    components.bounded("token", 0, rows * columns, 0)
    components.bounded("layer", 1, depth, 1)
    components.bounded("head", 1, heads, 1)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        token = st.number_input(
            "Patch",
            0,
            rows * columns,
            0,
            key="token",
            bind="query-params",
            width=140,
            help=f"0 is the summary token, which the answer is read from; 1 to {rows * columns} are the patches, "
            "row by row.",
        )
        layer = st.number_input("Layer", 1, depth, 1, key="layer", bind="query-params", width=140)
        head = st.number_input("Head", 1, heads, 1, key="head", bind="query-params", width=140)
        st.segmented_control(
            "Colour scale", SCALES, default=SCALES[0], required=True, key="scale", bind="query-params", wrap=False
        )
        st.slider("Opacity", 0, 100, 85, 5, format="%d%%", key="opacity", bind="query-params", width=180)
    return token, layer, head


@st.fragment
def explore(look: components.Look, picked: components.PickedImage, version: str) -> None:
    """What a click on a patch or a tile changes, and nothing else."""
    record = look.record
    attention = attention_arrays(record)
    depth, heads = attention.shape[:2]
    if record.caveat:
        st.warning(record.caveat, icon=":material/info:")
    token, layer, head = controls(depth, heads, *record.grid)
    components.attention_grid(look, picked.image, version=version, token=token, layer=layer, head=head)
    st.subheader(f"Layer {layer}, head {head}: every token to every token", anchor=False)
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.plotly_chart(
            plots.attention_matrix(attention[layer - 1, head - 1], record.grid, record.prefix_tokens),
            width=600,
            config={"displayModeBar": False},
            alt=f"Heatmap of the attention matrix of layer {layer}, head {head}",
        )
        if not record.caveat:
            with st.container(width=270):
                st.caption(READING)


st.title("Attention", anchor=False)
intro = st.empty()
choices = st.container(horizontal=True, vertical_alignment="bottom")
with choices:
    run = components.pick_run(width=240)
if run is None:
    st.stop()
convolutional = attention_beside.is_convolutional(run)
intro.caption(INTRO_CNN if convolutional else INTRO)
try:
    model, info = components.load_model(run)
    with choices:
        picked = components.pick_image(run)
    if picked is None:
        st.stop()
    if convolutional:
        probabilities = attention_beside.answer(run, picked.image).probabilities
    else:
        look = components.look(run, picked)
        probabilities = look.probabilities
except UserError as error:
    components.show_error(error)
    st.stop()

best = int(probabilities.argmax())
guess = components.plain(info.class_names[best])
said = f"{guess}, {probabilities[best]:.1%}"
with st.container(horizontal=True, gap="small", vertical_alignment="center"):
    st.markdown(components.plain(picked.title[:1].upper() + picked.title[1:]), width="content")
    if picked.label is None:
        st.badge(f"predicted: {said}", color="blue")
    else:
        right = picked.label == info.class_names[best]
        st.badge(f"true: {components.plain(picked.label)}", color="gray")
        st.badge(
            f"predicted: {said}",
            icon=":material/check:" if right else ":material/close:",
            color="green" if right else "red",
        )

components.forget_browser()
if convolutional:
    attention_beside.explore_blocks(run, picked)
    with st.expander("What Grad-CAM is, and what it is not", icon=":material/help:"):
        st.markdown(attention_beside.WHAT_IT_IS)
else:
    explore(look, picked, f"{run.name}/{run.stamp}/{picked.id}")
    with st.expander("What an attention map is, and what it is not", icon=":material/help:"):
        st.markdown(WHAT_IT_IS)
    attention_beside.explore_beside(run, picked)
