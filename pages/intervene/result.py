"""Show the effect of a change: the answer before and after, the maps, and the accuracy on validation images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import streamlit as st
from PIL import Image

from pages.intervene.patch_controls import ImageChange
from pages.ui import cached_models, link_state
from pages.ui.background import background, tasks
from pages.ui.downloads import downloads, plotly_config
from pages.ui.text import plain
from pages.ui.view_pickers import pick_token_layer_head
from pages.ui.widgets.map_grid import Selection, TileMaps, is_smooth, map_grid, scale_controls
from pages.ui.wording import term
from vit import plots
from vit.config import TransformerConfig
from vit.config.words import SUMMARIES, tokens_before
from vit.cost.counts import count
from vit.data.files.images import prepared_image
from vit.explain import token_rows
from vit.explain.interventions.head_changes import (
    NEED_MEANS,
    Change,
    Means,
    ModelOutput,
    changes_from_text,
    changes_to_text,
)
from vit.pictures import overlays
from vit.runs import Run

if TYPE_CHECKING:  # torch comes with the first model
    from vit.explain.heads.ablation import Outcome
    from vit.explain.passes.sample import Sample
    from vit.networks import Network

MEAN_IMAGES = 200
"""Validation images over which head outputs and patterns are averaged."""

MEASURED_IMAGES = 500
"""Validation images on which the accuracy is measured."""

AUTO_FLOPS = 2e11
"""The accuracy is measured without a click when it takes fewer operations than this (a few seconds)."""

COMPARED = {"before": "Before", "after": "After", "difference": "Difference"}
SIMILAR_COSINE, NEARLY_EQUAL_COSINE = 0.9, 0.99
VISIBLE_POINTS = 0.05
"""Smallest change of a probability, in percentage points, that rounding to one decimal may show."""

NOTHING_CHANGED = "Nothing is changed yet. Click a head or a patch of the image."


@dataclass(frozen=True)
class ImageAnswer:
    """The image as the model receives it, ``(h w c)`` uint8, and the model's answer."""

    view: np.ndarray
    answer: ModelOutput


@st.cache_resource(
    max_entries=4, show_spinner=False, hash_funcs={Run: lambda run: f"{run.path}:{run.stamp}", Means: lambda _: None}
)
def answer_image(
    run: Run,
    image: Image.Image,
    changes: str = "",
    image_change: ImageChange | None = None,
    means: Means | None = None,
) -> ImageAnswer:
    """Run the run's model on an image, with the given changes of heads and of the image.

    Args:
        run: the run whose model answers.
        image: the original image.
        changes: changes of heads, as the link writes them.
        image_change: patches to cover and shuffle.
        means: the means over validation images, for changes that need them.
    """
    from vit.evaluation import model_view
    from vit.explain.interventions.head_changes import run_with_edits, to_edits

    model, info = cached_models.load_model(run)
    view = model_view(info, image)
    if image_change is not None:
        view = image_change.apply(view, patch_grid(run))
    config, edits = run.config.model, None
    if changes and isinstance(config, TransformerConfig):
        edits = to_edits(model, changes_from_text(changes, config.depth, config.num_heads), means)
    return ImageAnswer(view, run_with_edits(model, cached_models.model_input(info, prepared_image(view)), edits))


CNN_GRID = (8, 8)


def patch_grid(run: Run) -> tuple[int, int]:
    """Return rows and columns of the run's patches; an image for a convolutional network is cut into 8 x 8 squares."""
    config = run.config.model
    return (config.grid, config.grid) if isinstance(config, TransformerConfig) else CNN_GRID


def head_means(run: Run, changes: Sequence[Change]) -> Means | None:
    """Return the means over validation images if a change needs them, and show progress until they are computed.

    Returns:
        None if no change needs them, or while they are being computed.

    Raises:
        DataError: the data set is gone.
    """
    from vit.explain.interventions.head_changes import validation_means
    from vit.explain.passes.sample import sample

    if not any(change.kind in NEED_MEANS for change in changes):
        return None
    model, info = cached_models.load_model(run)
    split = cached_models.validation(run).val
    assert split is not None  # it is the split that validation() loads
    chosen = sample(model, info, split, MEAN_IMAGES)
    return background(
        ("head means", *cached_models.measured_on(run)),
        lambda progress: validation_means(model, chosen, progress),
        label=f"Average the heads over {MEAN_IMAGES} validation images",
        auto=True,
    )


# The answer


def answer_change(names: Sequence[str], before: np.ndarray, after: np.ndarray) -> str:
    """Return a sentence on how the probability of the former top class changed, and which class is the top class now.

    Args:
        names: the classes.
        before: class probabilities ``(k,)`` before the change.
        after: class probabilities ``(k,)`` after it.
    """
    was, now = int(before.argmax()), int(after.argmax())
    share, moved = f"{before[was]:.1%}", 100 * abs(after[was] - before[was]) >= VISIBLE_POINTS
    verb = "falls" if after[was] < before[was] else "rises"
    first = f"**{plain(names[was])}** {f'{verb} from {share} to {after[was]:.1%}' if moved else f'stays at {share}'}"
    if now != was:
        return f"{first}; the answer is now **{plain(names[now])}**, {after[now]:.1%}."
    return f"{first}; the answer does not change." if moved else f"{first}."


def show_answer_change(names: Sequence[str], before: np.ndarray, after: np.ndarray, *, changed: bool) -> None:
    """Show in one line how the changes affect the answer."""
    best = int(before.argmax())
    unchanged = f"**{plain(names[best])}**, {before[best]:.1%}. {NOTHING_CHANGED}"
    st.markdown(f"##### {answer_change(names, before, after) if changed else unchanged}")


def show_feature_change(before: ImageAnswer, after: ImageAnswer, *, changed: bool) -> None:
    """Show in one line how the changes affect the features of a network without classes."""
    from vit.explain.interventions.head_changes import output_similarity

    cosine = output_similarity(before.answer, after.answer)
    if cosine >= NEARLY_EQUAL_COSINE:
        sentence = f"The features hardly change: cosine similarity to the original **{cosine:.3f}**."
    elif cosine >= SIMILAR_COSINE:
        sentence = f"The features change a little: cosine similarity to the original **{cosine:.3f}**."
    else:
        sentence = f"The features change a lot: cosine similarity to the original **{cosine:.3f}**."
    st.markdown(f"##### {sentence if changed else NOTHING_CHANGED}")


def show_probabilities(names: Sequence[str], before: np.ndarray, after: np.ndarray) -> None:
    """Show class probabilities before and after the changes as pairs of bars."""
    st.markdown("**Answer**")
    st.plotly_chart(
        plots.probability_change(names, before, after),
        key="intervene_bars",
        config=plotly_config("before-and-after"),
        alt="Class probabilities before and after the changes",
    )
    downloads(
        "before-and-after",
        key="intervene_answer",
        table=lambda: [
            {"class": name, "before": float(one), "after": float(other)}
            for name, one, other in zip(names, before, after, strict=True)
        ],
    )


# The maps


@st.fragment
def show_maps(
    run: Run, image_id: str, before: ImageAnswer, after: ImageAnswer, version: str, *, shuffled: bool
) -> None:
    """Show the maps of all heads before or after the changes, or the difference.

    Args:
        run: the run.
        image_id: names the image in downloads.
        before: the answer without changes, of a transformer.
        after: the answer with them.
        version: identifies the maps for the browser's cache.
        shuffled: whether the patches were shuffled.
    """
    config, record, attention = run.config.model, before.answer.record, before.answer.attention
    attention_after = after.answer.attention
    assert isinstance(config, TransformerConfig)
    assert record is not None
    assert attention is not None
    assert attention_after is not None
    depth, heads = attention.shape[:2]
    link_state.among("compared", COMPARED, "after")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        compared = st.segmented_control(
            "Maps",
            list(COMPARED),
            default="after",
            required=True,
            format_func=COMPARED.__getitem__,
            key="compared",
            bind="query-params",
            wrap=False,
        )
        others = tokens_before(config)
        scale_controls()
        token, layer, head = pick_token_layer_head(
            depth, heads, record.grid, zero=SUMMARIES[record.pool], others=others
        )
    if shuffled and compared == "difference":
        st.caption("The patches were shuffled, so the difference compares positions, which now show other patches.")
    shown, signed = before if compared == "before" else after, compared == "difference"

    def maps(tokens: Sequence[int]) -> np.ndarray:
        rows = {name: _token_rows(one, tokens) for name, one in (("before", before), ("after", after))}
        return rows[compared][None] if compared in rows else (rows["after"] - rows["before"])[None]

    map_grid(
        TileMaps(
            maps=maps,
            image=prepared_image(shown.view),
            version=f"{version}/{compared}",
            grid=record.grid,
            prefix=record.prefix_tokens,
            pool=record.pool,
            row_names=[f"Layer {number}" for number in range(1, depth + 1)],
            column_names=[f"Head {number}" for number in range(1, heads + 1)],
            title="After minus before" if signed else f"Attention, {COMPARED[compared].lower()}",
            quantity="change" if signed else "attention",
            signed=signed,
            shares=not signed,
            before=others,
        ),
        Selection(token=token, row=layer, column=head),
        key="intervene_maps",
    )
    downloads(
        f"{run.name}-{image_id}-maps-{compared}",
        key="intervene_maps",
        picture=lambda: _maps_image(
            maps([token])[0, 0, :, :, record.prefix_tokens :], shown, record.grid, signed=signed
        ),
        arrays=lambda: {"before": attention, "after": attention_after},
    )


def _token_rows(image_answer: ImageAnswer, tokens: Sequence[int]) -> np.ndarray:
    """Return what the tokens attend to in every head, ``(tokens depth h m)``."""
    record, attention = image_answer.answer.record, image_answer.answer.attention
    assert record is not None
    assert attention is not None
    return np.stack([token_rows(record, attention, token) for token in tokens])


def _maps_image(rows: np.ndarray, shown: ImageAnswer, grid: tuple[int, int], *, signed: bool) -> Image.Image:
    """Draw maps ``(depth h m)`` over the image as one picture, one row per layer."""
    maps = rows.reshape(*rows.shape[:2], *grid)
    depth, heads = maps.shape[:2]
    if not signed:
        return overlays.attention_grid(shown.view, maps, range(1, depth + 1), range(1, heads + 1), smooth=is_smooth())
    top = overlays.shared_top(np.abs(maps))
    pictures = [
        overlays.signed_overlay(shown.view, one, top=top, smooth=is_smooth()) for one in maps.reshape(-1, *grid)
    ]
    titles = [f"layer {layer}, head {head}" for layer in range(1, depth + 1) for head in range(1, heads + 1)]
    return overlays.titled_grid(pictures, titles, columns=heads)


# The accuracy


def show_accuracy(run: Run, changes: Sequence[Change], means: Means | None) -> None:
    """Show validation accuracy and loss with and without the changes of heads.

    Args:
        run: the run.
        changes: the changes of heads.
        means: the means over validation images, for changes that need them.

    Raises:
        DataError: the data set is gone.
    """
    from vit.explain.heads.ablation import accuracy_lost, loss_gained, measure_outcome
    from vit.explain.interventions.head_changes import to_edits
    from vit.explain.passes.sample import sample

    st.subheader("On validation images", anchor=False, help=term("validation"))
    if not changes:
        st.caption("Change a head to measure the accuracy with and without the change.")
        return
    model, info = cached_models.load_model(run)
    chosen = sample(model, info, cached_models.labelled_for(run), MEASURED_IMAGES)
    edits = to_edits(model, changes, means)
    key = ("changed accuracy", *cached_models.measured_on(run), changes_to_text(changes))
    stop_outdated_task(key)
    found = background(
        key,
        lambda progress: (unchanged_outcome(model, chosen, key[1:-1]), measure_outcome(model, chosen, edits, progress)),
        label=f"Measure the accuracy on {chosen.images:,} images",
        auto=count(run.config.model).flops * chosen.images < AUTO_FLOPS,
    )
    if found is None:
        return
    before, after = found
    lost, gained = accuracy_lost(before, after), loss_gained(before, after)
    points, nats = signed_number(-100 * float(lost.value), 1), signed_number(float(gained.value), 3)
    with st.grid(4, min_column_width=150):
        st.metric("Accuracy before", f"{before.accuracy:.1%}", border=True)
        _metric("Accuracy after", f"{after.accuracy:.1%}", points and f"{points} points", "normal")
        st.metric("Loss before", f"{before.mean_loss:.3f}", border=True, help=term("cross-entropy"))
        _metric("Loss after", f"{after.mean_loss:.3f}", nats, "inverse")
    verdict = "which is within chance" if lost.by_chance else "which is more than chance"
    st.caption(
        f"On {chosen.images:,} validation images, with the head changes above and unchanged images. The accuracy "
        f"changes by {points or 0} ± {100 * lost.error:.1f} points (standard error of the paired difference), "
        f"{verdict}. The loss changes by {nats or 0} ± {gained.error:.3f}; it also reflects answers that stay correct "
        "and become less confident.".replace("-", "−")
    )


def signed_number(value: float, digits: int) -> str:
    """Format a number with its sign, such as "+0.3" or "-1.2"; return an empty string if it rounds to zero."""
    text = f"{value:+.{digits}f}"
    return text if float(text) else ""


def _metric(label: str, value: str, change: str, colours: Literal["normal", "inverse"]) -> None:
    st.metric(
        label,
        value,
        change or "no change",
        delta_color=colours if change else "off",
        delta_arrow="auto" if change else "off",
        border=True,
    )


@st.cache_data(max_entries=8, show_spinner=False)
def unchanged_outcome(_model: "Network", _sample: "Sample", on: tuple) -> "Outcome":
    """Measure the unchanged model, cached by :func:`pages.ui.cached_models.measured_on`."""
    from vit.explain.heads.ablation import measure_outcome

    return measure_outcome(_model, _sample)


def stop_outdated_task(key: tuple) -> None:
    """Stop the measurement of earlier changes, so that repeated clicks do not queue up."""
    before = st.session_state.get("intervene_task")
    if before not in (None, key) and (task := tasks().find(before)) is not None and not task.finished:
        task.stop()
    st.session_state["intervene_task"] = key
