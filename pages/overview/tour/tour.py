"""The guided tour on Overview: six steps from an image to the answer, live on the included model.

The step is in the address, ``?tour=3``, and each brings what it needs, torch from the second on, when it is shown.
"""

import streamlit as st

from pages.overview.tour.scene import ADDRESS, TourImage, note, pick_scene, recalled, restore_address
from pages.train import minute
from pages.ui import text
from pages.ui.widgets.map_grid import forget_browsers
from pages.ui.wording import term
from vit.errors import UserError
from vit.runs import Run

TERMS = {
    "An image becomes patches": ("patch",),
    "Patches become tokens": ("stem", "position embedding", "token"),
    "A head looks": ("attention", "query", "key", "value", "softmax"),
    "Heads differ": ("head", "class token"),
    "The summary token gathers": ("summary token", "logit lens"),
    "The model decides": ("logits", "ablation"),
}
"""The steps, and the words of :mod:`pages.ui.terms` that each brings."""
STEPS = tuple(TERMS)
LEFT_AT = "tour_left_at"

_to_top = st.components.v2.component(
    "to_top",
    js="""export default function () {
  document.querySelector("[data-testid=stMain]")?.scrollTo({ top: 0 })
}""",
)
"""A step is read from its beginning, wherever on the one before Next was pressed."""


def current_step() -> int | None:
    """The step that is being taken, from 1; None while the tour is not."""
    try:
        step = int(recalled("tour"))
    except (TypeError, ValueError):
        return None
    return step if 1 <= step <= len(STEPS) else None


def offer_tour() -> None:
    """The button that begins the tour, or goes on with it."""
    left_at = st.session_state.get(LEFT_AT)
    label = f"Go on with the tour, step {left_at} of {len(STEPS)}" if left_at else "Take the tour"
    st.button(label, type="primary", icon=":material/tour:", key="tour_begin", on_click=go_to, args=(left_at or 1,))


def go_to(step: int) -> None:
    """Take this step next."""
    note("tour", step)


def leave(step: int | None) -> None:
    """End the tour, to be gone on with at a step, or from the beginning."""
    st.session_state[LEFT_AT] = step
    note("tour", 0)
    for name in ADDRESS:
        st.query_params.pop(name, None)


def show_tour(run: Run, step: int) -> None:
    """The tour in place of the rest of the page."""
    note("tour", step)
    restore_address()
    st.session_state["tour_step"] = step
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
        st.subheader("And now one of your own", anchor=False)
        minute.offer_minute()


@st.fragment
def take_step(run: Run, scene: TourImage, step: int) -> None:
    """What a click on a patch or a head changes, and nothing else."""
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
