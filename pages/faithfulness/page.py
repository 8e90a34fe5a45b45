"""Faithfulness: whether the maps of a run tell the truth, method by method, beside chance."""

from typing import TYPE_CHECKING

import streamlit as st

from pages.faithfulness import curves
from pages.faithfulness import result as faithfulness_result
from pages.faithfulness.help import INTRO, NO_CLASSES, WHAT_IT_IS
from pages.ui import cached_models, image_picker, link_state, run_picker, text
from pages.ui.background import Progress, background
from pages.ui.cached_models import import_captum
from pages.ui.stand_in_images import NoImages
from pages.ui.wording import term
from vit.data import Split
from vit.errors import UserError
from vit.runs import Run

if TYPE_CHECKING:  # torch comes with the first model
    from vit.explain import Faithfulness

SIZES = ("25", "100", "300")


def measure(run: Run, split: Split, images: int, names: tuple[str, ...], progress: Progress) -> "Faithfulness":
    """The measurement, in a thread of its own."""
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


def choose(run: Run) -> tuple[int, tuple[str, ...]]:
    """How many images, and which methods."""
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
        help="Validation images, spread evenly over all of them. More take longer and make intervals narrower.",
    )
    methods = methods_for(run.config.model)
    slow = [method.title for method in methods.values() if not method.fast]
    every = st.toggle(
        "Slow methods too",
        key="slow",
        bind="query-params",
        help=f"{' and '.join(slow)}: they run the network dozens of times for each map, so this takes two to three "
        "times as long.",
    )
    return int(chosen or "100"), tuple(name for name, method in methods.items() if every or method.fast)


st.title("Faithfulness", anchor=False)
st.caption(INTRO, help=term("faithfulness"))
choices = st.container(horizontal=True, vertical_alignment="bottom")
with choices:
    run = run_picker.pick_run(width=240)
if run is None:
    st.stop()
try:
    cached_models.load_model(run)
    if not run.config.model.num_classes:
        run_picker.show_no_classes(run, NO_CLASSES)
        st.stop()
    from vit.explain.passes.memory import require_room

    require_room(run.config.model)
    result = split = None
    try:
        split = cached_models.validation(run).val
    except NoImages as error:
        text.show_error(error)
    if split is not None:
        with choices:
            count, names = choose(run)
        result = background(
            ("faithfulness", *cached_models.measured_on(run), count, *names),
            lambda progress: measure(run, split, count, names, progress),
            label=f"Measure on {min(count, len(split))} images",
        )
    if split is not None and result is None:
        from vit.explain import reason_unavailable

        st.caption(
            f"{len(names)} method{'s' if len(names) > 1 else ''}, each on trained and untrained weights. For a small "
            f"network 100 images take a minute or so. {reason_unavailable(run.config.model)}"
        )
    if result is not None:
        st.subheader("Verdict", anchor=False)
        faithfulness_result.show_verdict(result)
        st.subheader("The table", anchor=False)
        faithfulness_result.show_table(run, result)
        faithfulness_result.show_advantages(run, result)
    st.subheader("Step by step", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        picked = image_picker.pick_image(run)
    if picked is not None:
        curves.explore(run, picked, result)
except UserError as error:
    text.show_error(error)
    st.stop()
with st.expander("What faithfulness is, and what it is not", icon=":material/help:"):
    st.markdown(WHAT_IT_IS)
