"""Anatomy: the parts of a network and what they compute, on the trained weights of a run."""

import streamlit as st

from pages.ui import run_picker
from pages.ui.dependence import note_low_dependence
from pages.ui.run_doubts import show_run_doubts

PARTS = ("Network", "One head", "Course and textbook", "Filters and positions")

st.title("Anatomy", anchor=False)
st.caption("The parts of a network and what they compute, shown on the trained weights of a run.")
with st.container(horizontal=True, vertical_alignment="bottom"):
    run = run_picker.pick_run(width=240)
    if run is not None:
        part = st.segmented_control(
            "Part", PARTS, default=PARTS[0], required=True, key="part", bind="query-params", wrap=True
        )
if run is None:
    st.stop()
note_low_dependence(run)
show_run_doubts(run)

# Each part is imported when it is chosen, because most of them import torch.
match part:
    case "Network":
        from pages.anatomy.network import show
    case "One head":
        from pages.anatomy.one_head import show
    case "Course and textbook":
        from pages.anatomy.course_and_textbook import show
    case _:
        from pages.anatomy.filters import show
show(run)
