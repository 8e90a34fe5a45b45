"""Similarity of layers: CKA between the layers of one run or of two."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from pages import access
from pages.heads.portraits import AUTO_FLOPS, choose_sample, validation_split
from pages.ui import cached_models, downloads, link_state, text
from pages.ui.background import background
from pages.ui.run_doubts import show_run_doubts
from pages.ui.run_picker import say_missing_run
from pages.ui.wording import term
from vit import plots
from vit.cost import counts
from vit.errors import UserError
from vit.results.stored import describe_network
from vit.runs import Run
from vit.runs.folder import weights_digest

if TYPE_CHECKING:  # torch comes with the first model
    from vit.explain.heads.layer_similarity import Representation, Similarities

UNCHANGED = 0.98
"""Neighbouring stages of at least this similarity count as unchanged."""

FEATURES: dict[str, "Representation"] = {"All tokens": "tokens", "Summary token": "summary"}

INTRO = (
    "Each cell is the similarity of two layers on the same validation images. 1: both find the same images similar. 0: "
    "they have nothing in common. Choose another run to compare the layers of two networks."
)

WHAT_IT_IS = """
**What it is.** A layer turns every image into a long list of numbers. For each pair of images, one can measure how
similar their two lists are. Centred kernel alignment (CKA, Kornblith et al. 2019) compares two layers by these
similarities. It is 1 if both layers find the same images similar and the same images different. The number and order of
the features do not matter, so layers of different width and networks of different kinds can be compared. This page uses
the unbiased estimate (Song et al. 2012; Nguyen et al. 2021), which does not rise just because there are more features
than images.

**What to look for.** A bright square: these layers change the representation little, so the task may not need all of
them. A dark step: the network computes something new between these two layers. Raghu et al. (2021) found that the
layers of a Vision Transformer are similar from first to last, while those of a convolutional network fall into an early
and a late half. **Two runs:** a bright diagonal means that both networks compute similar representations in the same
order. Two runs that differ only in the seed show how much of this is chance.

**All tokens or the summary token.** *All tokens* compares the information about every place. *Summary token* compares
the token that the answer is read from. Before the first block, the class token is the same for every image, so it has
no similarity.

**Limits.** Two layers with similar representations need not compute the same thing, and one cannot always replace the
other. CKA depends mostly on the few directions in which the images differ most: a network can change what decides the
class while CKA hardly changes. The number also depends on the images.
"""


def choose_other_run(run: Run) -> Run | None:
    """Show a select box over the other runs, of any kind, bound to ``?beside=``."""
    found = {other.name: other for other in access.my_runs() if other.has_weights and other.name != run.name}
    say_missing_run("beside")
    link_state.one_of("beside", found)
    chosen = st.selectbox(
        "Compare with",
        list(found),
        index=None,
        placeholder="itself" if found else "itself (no other run)",
        key="beside",
        bind="query-params",
        width=240,
        disabled=not found,
        help="A second run of any kind and size. It sees the validation images of the first run.",
    )
    return found.get(chosen) if chosen else None


def similarities_of(run: Run, other: Run | None, count: int) -> "Similarities | None":
    """Return the similarities; until they are computed, show the start button or the progress.

    Raises:
        UserError: a run or its images cannot be loaded.
    """
    from vit.data.sampling import spread
    from vit.explain.heads import layer_similarity
    from vit.explain.heads.stored import SIMILARITIES

    both = [run] if other is None else [run, other]
    loaded = [cached_models.load_model(one) for one in both]
    split = validation_split(run)
    configs = [one.config.model for one in both]
    count = min(count, *(layer_similarity.images_max(config) for config in configs))

    def work(progress: Callable[[int, int], None]) -> "Similarities":
        images = split.images[spread(np.asarray(split.labels), count, seed=0)]
        found = [
            layer_similarity.grams(model, info, images, progress=partial(report_part, progress, place, len(loaded)))
            for place, (model, info) in enumerate(loaded)
        ]
        values = {features: layer_similarity.similarity(*found, of=features) for features in FEATURES.values()}
        return layer_similarity.Similarities(values, found[0].names, found[-1].names, len(images))

    return background(
        ("similarity", *(part for one in both for part in cached_models.measured_on(one)), count),
        work,
        label="Compare the layers",
        auto=sum(counts.count(config).flops for config in configs) * count <= AUTO_FLOPS,
        stored=cached_models.place_of(run, SIMILARITIES, split, {"images": count, "beside": describe_beside(other)}),
    )


def describe_beside(other: Run | None) -> dict[str, Any] | None:
    """Return what tells the second run's network from others; None without a second run."""
    return None if other is None else describe_network(other) | {"weights": weights_digest(other.path)}


def report_part(progress: Callable[[int, int], None], place: int, networks: int, done: int, total: int) -> None:
    """Report the progress of one of several networks as a part of the whole."""
    progress(place * total + done, networks * total)


def describe_largest_change(values: np.ndarray, names: tuple[str, ...]) -> str:
    """Say between which neighbouring stages of one network the representation changes most."""
    from vit.explain.heads.layer_similarity import largest_change

    at = largest_change(values)
    if at is None:
        return ""
    if values[at, at + 1] >= UNCHANGED:
        return "No stage differs much from the stage before it."
    return (
        f"The largest change is between the stages **{names[at]}** and **{names[at + 1]}**, with a similarity of "
        f"{values[at, at + 1]:.2f}."
    )


def show_map(run: Run, other: Run | None, found: "Similarities", features: str) -> None:
    """Show the heat map, its explanation and its downloads."""
    values, down, across = found.values[FEATURES[features]], found.down, found.across
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
        st.markdown(f"**{features}** :small[{found.images:,} images]")
        if other is None:
            st.markdown(describe_largest_change(values, down))
        st.caption(
            "The stages run from bottom to top and from left to right, in the order of computation. A transformer has "
            "two stages per layer: after the attention and after the MLP."
        )
        if np.isnan(values).any():
            st.caption("Empty cells: this stage is the same for every image, so it has no similarity.")
        downloads.downloads(
            name,
            key="similarity",
            arrays=lambda: {
                **{f"cka_{name}": cka for name, cka in found.values.items()},
                "down": np.array(down),
                "across": np.array(across),
            },
            table=lambda: [
                {"stage": row} | dict(zip(across, line, strict=True))
                for row, line in zip(down, values.tolist(), strict=True)
            ],
        )


def show(run: Run) -> None:
    """Show the similarity part of the page."""
    st.caption(INTRO, help=term("CKA"))
    try:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            other = choose_other_run(run)
            features = st.segmented_control(
                "Represent an image by",
                list(FEATURES),
                default="All tokens",
                required=True,
                key="features",
                bind="query-params",
            )
            count = choose_sample(len(validation_split(run)))
        if other is not None:
            show_run_doubts(other, named=True)
        found = similarities_of(run, other, count)
    except UserError as error:
        text.show_error(error)
        return
    if found is not None:
        show_map(run, other, found, features)
    with st.expander("How to read the similarity, and its limits", icon=":material/help:"):
        st.markdown(WHAT_IT_IS)
