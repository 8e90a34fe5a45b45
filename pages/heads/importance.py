"""Importance: how much accuracy and loss depend on each head, and how many heads can be removed."""

import numpy as np
import streamlit as st

from pages.heads.pruning import show_pruning
from pages.intervene.head_controls import WIDE_BUTTON_HEADS_MAX
from pages.ui import cached_models, link_state, run_picker
from pages.ui.background import Progress, background
from pages.ui.downloads import downloads
from pages.ui.text import show_error
from pages.ui.view_pickers import pick_head, pick_layer, pick_segment
from pages.ui.widgets.boards import head_board
from pages.ui.wording import term
from vit import plots
from vit.config import TransformerConfig
from vit.cost.counts import count
from vit.data import Split
from vit.errors import UserError
from vit.explain.heads.ablation import Ablation, Importance, Measure, MeasuredValue, head_importance
from vit.explain.heads.stored import IMPORTANCE
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
    "accuracy": "How many percentage points of accuracy are lost when only this head is switched off.",
    "loss": "How much the cross-entropy rises, in nats, when only this head is switched off. It also counts answers "
    "that stay right but become less confident.",
    "gradient": "How sensitive the loss is to the head: the mean over images of |dL/dξ|, where ξ = 1 multiplies the "
    "output of the head (Michel, Levy and Neubig 2019). This is a gradient; no head is removed.",
    "gradient-by-layer": "The gradient measure divided by its L2 norm over the heads of a layer, as in the paper. It "
    "compares heads within a layer, not between layers.",
}

PALE = 0.35
"""Factor on the colour of numbers that could be chance."""

AUTO_FLOPS = 1.2e12
"""Measurements below this many operations, which take some seconds, start without a click."""

INTRO = (
    "Each head is switched off in turn, and the network runs on validation images without it. The fall of the accuracy "
    "or the rise of the loss shows how much the network needs this head."
)

NO_HEADS = (
    "This network is convolutional and has no attention heads. On the Intervene page you can cover or shuffle parts of "
    "its image instead."
)

NO_CLASSES_TO_LOSE = (
    "The importance of a head is measured by the model's answers without it. This model works without classes, as a "
    "feature extractor, and gives no answers. Look at the portraits of its heads, or fine-tune it on your own classes."
)

WHAT_IT_IS = """
**What it is.** One head at a time is switched off, and accuracy and loss are measured again on the same images. *Zero*
replaces the output of the head by zeros. *Mean* replaces it by its average over half of the images, so that only the
information about the particular image is missing; this is the fairer comparison. The *gradient* is cheaper: one
backward pass measures for all heads how the loss would change if the output of a head were a little smaller.

**What to look for.** Often only a few heads matter, and most can be switched off one at a time. Accuracy changes in
steps: one image of 500 is 0.2 points. The loss is more sensitive, because it changes before an answer does.

**How reliable it is.** Every number has a standard error, computed from the differences on each image. Numbers in
brackets are not significant: for accuracy by an exact sign test on the images whose answer changed, for the loss by
twice its standard error. One in twenty heads without any effect looks important by chance, so expect a few if there are
many heads.

**Limits.** Heads share their work. If two heads do the same, each can be switched off without harm, but switching off
both may do great harm. The numbers for single heads say little about pairs. The pruning curve below removes heads
together; use the Intervene page to try your own combination. The network is not retrained: a network trained without
the head, or trained a little more, would lose less.

**The pruning curve.** The heads are ranked on one half of the images and removed in this order, the least important
first, on the other half. With the same images for both, the curve would look too good. A useful ranking is better than
the random orders. If the curves are equal, the ranking has no value.
"""


def show(run: Run) -> None:
    """Show the Importance part of the page."""
    st.caption(INTRO, help=term("ablation"))
    config = run.config.model
    if not isinstance(config, TransformerConfig):
        st.info(NO_HEADS, icon=":material/info:")
        return
    if config.num_classes < 2:
        run_picker.show_no_classes(run, NO_CLASSES_TO_LOSE)
        return
    try:
        require_room(config)
        split = cached_models.labelled_for(run)
        cached_models.load_model(run)
        show_importance(run, config, split)
    except UserError as error:
        show_error(error)
    with st.expander("How to read the importance of a head, and its limits", icon=":material/help:"):
        st.markdown(WHAT_IT_IS)


@st.fragment
def show_importance(run: Run, config: TransformerConfig, split: Split) -> None:
    """Show the controls, the importance of every head and the pruning curve; the controls rerun this part alone."""
    measure, ablation, images = choose_measurement(len(split))
    found = importance_of(run, config, split, images)
    if found is None:
        return
    importance, means = found
    estimate = importance.estimate(measure, ablation)
    st.caption(SAYS[measure])
    layer, head = show_board(run, config, importance, estimate, measure, ablation)
    show_head(run, importance, estimate, ablation, layer, head)
    show_importance_table(importance, ablation)
    st.subheader("How many heads can be removed", anchor=False, help=term("pruning"))
    auto = operations(config, images) < AUTO_FLOPS
    show_pruning(run, config, split, images, ablation, importance, means, auto=auto)


def choose_measurement(total: int) -> tuple[Measure, Ablation, int]:
    """Show the controls for the measure, the ablation and the number of images, at most ``total``."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        measure = pick_segment("Measure", "importance", MEASURES, "loss")
        ablation = pick_segment(
            "Ablation",
            "ablated",
            ABLATIONS,
            "zero",
            disabled=measure not in ("accuracy", "loss"),
            help="What replaces the output of a head that is off: zeros, or its mean over half of the images. The "
            "gradient uses neither.",
        )
        counted = pick_segment("Images", "counted", COUNTS, "500", help=f"There are {total:,} validation images.")
    return measure, ablation, total if counted == "all" else min(int(counted), total)


def importance_of(run: Run, config: TransformerConfig, split: Split, images: int) -> tuple[Importance, Means] | None:
    """Return the importance of all heads and their mean outputs; until they are computed, show the progress."""
    model, info = cached_models.load_model(run)

    def work(progress: Progress) -> tuple[Importance, Means]:
        # The means come from the ranking half, so that pruning never uses the other half before it is measured on.
        means = validation_means(model, sample(model, info, split, images, RANKED), lambda *_: progress(0, 0))
        return head_importance(model, sample(model, info, split, images), means, progress), means

    return background(
        ("head importance", *cached_models.measured_on(run), images),
        work,
        label=f"Measure all {config.depth * config.num_heads} heads on {images:,} images",
        auto=operations(config, images) < AUTO_FLOPS,
        stored=cached_models.place_of(run, IMPORTANCE, split, {"images": images}),
    )


def operations(config: TransformerConfig, images: int) -> float:
    """Estimate the operations of all ablated passes: two ablations of each head, each from its layer up."""
    return count(config).flops * images * (1 + config.num_heads * (config.depth + 1))


# The board


def show_board(
    run: Run,
    config: TransformerConfig,
    importance: Importance,
    estimate: MeasuredValue,
    measure: Measure,
    ablation: Ablation,
) -> tuple[int, int]:
    """Show all heads, coloured by the measure, and return the chosen layer and head, from 1."""
    depth, heads = config.depth, config.num_heads
    link_state.bounded("layer", 1, depth, 1)
    link_state.bounded("head", 1, heads, 1)
    texts = [[_cell(estimate, measure, layer, head) for head in range(heads)] for layer in range(depth)]
    says = [
        [f"Layer {layer + 1}, head {head + 1}: {_describe(estimate, measure, layer, head)}" for head in range(heads)]
        for layer in range(depth)
    ]
    tones = estimate.value / (np.abs(estimate.value).max() or 1) * np.where(estimate.by_chance, PALE, 1)
    with st.container(width=min(940, 110 + (96 if heads <= WIDE_BUTTON_HEADS_MAX else 60) * heads)):
        head_board(
            texts,
            tones,
            says,
            key="head_numbers",
            label=f"{MEASURES[measure]} of every head, one row per layer; click a head to choose it",
            pressed=[(st.session_state["layer"], st.session_state["head"])],
            on_pick=_choose_head,
        )
    if measure in ("accuracy", "loss"):
        unit = "Percentage points of accuracy" if measure == "accuracy" else "Nats of cross-entropy"
        explained = (
            f"{unit}. Numbers that could be chance are pale and in brackets. Orange: worse without the head; blue: "
        )
        explained += "better without it."
    else:
        explained = "Size of the gradient. The stronger the orange, the larger the number."
    before = importance.before
    st.caption(
        f"{explained} On {importance.images:,} images the whole network has {before.accuracy:.1%} ± "
        f"{before.accuracy_error:.1%} accuracy and a loss of {before.mean_loss:.3f}."
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


def _cell(estimate: MeasuredValue, measure: Measure, layer: int, head: int) -> str:
    """Return a number for the board, in brackets if it could be chance."""
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


def _describe(estimate: MeasuredValue, measure: Measure, layer: int, head: int) -> str:
    """Describe a number with its error, such as "0.6 ± 0.4 points of accuracy lost (could be chance)"."""
    value, error = float(estimate.value[layer, head]), float(estimate.error[layer, head])
    chance = " (could be chance)" if estimate.by_chance[layer, head] else ""
    match measure:
        case "accuracy":
            verb = "gained" if value < 0 else "lost"
            return f"{100 * abs(value):.1f} ± {100 * error:.1f} points of accuracy {verb}{chance}"
        case "loss":
            return f"loss {'lower' if value < 0 else 'higher'} by {abs(value):.4f} ± {error:.4f}{chance}"
    return f"gradient {value:.3g} ± {error:.2g}"


def show_head(
    run: Run, importance: Importance, estimate: MeasuredValue, ablation: Ablation, layer: int, head: int
) -> None:
    """Show all measures of the chosen head, and links to the Intervene page."""
    at = (layer - 1, head - 1)
    measures: tuple[Measure, ...] = ("accuracy", "loss", "gradient")
    said = "; ".join(_describe(importance.estimate(one, ablation), one, *at) for one in measures)
    st.markdown(f"**Layer {layer}, head {head}**, {ABLATIONS[ablation].lower()} ablation: {said}.")
    top_layer, top_head = np.unravel_index(estimate.value.argmax(), estimate.value.shape)
    most = (int(top_layer) + 1, int(top_head) + 1)
    with st.container(horizontal=True):
        _off_link(run, (layer, head), ablation, f"Switch off layer {layer}, head {head}")
        if most != (layer, head):
            _off_link(run, most, ablation, f"Switch off the most important head: layer {most[0]}, head {most[1]}")


def _off_link(run: Run, head: tuple[int, int], ablation: Ablation, label: str) -> None:
    letter = {"zero": "z", "mean": "m"}[ablation]
    link = {"run": run.name, "changes": f"{head[0]}.{head[1]}{letter}"}
    st.page_link("intervene/page.py", label=label, icon=":material/tune:", query_params=link)


def _rows(importance: Importance, ablation: Ablation) -> list[dict]:
    """Return a row for each head with all its numbers."""
    lost, gained = importance.estimate("accuracy", ablation), importance.estimate("loss", ablation)
    slope, by_layer = importance.estimate("gradient"), importance.estimate("gradient-by-layer")
    return [
        {
            "Layer": layer + 1,
            "Head": head + 1,
            "Accuracy lost, points": 100 * float(lost.value[layer, head]),
            "± accuracy": 100 * float(lost.error[layer, head]),
            "Could be chance": bool(lost.by_chance[layer, head]),
            "Loss gained": float(gained.value[layer, head]),
            "± loss": float(gained.error[layer, head]),
            "Gradient": float(slope.value[layer, head]),
            "Gradient, by layer": float(by_layer.value[layer, head]),
        }
        for layer, head in np.ndindex(lost.value.shape)
    ]


def _arrays(importance: Importance) -> dict[str, np.ndarray]:
    ablated: tuple[Measure, ...] = ("accuracy", "loss")
    gradients: tuple[Measure, ...] = ("gradient", "gradient-by-layer")
    arrays: dict[str, np.ndarray] = {}
    for ablation in ABLATIONS:
        for measure in ablated:
            found = importance.estimate(measure, ablation)
            arrays |= {f"{measure}_{ablation}": found.value, f"{measure}_{ablation}_error": found.error}
    return arrays | {measure.replace("-", "_"): importance.estimate(measure).value for measure in gradients}


def show_importance_table(importance: Importance, ablation: Ablation) -> None:
    """Show all numbers of all heads in an expander."""
    with st.expander("All numbers", icon=":material/table_chart:"):
        number = st.column_config.NumberColumn
        st.dataframe(
            _rows(importance, ablation),
            hide_index=True,
            column_config={
                "Accuracy lost, points": number(format="%.2f"),
                "± accuracy": number(format="%.2f"),
                "Could be chance": st.column_config.CheckboxColumn(help="Loss of accuracy, by an exact sign test."),
                **{name: number(format="%.4f") for name in ("Loss gained", "± loss", "Gradient", "Gradient, by layer")},
            },
            alt="Importance of every head",
        )
        st.caption("± is one standard error.")
