"""Heads: what each head does over many images, how much it matters, and how similar the layers are."""

import streamlit as st

from pages.ui import run_picker
from pages.ui.dependence import PART, note_low_dependence
from pages.ui.run_doubts import show_run_doubts

PARTS = ("Portraits", "Importance", "Votes", PART, "Similarity of layers")

st.title("Heads", anchor=False)
st.caption(
    "What the heads and layers of a network do over many validation images. Votes are also shown for a single image."
)
with st.container(horizontal=True, vertical_alignment="bottom"):
    run = run_picker.pick_run(width=240)
    if run is not None:
        part = st.segmented_control(
            "Part", PARTS, default=PARTS[0], required=True, key="view", bind="query-params", wrap=True
        )
if run is None:
    st.stop()
show_run_doubts(run)
note_low_dependence(run)

# Each part imports its modules, most of them with torch, when it is chosen.
match part:
    case "Portraits":
        from pages.heads.portraits import show
    case "Importance":
        from pages.heads.importance import show
    case "Votes":
        from pages.heads.votes import show
    case "Attention dependence":
        from pages.heads.dependence import show
    case _:
        from pages.heads.layer_similarity import show
show(run)
