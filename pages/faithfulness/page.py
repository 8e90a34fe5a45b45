"""Faithfulness: test whether the maps of a run show what its network uses, and compare them with control maps."""

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from pages.faithfulness import curves
from pages.faithfulness import result as faithfulness_result
from pages.faithfulness.help import HELP, INTRO, NO_CLASSES
from pages.ui import cached_models, link_state, run_picker, text
from pages.ui.background import Progress, background
from pages.ui.cached_models import import_captum
from pages.ui.dependence import note_low_dependence
from pages.ui.images import image_picker, reactive
from pages.ui.run_doubts import show_run_doubts
from pages.ui.stand_in_images import NoImages
from pages.ui.wording import term
from vit.data import Split
from vit.errors import UserError
from vit.runs import Run

if TYPE_CHECKING:  # torch comes with the first model
    from vit.explain import Faithfulness

SIZES = ("25", "100", "300")


def measure(run: Run, split: Split, images: int, names: tuple[str, ...], progress: Progress) -> "Faithfulness":
    """Measure the faithfulness of the methods in ``names``; runs in a background thread."""
    from vit.explain import METHODS, measure_faithfulness

    import_captum()
    model, info = cached_models.load_model(run)
    return measure_faithfulness(
        model,
        split,
        mean=info.mean,
        std=info.std,
        images=images,
        methods={name: METHODS[name] for name in names},
        progress=progress,
    )


def choose_measurement(run: Run) -> tuple[int, tuple[str, ...]]:
    """Choose the number of images and the methods."""
    from vit.explain import methods_for

    if link_state.stored("n") not in SIZES:
        link_state.settle("n", "100")
    chosen = st.segmented_control(
        "Images",
        SIZES,
        default="100",
        required=True,
        key="n",
        bind="query-params",
        help="Number of validation images, spread evenly over the data set. More images take longer and make intervals "
        "narrower.",
    )
    methods = methods_for(run.config.model)
    slow = [method.title for method in methods.values() if not method.fast]
    include_slow = st.toggle(
        "Include slow methods",
        key="slow",
        bind="query-params",
        help=f"Includes {' and '.join(slow)}. They run the network dozens of times for each map, so the measurement "
        "takes longer.",
    )
    # An empty value in a link gives None, although the control is required.
    return int(chosen or "100"), tuple(name for name, method in methods.items() if include_slow or method.fast)


st.title("Faithfulness", anchor=False)
st.caption(INTRO, help=term("faithfulness"))
choices = st.container(horizontal=True, vertical_alignment="bottom")
with choices:
    run = run_picker.pick_run(width=240)
if run is None:
    st.stop()
try:
    cached_models.load_model(run)
    if run.config.model.num_classes < 2:
        run_picker.show_no_classes(run, NO_CLASSES)
        st.stop()
    from vit.explain.faithfulness.stored import FAITHFULNESS
    from vit.explain.passes.memory import require_room

    require_room(run.config.model)
    show_run_doubts(run)
    note_low_dependence(run)
    result = split = None
    try:
        split = cached_models.validation(run).val
    except NoImages as error:
        text.show_error(error)
    if split is not None:
        with choices:
            count, names = choose_measurement(run)
        result = background(
            ("faithfulness", *cached_models.measured_on(run), count, *names),
            partial(measure, run, split, count, names),
            label=f"Measure on {min(count, len(split))} images",
            stored=cached_models.place_of(run, FAITHFULNESS, split, {"images": count, "methods": list(names)}),
        )
    if split is not None and result is None:
        from vit.explain import reason_unavailable

        st.caption(
            f"{len(names)} method{'s' if len(names) > 1 else ''}, each with trained and untrained weights. The "
            f"remaining time appears after the first images. {reason_unavailable(run.config.model)}"
        )
    if result is not None:
        st.subheader("Verdict", anchor=False)
        faithfulness_result.show_verdict(result)
        st.subheader("All measures", anchor=False)
        faithfulness_result.show_measures(run, result)
        faithfulness_result.show_advantages(run, result)
    st.subheader("Step by step", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        picked = image_picker.pick_image(run, reactive.first_image)
    if picked is not None:
        reactive.explain_first_image(run, picked)
        curves.show_step_by_step(run, picked, result)
except UserError as error:
    text.show_error(error)
    st.stop()
with st.expander("How to read faithfulness, and its limits", icon=":material/help:"):
    st.markdown(HELP)
