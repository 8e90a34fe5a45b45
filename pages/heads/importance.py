"""How much each head matters: what is lost without it, and how many can go."""

import numpy as np
import streamlit as st

from pages.heads.pruning import show_pruning
from pages.intervene.head_controls import MANY
from pages.ui import cached_models, link_state, run_picker
from pages.ui.background import Progress, background
from pages.ui.downloads import downloads
from pages.ui.text import show_error
from pages.ui.view_pickers import pick_head, pick_layer
from pages.ui.widgets.boards import head_board
from pages.ui.wording import term
from vit import plots
from vit.config import ModelConfig, TransformerConfig
from vit.cost.counts import count
from vit.data import Split
from vit.errors import UserError
from vit.explain.heads.ablation import Ablation, Estimate, Importance, Measure, head_importance
from vit.explain.interventions.head_changes import Means, validation_means
from vit.explain.passes.memory import require_room
from vit.explain.passes.sample import RANKED, sample
from vit.runs import Run

MEASURES: dict[Measure, str] = {
    "accuracy": "Accuracy lost",
    "loss": "Loss gained",
    "gradient": "Gradient",
    "gradient-by-layer": "Gradient, by layer",
}
ABLATIONS: dict[Ablation, str] = {"zero": "Zero", "mean": "Mean"}
COUNTS = {"200": "200", "500": "500", "all": "All"}

SAYS: dict[Measure, str] = {
    "accuracy": "How many points of accuracy are lost when this head alone is off: the wrong answers that it keeps "
    "away.",
    "loss": "How much the cross-entropy rises, in nats, when this head alone is off; it also sees answers that stay "
    "right and get less sure.",
    "gradient": "How steep the loss is in the head: the mean over images of |dL/dξ|, where ξ = 1 multiplies what the "
    "head hands on (Michel, Levy and Neubig 2019). A slope, not a removal.",
    "gradient-by-layer": "The gradient measure divided by its length (L2) over the heads of a layer, as in the paper. "
    "It compares within a layer, not between layers.",
}

PALE = 0.35
"""The share of its colour that a number has which could be chance."""

AUTO_FLOPS = 1.2e12
"""It is measured without being asked for where it takes fewer operations than this, some seconds."""

INTRO = (
    "Every head is switched off by itself, and the network is run on validation images without it. What it then gets "
    "wrong is what the head was needed for."
)

NO_HEADS = (
    "This network is convolutional and has no attention heads; on the Intervene page you can cover or shuffle parts "
    "of its image instead."
)

NO_CLASSES_TO_LOSE = (
    "How much a head matters is measured by the answers that get worse without it, and this model was published as "
    "features, without classes: look at the portraits of its heads, or fine-tune it on classes of your own."
)

WHAT_IT_IS = """
**What it is.** One head at a time is taken out, and accuracy and loss are measured again on the same images. *Zero*
puts zeros in place of what the head hands on, *mean* its average over half of the images, so that only the news about
each image is missing; mean is the fairer one. The *gradient* is cheaper: one backward pass tells for all heads how the
loss would begin to change if the head were turned down a little.

**What to look for.** Often few heads matter and most can go, one at a time. Differences in accuracy are small steps:
one image of 500 is 0.2 points. The loss sees more, for it moves before an answer flips.

**How sure it is.** Every number has a standard error, from the differences image by image. Numbers in brackets could
as well be nothing: for accuracy by an exact sign test of the images that changed sides, for the loss by twice its
error. One in twenty heads without any effect looks important by chance, so with many heads expect a few.

**What it is not.** Heads share their jobs. Two heads that do the same are each harmless to take out, and together may
be vital: one at a time says little about pairs. The pruning curve below takes them out together; to try your own
combination, use the Intervene page. And nothing was trained anew: a network that had learned without the head, or
could learn a little more, would lose less.

**The pruning curve.** Heads are ranked on one half of the images, and go in that order, the least important first, on
the other half; had the same images been used for both, the curve would flatter itself. The random orders are what a
ranking has to beat. Where the curves lie together, the ranking says nothing.
"""


def show(run: Run) -> None:
    """The part of the page."""
    st.caption(INTRO, help=term("ablation"))
    config = run.config.model
    if not isinstance(config, TransformerConfig):
        st.info(NO_HEADS, icon=":material/info:")
        return
    if not config.num_classes:
        run_picker.show_no_classes(run, NO_CLASSES_TO_LOSE)
        return
    try:
        require_room(config)
        split = cached_models.judged(run)
        cached_models.load_model(run)
        explore(run, config, split)
    except UserError as error:
        show_error(error)
    with st.expander("What the importance of a head is, and what it is not", icon=":material/help:"):
        st.markdown(WHAT_IT_IS)


@st.fragment
def explore(run: Run, config: TransformerConfig, split: Split) -> None:
    """The choices, and what was measured."""
    measure, ablation, images = choose(len(split))
    found = measured(run, split, images)
    if found is None:
        return
    importance, means = found
    estimate = importance.estimate(measure, ablation)
    st.caption(SAYS[measure])
    layer, head = show_board(run, config, importance, estimate, measure, ablation)
    show_head(run, importance, estimate, ablation, layer, head)
    show_table(importance, ablation)
    st.subheader("How many heads can go", anchor=False, help=term("pruning"))
    auto = operations(config, images) < AUTO_FLOPS
    show_pruning(run, split, images, ablation, importance, means, auto=auto)


def choose(total: int) -> tuple[Measure, Ablation, int]:
    """The controls: which measure, which ablation, on how many images."""
    link_state.among("importance", MEASURES, "loss")
    link_state.among("ablated", ABLATIONS, "zero")
    link_state.among("counted", COUNTS, "500")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        measure = _segments("Measure", "importance", MEASURES, "loss")
        ablation = _segments(
            "Ablation",
            "ablated",
            ABLATIONS,
            "zero",
            disabled=measure not in ("accuracy", "loss"),
            help="What takes the place of a head that is off: zeros, or its mean output over half of the images. The "
            "gradient needs neither.",
        )
        counted = _segments("Images", "counted", COUNTS, "500", help=f"There are {total:,} validation images.")
    return measure, ablation, total if counted == "all" else min(int(counted), total)


def _segments(label: str, key: str, titles: dict, default: str, **options) -> str:
    return st.segmented_control(
        label,
        list(titles),
        default=default,
        required=True,
        format_func=titles.get,
        key=key,
        bind="query-params",
        persist_state="session",
        **options,
    )


def measured(run: Run, split: Split, images: int) -> tuple[Importance, Means] | None:
    """The importance of all heads, and the means that were used; None, and progress, until they are there."""
    model, info = cached_models.load_model(run)
    config = run.config.model

    def work(progress: Progress) -> tuple[Importance, Means]:
        # The means are of the ranking half, so that the other one is new to a pruning in every way.
        means = validation_means(model, sample(model, info, split, images, RANKED), lambda *_: progress(0, 0))
        return head_importance(model, sample(model, info, split, images), means, progress), means

    return background(
        ("head importance", *cached_models.measured_on(run), images),
        work,
        label=f"Measure all {config.depth * config.num_heads} heads on {images:,} images",
        auto=operations(config, images) < AUTO_FLOPS,
    )


def operations(config: ModelConfig, images: int) -> float:
    """About what all ablated passes take: two kinds of each head, each from its layer up."""
    return count(config).flops * images * (1 + config.num_heads * (config.depth + 1))


# The board


def show_board(
    run: Run,
    config: TransformerConfig,
    importance: Importance,
    estimate: Estimate,
    measure: Measure,
    ablation: Ablation,
) -> tuple[int, int]:
    """All heads, coloured by the measure; the chosen one, from 1."""
    depth, heads = config.depth, config.num_heads
    link_state.bounded("layer", 1, depth, 1)
    link_state.bounded("head", 1, heads, 1)
    texts = [[_cell(estimate, measure, layer, head) for head in range(heads)] for layer in range(depth)]
    says = [
        [f"Layer {layer + 1}, head {head + 1}: {_words(estimate, measure, layer, head)}" for head in range(heads)]
        for layer in range(depth)
    ]
    tones = estimate.value / (np.abs(estimate.value).max() or 1) * np.where(estimate.by_chance, PALE, 1)
    with st.container(width=min(940, 110 + (96 if heads <= MANY else 60) * heads)):
        head_board(
            texts,
            tones,
            says,
            key="head_numbers",
            label=f"{MEASURES[measure]} of every head, layers down; a click chooses the head",
            pressed=[(st.session_state["layer"], st.session_state["head"])],
            on_pick=_choose_head,
        )
    unit = {"accuracy": "Points of accuracy", "loss": "Nats of cross-entropy"}.get(measure, "Size of the slope")
    signs = "orange: worse without the head, blue: better without it" if measure in ("accuracy", "loss") else "orange"
    certain = ", pale and in brackets where it could be chance" if measure in ("accuracy", "loss") else ""
    before = importance.before
    st.caption(
        f"{unit}{certain}. Colours: {signs}; the strongest is the largest number. On {importance.images:,} images the "
        f"whole network has {before.accuracy:.1%} ± {before.accuracy_error:.1%} accuracy and a loss of "
        f"{before.mean_loss:.3f}."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        layer, head = pick_layer(depth), pick_head(heads)
        downloads(
            f"{run.name}-heads-{measure}",
            key="importance",
            picture=lambda: plots.head_sheet(texts, tones),
            arrays=lambda: _arrays(importance),
            table=lambda: _rows(importance, ablation),
        )
    return layer, head


def _choose_head(layer: int, head: int) -> None:
    st.session_state["layer"], st.session_state["head"] = layer, head


def _cell(estimate: Estimate, measure: Measure, layer: int, head: int) -> str:
    """A number as it stands on the board, in brackets where it could be chance."""
    value = float(estimate.value[layer, head])
    match measure:
        case "accuracy":
            text = f"{100 * value:+.1f}" if round(100 * value, 1) else "0.0"
        case "loss":
            text = f"{value:+.2g}"
        case _:
            text = f"{value:.2g}"
    text = text.replace("-", "−")
    return f"({text})" if estimate.by_chance[layer, head] else text


def _words(estimate: Estimate, measure: Measure, layer: int, head: int) -> str:
    """A number with its error, such as "0.6 ± 0.4 points of accuracy lost, within chance"."""
    value, error = float(estimate.value[layer, head]), float(estimate.error[layer, head])
    chance = ", within chance" if estimate.by_chance[layer, head] else ""
    match measure:
        case "accuracy":
            verb = "gained" if value < 0 else "lost"
            return f"{100 * abs(value):.1f} ± {100 * error:.1f} points of accuracy {verb}{chance}"
        case "loss":
            return f"loss {'lower' if value < 0 else 'higher'} by {abs(value):.4f} ± {error:.4f}{chance}"
    return f"gradient {value:.3g} ± {error:.2g}"


def show_head(run: Run, importance: Importance, estimate: Estimate, ablation: Ablation, layer: int, head: int) -> None:
    """What is known of the chosen head, and the ways to Intervene."""
    at = (layer - 1, head - 1)
    words = "; ".join(_words(importance.estimate(one, ablation), one, *at) for one in ("accuracy", "loss", "gradient"))
    st.markdown(f"**Layer {layer}, head {head}**, {ABLATIONS[ablation].lower()} ablation: {words}.")
    most = tuple(int(place) + 1 for place in np.unravel_index(estimate.value.argmax(), estimate.value.shape))
    with st.container(horizontal=True):
        _off_link(run, (layer, head), ablation, f"Switch layer {layer}, head {head} off and look")
        if most != (layer, head):
            _off_link(run, most, ablation, f"Switch the most important one off: layer {most[0]}, head {most[1]}")


def _off_link(run: Run, head: tuple[int, int], ablation: Ablation, label: str) -> None:
    letter = {"zero": "z", "mean": "m"}[ablation]
    link = {"run": run.name, "changes": f"{head[0]}.{head[1]}{letter}"}
    st.page_link("intervene/page.py", label=label, icon=":material/tune:", query_params=link)


def _rows(importance: Importance, ablation: Ablation) -> list[dict]:
    """One head a row, with all its numbers."""
    lost, gained = importance.estimate("accuracy", ablation), importance.estimate("loss", ablation)
    slope, by_layer = importance.estimate("gradient"), importance.estimate("gradient-by-layer")
    return [
        {
            "Layer": layer + 1,
            "Head": head + 1,
            "Accuracy lost, points": 100 * float(lost.value[layer, head]),
            "± accuracy": 100 * float(lost.error[layer, head]),
            "Within chance": bool(lost.by_chance[layer, head]),
            "Loss gained": float(gained.value[layer, head]),
            "± loss": float(gained.error[layer, head]),
            "Gradient": float(slope.value[layer, head]),
            "Gradient, by layer": float(by_layer.value[layer, head]),
        }
        for layer, head in np.ndindex(lost.value.shape)
    ]


def _arrays(importance: Importance) -> dict[str, np.ndarray]:
    arrays = {}
    for ablation in ABLATIONS:
        for measure in ("accuracy", "loss"):
            found = importance.estimate(measure, ablation)
            arrays |= {f"{measure}_{ablation}": found.value, f"{measure}_{ablation}_error": found.error}
    for measure in ("gradient", "gradient-by-layer"):
        arrays[measure.replace("-", "_")] = importance.estimate(measure).value
    return arrays


def show_table(importance: Importance, ablation: Ablation) -> None:
    """All numbers of all heads."""
    with st.expander("All numbers", icon=":material/table_chart:"):
        number = st.column_config.NumberColumn
        st.dataframe(
            _rows(importance, ablation),
            hide_index=True,
            column_config={
                "Accuracy lost, points": number(format="%.2f"),
                "± accuracy": number(format="%.2f"),
                "Within chance": st.column_config.CheckboxColumn(help="The accuracy; by an exact sign test."),
                **{name: number(format="%.4f") for name in ("Loss gained", "± loss", "Gradient", "Gradient, by layer")},
            },
            alt="Importance of every head",
        )
        st.caption("± is one standard error.")
