"""Relevance: which parts of an image an answer rests on, by every method that a network supports."""

import hashlib
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from pages.relevance import maps as relevance_maps
from pages.relevance.help import INTRO, WHAT_IT_IS
from pages.relevance.large_map import show_large
from pages.relevance.maps import Question
from pages.ui import answer, cached_models, downloads, link_state, run_picker, text, view_pickers
from pages.ui.background import background
from pages.ui.cached_models import PickedImage
from pages.ui.dependence import note_low_dependence
from pages.ui.images import image_picker, reactive
from pages.ui.run_doubts import show_run_doubts
from pages.ui.widgets.map_grid import is_smooth, smooth_control
from pages.ui.wording import term
from vit.classes import class_names_of
from vit.errors import UserError
from vit.pictures import overlays
from vit.runs import Run

if TYPE_CHECKING:  # torch comes with the first model
    from vit.explain import Method
    from vit.explain.maps.attention import Fusion

FUSIONS: "tuple[Fusion, ...]" = ("mean", "max", "min")
DISCARD_MAX = 95  # percent


def choose_question(names: tuple[str, ...], predicted: str) -> Question:
    """Show the select boxes for the class and the class compared with it: ``?class=`` and ``?against=``."""
    label = view_pickers.pick_class(names, predicted)
    against = view_pickers.pick_against(names, label)
    return Question(label, against, names)


def rollout_controls() -> "tuple[Fusion, float]":
    """Show how rollout combines heads, and the share of small weights that both kinds of rollout leave out."""
    if link_state.stored("fuse") not in FUSIONS:
        link_state.settle("fuse", FUSIONS[0])
    link_state.bounded("discard", 0, DISCARD_MAX, 0)
    fusion = st.segmented_control(
        "Rollout: heads",
        FUSIONS,
        default=FUSIONS[0],
        required=True,
        key="fuse",
        bind="query-params",
        help=term("rollout", here="How rollout combines the heads of a layer into one map."),
    )
    discard = st.slider(
        "Rollout: leave out",
        0,
        DISCARD_MAX,
        0,
        5,
        format="%d%%",
        key="discard",
        bind="query-params",
        width=180,
        help="The share of smallest weights in each layer that rollout and gradient rollout leave out. A larger share "
        "makes a clearer picture, but not a more accurate one.",
    )
    return fusion, discard / 100


def choose_method(titles: Mapping[str, str], first: str) -> str:
    """Show the choice of the large map, ``?method=``; a link carries the method's name or its title."""
    by_title = {title: name for name, title in titles.items()}
    asked: Any = st.query_params.get("method") or st.session_state.get("method")
    chosen: str = by_title.get(asked, asked)
    chosen = chosen if chosen in titles else first
    remember_method(chosen)
    link_state.settle("closer", chosen)
    st.pills(
        "Method in detail",
        list(titles),
        required=True,
        format_func=titles.__getitem__,
        key="closer",
        on_change=lambda: remember_method(st.session_state["closer"]),
    )
    return chosen


def remember_method(name: str) -> None:
    """Store the chosen method in the session, for other pages, and in the address."""
    st.session_state["method"] = name
    if st.query_params.get("method") != name:
        st.query_params["method"] = name


@st.fragment
def show_relevance(run: Run, picked: PickedImage, view: np.ndarray, probabilities: np.ndarray) -> None:
    """Show the answer, the gallery of maps and one large map; the controls rerun this part alone."""
    from vit.explain import methods_for, reason_unavailable

    config = run.config
    methods, names = methods_for(config.model), class_names_of(config)
    slow = [name for name, method in methods.items() if not method.fast]
    quick = relevance_maps.is_quick(run, slow)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        question = choose_question(names, names[int(probabilities.argmax())]) if names else relevance_maps.NO_QUESTION
        fusion, discard = rollout_controls() if "rollout" in methods else (FUSIONS[0], 0.0)
        smooth_control()
        every = not quick or len(methods) - len(slow) < 2
        if slow and not every:
            every = st.toggle(
                "Include slow methods",
                key="slow",
                bind="query-params",
                help=term("integrated gradients", "occlusion", here="These run the network dozens of times."),
            )
    asked = [index for index in question.target if index is not None]
    output = cached_models.output_of(run, picked.image)
    answer.show_answer(picked, names, probabilities, asked=asked, output=output)
    if not names:
        run_picker.show_no_classes(run, reason_unavailable(config.model))
    elif reason := reason_unavailable(config.model):
        st.info(reason, icon=":material/info:")
    if "last" in methods and (caveat := relevance_maps.caveat(run, picked)):
        st.warning(f"**{methods['last'].title}:** {caveat}", icon=":material/info:")
    place = st.container()
    chosen = choose_method({name: method.title for name, method in methods.items()}, default_method(methods))
    maps = dict(relevance_maps.fast_maps(run, view, question.target, fusion, discard))
    if quick:
        wanted = slow if every else [name for name in slow if name == chosen]
        with st.spinner("Running the network many times"):
            maps |= {name: relevance_maps.slow_map(run, view, name, question.target) for name in wanted}
    with place:
        shown = {name: method for name, method in methods.items() if method.fast or every}
        show_gallery(run, picked, view, question, shown, maps, chosen)
    show_large(run, picked, view, question, chosen, methods[chosen], maps.get(chosen))


def default_method(methods: "Mapping[str, Method]") -> str:
    """Return the method shown large by default: the first that depends on the class, or else the last."""
    return next((name for name, method in methods.items() if method.for_class), list(methods)[-1])


def show_gallery(
    run: Run,
    picked: PickedImage,
    view: np.ndarray,
    question: Question,
    methods: "Mapping[str, Method]",
    maps: relevance_maps.Maps,
    chosen: str,
) -> None:
    """Show the image and all its maps; slow maps are added to ``maps`` when they are computed."""
    with st.grid("auto", min_column_width=168):
        with st.container(gap="xsmall"):
            st.image(
                relevance_maps.map_jpeg(view, None, False, relevance_maps.SMALL, False),
                width="stretch",
                alt=f"{picked.title} without a map",
            )
            st.markdown(f":small[**The image**, {view.shape[1]} × {view.shape[0]} pixels]")
        for name, method in methods.items():
            with st.container(gap="xsmall"):
                if name not in maps:
                    st.markdown(f":small[**{method.title}**]")
                    heat = background(
                        ("relevance", name, str(run.path), run.stamp, digest(view), *question.target),
                        partial(relevance_maps.compute_slow, run, view, name, question.target),
                        label="Compute",
                    )
                    if heat is None:
                        continue
                    maps[name] = heat
                st.image(
                    relevance_maps.map_jpeg(view, maps[name], method.signed, relevance_maps.SMALL, is_smooth()),
                    width="stretch",
                    alt=f"{method.title} over the image: {question.text}",
                )
                st.button(
                    method.title,
                    icon=":material/zoom_in:",
                    key=f"open_{name}",
                    type="primary" if name == chosen else "tertiary",
                    on_click=remember_method,
                    args=(name,),
                )
                nothing = "" if maps[name].any() else " Nothing speaks for the class here."
                st.caption(f"{method.what}{nothing}", help=f"When not to trust it: {method.caution}")
    with st.container(horizontal=True, vertical_alignment="center"):
        downloads.downloads(
            f"{run.name}-{picked.id}-relevance",
            key="all_maps",
            picture=lambda: overlays.titled_grid(
                [
                    relevance_maps.draw(view, maps[name], method.signed, relevance_maps.SMALL, is_smooth())
                    for name, method in methods.items()
                    if name in maps
                ],
                [method.title for name, method in methods.items() if name in maps],
            ),
            arrays=lambda: maps | {"class": np.array(question.label), "against": np.array(question.against or "")},
        )
        st.caption(
            "Click the name below a picture to open it. Each picture has its own colour scale: compare places, not "
            "brightness."
        )


def digest(view: np.ndarray) -> str:
    """Return a key for an image's content."""
    return hashlib.sha256(view.tobytes()).hexdigest()[:16]


st.title("Relevance", anchor=False)
st.caption(INTRO, help=term("relevance"))
choices = st.container(horizontal=True, vertical_alignment="bottom")
with choices:
    run = run_picker.pick_run(width=240)
if run is None:
    st.stop()
try:
    from vit.explain.passes.memory import require_room

    cached_models.load_model(run)
    require_room(run.config.model)
    with choices:
        picked = image_picker.pick_image(run, reactive.first_image)
    if picked is None:
        st.stop()
    reactive.explain_first_image(run, picked)
    show_run_doubts(run)
    note_low_dependence(run)
    show_relevance(run, picked, *cached_models.prediction(run, picked.image))
except UserError as error:
    text.show_error(error)
    st.stop()
with st.expander("How to read relevance maps, and their limits", icon=":material/help:"):
    st.markdown(WHAT_IT_IS)
