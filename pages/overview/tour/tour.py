"""The guided tour on Overview: six steps from an image to a prediction of the included model.

The step is in the address, ``?tour=3``, and each is an entry of the browser's history (``pages/server/history.js``). A
step imports what it needs when it is shown. ``choice`` finds images for which what is said holds; ``claims`` says it.
"""

import streamlit as st

from pages.overview.tour.choice import TourImage
from pages.overview.tour.scene import ADDRESS, note, pick_scene, recall, step_of_address
from pages.train import minute
from pages.ui import text
from pages.ui.dependence import note_low_dependence
from pages.ui.run_doubts import show_run_doubts
from pages.ui.widgets.map_grid import forget_browsers
from pages.ui.wording import term
from vit.errors import UserError
from vit.runs import Run

TERMS = {
    "An image becomes patches": ("patch",),
    "Patches become tokens": ("stem", "position embedding", "token"),
    "One attention head": ("attention", "query", "key", "value", "softmax"),
    "All heads compared": ("head", "class token"),
    "The summary token": ("summary token", "logit lens"),
    "The prediction": ("logits", "ablation"),
}
"""The steps, and the terms of :mod:`vit.terms` that each introduces."""
STEPS = tuple(TERMS)
FIRST_MAP = 3
"""The first step that shows an attention map."""
LEFT_AT = "tour_left_at"

_to_top = st.components.v2.component(
    "to_top",
    js="""export default function () {
  document.querySelector("[data-testid=stMain]")?.scrollTo({ top: 0 })
}""",
)
"""Scroll to the top: a new step is read from its beginning."""


def current_step() -> int | None:
    """Return the step that the tour is at, from 1, or None outside the tour."""
    step = step_of_address()
    return step if 1 <= step <= len(STEPS) else None


def offer_tour() -> None:
    left_at = st.session_state.get(LEFT_AT)
    label = f"Continue the tour at step {left_at} of {len(STEPS)}" if left_at and left_at > 1 else "Take the tour"
    st.button(label, type="primary", icon=":material/tour:", key="tour_begin", on_click=go_to, args=(left_at or 1,))


def go_to(step: int) -> None:
    note("tour", step)


def leave(step: int | None) -> None:
    """Leave the tour.

    Args:
        step: where "Continue the tour" leads; None for the beginning.
    """
    st.session_state[LEFT_AT] = step
    note("tour", 0)
    for name in ADDRESS:
        st.query_params.pop(name, None)


def show_tour(run: Run, step: int) -> None:
    """Show one step of the tour instead of the rest of the page."""
    recall()
    st.session_state[LEFT_AT] = st.session_state["tour_step"] = step
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.segmented_control(
            "Step of the tour",
            range(1, len(STEPS) + 1),
            required=True,
            key="tour_step",
            on_change=lambda: go_to(st.session_state["tour_step"]),
            label_visibility="collapsed",
        )
        st.button(
            "Leave the tour", icon=":material/close:", type="tertiary", key="tour_leave", on_click=leave, args=(step,)
        )
    _to_top(key=f"tour_top_{step}")
    title = STEPS[step - 1]
    st.subheader(f"{step}. {title}", anchor=False, help=term(*TERMS[title]))
    if step >= FIRST_MAP:
        show_run_doubts(run)
        note_low_dependence(run)
    forget_browsers()
    scene = pick_scene(run)
    take_step(run, scene, step)
    with st.container(horizontal=True, vertical_alignment="center"):
        if step > 1:
            st.button("Back", icon=":material/arrow_back:", key="tour_back", on_click=go_to, args=(step - 1,))
        if step < len(STEPS):
            st.button(
                f"Next: {STEPS[step][:1].lower()}{STEPS[step][1:]}",
                type="primary",
                icon=":material/arrow_forward:",
                icon_position="right",
                key="tour_next",
                on_click=go_to,
                args=(step + 1,),
            )
        else:
            st.button("Finish", icon=":material/check:", key="tour_finish", on_click=leave, args=(None,))
    if step == len(STEPS):
        st.subheader("Train your own model", anchor=False)
        minute.offer_minute()


@st.fragment
def take_step(run: Run, scene: TourImage, step: int) -> None:
    """Show the content of a step; a fragment, so that a click on a patch or a head reruns nothing else."""
    try:
        match step:
            case 1:
                from pages.overview.tour.steps_image import show_patches as show
            case 2:
                from pages.overview.tour.steps_image import show_tokens as show
            case 3:
                from pages.overview.tour.steps_heads import show_head as show
            case 4:
                from pages.overview.tour.steps_heads import show_heads as show
            case 5:
                from pages.overview.tour.steps_answer import show_summary as show
            case _:
                from pages.overview.tour.steps_answer import show_decision as show
        show(run, scene)
    except UserError as error:
        text.show_error(error)
