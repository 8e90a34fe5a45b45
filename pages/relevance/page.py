"""Relevance: which parts of an image an answer rests on, by every method that a network can give."""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from pages.relevance import maps as seen
from pages.relevance.help import INTRO, WHAT_IT_IS
from pages.relevance.large_map import show_large
from pages.relevance.maps import Question
from pages.ui import answer, cached_models, downloads, image_picker, link_state, run_picker, text, view_pickers
from pages.ui.background import background
from pages.ui.cached_models import PickedImage
from pages.ui.wording import term
from vit.classes import names_of
from vit.errors import UserError
from vit.pictures import overlays
from vit.runs import Run

if TYPE_CHECKING:  # torch comes with the first model
    from vit.explain import Method

FUSIONS = ("mean", "max", "min")
DISCARD_MAX = 95  # percent


def ask(names: tuple[str, ...], predicted: str) -> Question:
    """The class, and what it is held against, bound to ``?class=`` and ``?against=``."""
    label = view_pickers.pick_class(names, predicted)
    others = [name for name in names if name != label]
    link_state.one_of("against", others)
    against = st.selectbox(
        "And not",
        others,
        index=None,
        placeholder="no other class",
        key="against",
        bind="query-params",
        width=200,
        help="With another class the maps explain how far the first is ahead of it: the difference of the two scores.",
    )
    return Question(label, against, names)


def rollout_controls() -> tuple[str, float]:
    """How rollout fuses heads, and the share of small weights that it and gradient rollout leave out."""
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
        help=term("rollout", here="How the heads of a layer become one map in rollout."),
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
        help="The smallest weights of each layer that rollout and gradient rollout leave out. More makes a clearer "
        "picture, not a truer one.",
    )
    return fusion, discard / 100


def choose_method(titles: Mapping[str, str], first: str) -> str:
    """The method that is shown large, ``?method=`` by its name: what a link, a tile or the pills say."""
    by_title = {title: name for name, title in titles.items()}
    asked = st.query_params.get("method") or st.session_state.get("method")
    chosen = by_title.get(asked, asked)
    chosen = chosen if chosen in titles else first
    remember_method(chosen)
    link_state.settle("closer", chosen)
    st.pills(
        "Look closer at",
        list(titles),
        required=True,
        format_func=titles.get,
        key="closer",
        on_change=lambda: remember_method(st.session_state["closer"]),
    )
    return chosen


def remember_method(name: str) -> None:
    """Keep the chosen method for other pages, and in the address."""
    st.session_state["method"] = name
    if st.query_params.get("method") != name:
        st.query_params["method"] = name


@st.fragment
def explore(run: Run, picked: PickedImage, view: np.ndarray, probabilities: np.ndarray) -> None:
    """What the class, the method and their settings change, and nothing else."""
    from vit.explain import methods_for, why_not

    config = run.config
    methods, names = methods_for(config.model), names_of(config)
    slow = [name for name, method in methods.items() if not method.fast]
    quick = seen.is_quick(run, slow)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        question = ask(names, names[int(probabilities.argmax())]) if names else seen.NO_QUESTION
        fusion, discard = rollout_controls() if "rollout" in methods else ("mean", 0.0)
        every = not quick or len(methods) - len(slow) < 2
        if slow and not every:
            every = st.toggle(
                "Slow methods too",
                key="slow",
                bind="query-params",
                help=term("integrated gradients", "occlusion", here="These run the network dozens of times."),
            )
    asked = [index for index in question.target if index is not None]
    answer.show_answer(picked, names, probabilities, asked=asked)
    if not names:
        run_picker.show_no_classes(run, why_not(config.model))
    elif reason := why_not(config.model):
        st.info(reason, icon=":material/info:")
    if "last" in methods and (caveat := seen.caveat(run, picked)):
        st.warning(f"**{methods['last'].title}:** {caveat}", icon=":material/info:")
    place = st.container()
    chosen = choose_method({name: method.title for name, method in methods.items()}, first_of(methods))
    maps = dict(seen.fast_maps(run, view, question.target, fusion, discard))
    if quick:
        wanted = slow if every else [name for name in slow if name == chosen]
        with st.spinner("Running the network many times"):
            maps |= {name: seen.slow_map(run, view, name, question.target) for name in wanted}
    with place:
        shown = {name: method for name, method in methods.items() if method.fast or every}
        gallery(run, picked, view, question, shown, maps, chosen)
    show_large(run, picked, view, question, chosen, methods[chosen], maps.get(chosen))


def first_of(methods: "Mapping[str, Method]") -> str:
    """The method that is shown large until another is chosen: the first that knows classes, or else the last of all."""
    return next((name for name, method in methods.items() if method.for_class), list(methods)[-1])


def gallery(
    run: Run,
    picked: PickedImage,
    view: np.ndarray,
    question: Question,
    methods: "Mapping[str, Method]",
    maps: seen.Maps,
    chosen: str,
) -> None:
    """The image and every map of it; maps that take long are added to ``maps`` once they are there."""
    with st.grid("auto", min_column_width=168):
        with st.container(gap="xsmall"):
            st.image(seen.picture(view, None, False, seen.SMALL), width="stretch", alt=f"{picked.title}, uncovered")
            st.markdown(f":small[**The image**, {view.shape[1]} × {view.shape[0]} pixels]")
        for name, method in methods.items():
            with st.container(gap="xsmall"):
                if name not in maps:
                    st.markdown(f":small[**{method.title}**]")
                    heat = background(
                        ("relevance", name, str(run.path), run.stamp, digest(view), *question.target),
                        lambda progress, name=name: seen.compute_slow(run, view, name, question.target, progress),
                        label="Compute",
                    )
                    if heat is None:
                        continue
                    maps[name] = heat
                st.image(
                    seen.picture(view, maps[name], method.signed, seen.SMALL),
                    width="stretch",
                    alt=f"{method.title} over the image: {question.words}",
                )
                st.button(
                    method.title,
                    icon=":material/zoom_in:",
                    key=f"open_{name}",
                    type="primary" if name == chosen else "tertiary",
                    on_click=remember_method,
                    args=(name,),
                )
                nothing = "" if maps[name].any() else " Here nothing speaks for the class."
                st.caption(f"{method.what}{nothing}", help=f"When not to trust it: {method.caution}")
    with st.container(horizontal=True, vertical_alignment="center"):
        downloads.downloads(
            f"{run.name}-{picked.id}-relevance",
            key="all_maps",
            picture=lambda: overlays.sheet(
                [
                    seen.draw(view, maps[name], method.signed, seen.SMALL)
                    for name, method in methods.items()
                    if name in maps
                ],
                [method.title for name, method in methods.items() if name in maps],
            ),
            arrays=lambda: maps | {"class": np.array(question.label), "against": np.array(question.against or "")},
        )
        st.caption(
            "Open a picture by its name. Each has a colour scale of its own: compare places, not brightness between "
            "pictures."
        )


def digest(view: np.ndarray) -> str:
    """Names an image by its content."""
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
        picked = image_picker.pick_image(run)
    if picked is None:
        st.stop()
    explore(run, picked, *cached_models.prediction(run, picked.image))
except UserError as error:
    text.show_error(error)
    st.stop()
with st.expander("What a relevance map is, and what it is not", icon=":material/help:"):
    st.markdown(WHAT_IT_IS)
