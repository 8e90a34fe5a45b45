"""How alike the layers of one run, or of two, see the same images."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import streamlit as st

from pages import access
from pages.heads.portraits import AUTO_FLOPS, choose_sample
from pages.ui import cached_models, downloads, link_state, text
from pages.ui.background import background
from pages.ui.wording import term
from vit import plots
from vit.cost import counts
from vit.errors import UserError
from vit.runs import Run

if TYPE_CHECKING:  # torch comes with the first model
    from vit.explain.heads.layer_similarity import Of

ALIKE = 0.98
"""Stages that are so similar count as alike."""

FEATURES: dict[str, "Of"] = {"All tokens": "tokens", "Summary token": "summary"}

INTRO = (
    "Each cell says how alike two layers see the same validation images: 1, they find the same images alike; 0, they "
    "have nothing in common. Choose another run to hold the layers of two networks against each other."
)

WHAT_IT_IS = """
**What it is.** A layer turns every image into a long list of numbers. For each pair of images, one can ask how
alike their two lists are. Centred kernel alignment (CKA, Kornblith et al. 2019) compares two layers by these
answers: it is 1 where both find the same images alike and the same ones different, however many numbers each has
and in whatever order. That is why layers of different width, and networks of different kinds, can be compared. The
estimate here is the one without bias (Song et al. 2012; Nguyen et al. 2021), which does not rise just because there
are more numbers than images.

**What to look for.** A bright square: these layers hand the picture on nearly as it is, so some may be more than
the task needs. A dark step: between these two the network makes something new of the images. Raghu et al. (2021)
found that the layers of a Vision Transformer are much alike from first to last, and those of a convolutional
network fall into an early and a late half. **Two runs:** a bright diagonal says that they go the same way in the
same order. Two runs that differ in the seed alone show how much of that is chance.

**All tokens, or the summary token.** All tokens compare what is kept of every place; the summary token compares
what the answer would be read from. Before the first block the class token is the same for every image, so it has no
similarity.

**What it is not.** Two layers that see images alike need not compute alike, and need not be exchangeable. CKA is
ruled by the few directions in which the images differ most: a network can change what decides the class and CKA
hardly moves. And it is a number about these images: other images can give another one.
"""


class Similarities(NamedTuple):
    """CKA ``(down across)`` by what stands for an image, names of the stages, and how many images there were."""

    values: dict[str, np.ndarray]
    down: tuple[str, ...]
    across: tuple[str, ...]
    images: int


def choose_beside(run: Run) -> Run | None:
    """Another run, of any kind, bound to ``?beside=``."""
    found = {other.name: other for other in access.my_runs() if other.has_weights and other.name != run.name}
    link_state.one_of("beside", found)
    chosen = st.selectbox(
        "Against",
        list(found),
        index=None,
        placeholder="itself" if found else "itself: there is no other run",
        key="beside",
        bind="query-params",
        width=240,
        disabled=not found,
        help="A second run, of any kind and size; it sees the validation images of the first.",
    )
    return found.get(chosen)


def measured(run: Run, other: Run | None, count: int) -> "Similarities | None":
    """The similarities, once they are there; until then the way to them.

    Raises:
        UserError: a run or its images cannot be loaded.
    """
    from vit.data.sampling import subset
    from vit.explain.heads import layer_similarity

    both = [run] if other is None else [run, other]
    loaded = [cached_models.load_model(one) for one in both]
    split = cached_models.validation(run).val
    configs = [one.config.model for one in both]
    count = min(count, *(layer_similarity.images_max(config) for config in configs))

    def work(progress: Callable[[int, int], None]) -> Similarities:
        images = split.images[subset(np.asarray(split.labels), count, seed=0)]
        found = [
            layer_similarity.grams(model, info, images, progress=partial(tell, progress, place, len(loaded)))
            for place, (model, info) in enumerate(loaded)
        ]
        values = {of: layer_similarity.similarity(*found, of=of) for of in FEATURES.values()}
        return Similarities(values, found[0].names, found[-1].names, len(images))

    return background(
        ("similarity", *(part for one in both for part in cached_models.measured_on(one)), count),
        work,
        label="Compare the layers",
        auto=sum(counts.count(config).flops for config in configs) * count <= AUTO_FLOPS,
    )


def tell(progress: Callable[[int, int], None], place: int, of: int, done: int, total: int) -> None:
    """The progress of one of several networks, as a part of the whole."""
    progress(place * total + done, of * total)


def change_sentence(values: np.ndarray, names: tuple[str, ...]) -> str:
    """Between which neighbouring stages of one network most changes."""
    from vit.explain.heads.layer_similarity import largest_change

    at = largest_change(values)
    if at is None:
        return ""
    if values[at, at + 1] >= ALIKE:
        return "Every stage is nearly like the one before: no single step changes much."
    return (
        f"From one stage to the next most changes between **{names[at]}** and **{names[at + 1]}**, with a similarity "
        f"of {values[at, at + 1]:.2f}."
    )


def show_map(run: Run, other: Run | None, found: Similarities, of: str) -> None:
    """The heat map, what it says, and its numbers to take along."""
    values, down, across = found.values[FEATURES[of]], found.down, found.across
    name = f"{run.name}-similarity" if other is None else f"{run.name}-{other.name}-similarity"
    with st.container(horizontal=True, gap="medium"):
        st.plotly_chart(
            plots.layer_similarity(values, down, across, titles=(run.name, run.name if other is None else other.name)),
            key="similarity",
            width=600,
            config=downloads.plotly_config(name),
            alt=f"Similarity of the layers of {run.name} and {run.name if other is None else other.name}",
        )
        words = st.container(width=270)
    with words:
        st.markdown(f"**{of}** :small[{found.images:,} images]")
        if other is None:
            st.markdown(change_sentence(values, down))
        st.caption(
            "Stages run from bottom to top and from left to right, in the order in which an image goes through them. "
            "In a transformer there are two for each layer: after its attention, and after its MLP."
        )
        if np.isnan(values).any():
            st.caption("An empty cell: there the stage is the same for every image, so nothing can be compared.")
        downloads.downloads(
            name,
            key="similarity",
            arrays=lambda: {
                **{f"cka_{of}": one for of, one in found.values.items()},
                "down": np.array(down),
                "across": np.array(across),
            },
            table=lambda: [
                {"stage": row} | dict(zip(across, line, strict=True))
                for row, line in zip(down, values.tolist(), strict=True)
            ],
        )


def show(run: Run) -> None:
    """The part of the page."""
    st.caption(INTRO, help=term("CKA"))
    try:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            other = choose_beside(run)
            of = st.segmented_control(
                "An image is", list(FEATURES), default="All tokens", required=True, key="features", bind="query-params"
            )
            count = choose_sample(len(cached_models.validation(run).val))
        found = measured(run, other, count)
    except UserError as error:
        text.show_error(error)
        return
    if found is not None:
        show_map(run, other, found, of)
    with st.expander("What similarity is, and what it is not", icon=":material/help:"):
        st.markdown(WHAT_IT_IS)
