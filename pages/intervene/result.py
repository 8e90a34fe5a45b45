"""What a change did: the answer before and after, the maps behind it, and the accuracy on validation images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import streamlit as st
from PIL import Image

from pages.intervene.patch_controls import Tampering
from pages.ui import cached_models, link_state
from pages.ui.background import background, tasks
from pages.ui.downloads import downloads, plotly_config
from pages.ui.text import plain
from pages.ui.view_pickers import pick_token_layer_head
from pages.ui.widgets.map_grid import Selection, TileMaps, map_grid, scale_controls, tokens_before
from pages.ui.wording import term
from vit import plots
from vit.config import TransformerConfig
from vit.cost.counts import count
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
    from torch import nn

    from vit.explain.passes.sample import Sample

MEAN_IMAGES = 200
"""Means of heads are over so many validation images."""

MEASURED_IMAGES = 500
"""Accuracy is measured on so many."""

AUTO_FLOPS = 2e11
"""It is measured without being asked for where it takes fewer operations than this, a few seconds."""

COMPARED = {"before": "Before", "after": "After", "difference": "Difference"}
SAME_WAY = 0.9  # cosines from here on are called the same way
SEEN_POINTS = 0.05  # a change of fewer points of probability would be rounded away


@dataclass(frozen=True)
class Seen:
    """The image as the model saw it, ``(h w c)`` uint8, and what it made of it."""

    view: np.ndarray
    answer: ModelOutput


@st.cache_resource(
    max_entries=4, show_spinner=False, hash_funcs={Run: lambda run: f"{run.path}:{run.stamp}", Means: lambda _: None}
)
def see(
    run: Run, image: Image.Image, changes: str = "", tampering: Tampering | None = None, means: Means | None = None
) -> Seen:
    """What the run's model makes of an image, changed or not."""
    from vit.evaluation import model_view
    from vit.explain.interventions.head_changes import run_with_edits, to_edits

    model, info = cached_models.load_model(run)
    view = model_view(info, image)
    if tampering is not None:
        view = tampering.on(view, grid_of(run))
    config = run.config.model
    edits = to_edits(model, changes_from_text(changes, config.depth, config.num_heads), means) if changes else None
    return Seen(view, run_with_edits(model, cached_models.model_input(info, Image.fromarray(view)), edits))


CNN_GRID = (8, 8)


def grid_of(run: Run) -> tuple[int, int]:
    """The run's patches; a convolutional network has none, so its image is cut into 8 x 8."""
    config = run.config.model
    return (config.grid, config.grid) if isinstance(config, TransformerConfig) else CNN_GRID


def means_of(run: Run, changes: Sequence[Change]) -> Means | None:
    """The validation means, where a change needs them; None, and progress or a sentence, until they are there.

    Raises:
        DataError: the data set is gone.
    """
    from vit.explain.interventions.head_changes import validation_means
    from vit.explain.passes.sample import sample

    if not any(change.kind in NEED_MEANS for change in changes):
        return None
    model, info = cached_models.load_model(run)
    chosen = sample(model, info, cached_models.validation(run).val, MEAN_IMAGES)
    return background(
        ("head means", *cached_models.measured_on(run)),
        lambda progress: validation_means(model, chosen, progress),
        label=f"Average the heads over {MEAN_IMAGES} validation images",
        auto=True,
    )


# The answer


def sentence(names: Sequence[str], before: np.ndarray, after: np.ndarray) -> str:
    """What became of the class that was the answer, and which one is now."""
    was, now = int(before.argmax()), int(after.argmax())
    share, moved = f"{before[was]:.1%}", 100 * abs(after[was] - before[was]) >= SEEN_POINTS
    verb = "falls" if after[was] < before[was] else "rises"
    said = f"**{plain(names[was])}** {f'{verb} from {share} to {after[was]:.1%}' if moved else f'stays at {share}'}"
    if now != was:
        return f"{said}; now **{plain(names[now])}**, {after[now]:.1%}."
    return f"{said}; the answer stays." if moved else f"{said}."


def show_sentence(names: Sequence[str], before: np.ndarray, after: np.ndarray, *, changed: bool) -> None:
    """What the changes did to the answer, in a line."""
    best = int(before.argmax())
    said = (
        f"**{plain(names[best])}**, {before[best]:.1%}. Nothing is changed yet: click a head, or a patch of the image."
    )
    st.markdown(f"##### {sentence(names, before, after) if changed else said}")


def show_likeness(before: Seen, after: Seen, *, changed: bool) -> None:
    """What the changes did to the features of a network without classes, in a line."""
    from vit.explain.interventions.head_changes import output_similarity

    cosine = output_similarity(before.answer, after.answer)
    said = f"The features point {'nearly ' if cosine > 0.99 else ''}the way they did: a cosine of **{cosine:.3f}**."
    if cosine < SAME_WAY:
        said = f"The features have turned: the cosine with what they were is **{cosine:.3f}**."
    st.markdown(f"##### {said if changed else 'Nothing is changed yet: click a head, or a patch of the image.'}")


def show_answer(names: Sequence[str], before: np.ndarray, after: np.ndarray) -> None:
    """The probabilities as pairs of bars."""
    st.markdown("**The answer**")
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
def show_maps(run: Run, image_id: str, before: Seen, after: Seen, version: str, *, shuffled: bool) -> None:
    """Every head of every layer before, after, or the difference."""
    record, attention = before.answer.record, before.answer.attention
    depth, heads = attention.shape[:2]
    link_state.among("compared", COMPARED, "after")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        compared = st.segmented_control(
            "Maps",
            list(COMPARED),
            default="after",
            required=True,
            format_func=COMPARED.get,
            key="compared",
            bind="query-params",
            wrap=False,
        )
        others = tokens_before(run.config.model)
        token, layer, head = pick_token_layer_head(depth, heads, record.grid, others=others)
        scale_controls()
    if shuffled and compared == "difference":
        st.caption("The patches were shuffled, so the difference is between places, not between what lies there.")
    shown, signed = before if compared == "before" else after, compared == "difference"

    def maps(tokens: Sequence[int]) -> np.ndarray:
        rows = {name: _rows(one, tokens) for name, one in (("before", before), ("after", after))}
        return rows[compared][None] if compared in rows else (rows["after"] - rows["before"])[None]

    map_grid(
        TileMaps(
            maps=maps,
            image=Image.fromarray(shown.view),
            version=f"{version}/{compared}",
            grid=record.grid,
            prefix=record.prefix_tokens,
            pool=record.pool,
            row_names=[f"Layer {number}" for number in range(1, depth + 1)],
            column_names=[f"Head {number}" for number in range(1, heads + 1)],
            title="After less before" if signed else f"Attention, {COMPARED[compared].lower()}",
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
        picture=lambda: _picture(maps([token])[0, 0, :, :, record.prefix_tokens :], shown, record.grid, signed=signed),
        arrays=lambda: {"before": attention, "after": after.answer.attention},
    )


def _rows(seen: Seen, tokens: Sequence[int]) -> np.ndarray:
    """``(tokens depth h m)``."""
    return np.stack([token_rows(seen.answer.record, seen.answer.attention, token) for token in tokens])


def _picture(rows: np.ndarray, seen: Seen, grid: tuple[int, int], *, signed: bool) -> Image.Image:
    """Maps ``(depth h m)`` over the image as one picture, a row a layer."""
    maps = rows.reshape(*rows.shape[:2], *grid)
    depth, heads = maps.shape[:2]
    if not signed:
        return overlays.attention_grid(seen.view, maps, range(1, depth + 1), range(1, heads + 1))
    top = overlays.shared_top(np.abs(maps))
    pictures = [overlays.signed_overlay(seen.view, one, top=top) for one in maps.reshape(-1, *grid)]
    titles = [f"layer {layer}, head {head}" for layer in range(1, depth + 1) for head in range(1, heads + 1)]
    return overlays.titled_grid(pictures, titles, columns=heads)


# The accuracy


def show_accuracy(run: Run, changes: Sequence[Change], means: Means | None) -> None:
    """Validation accuracy with the changes of heads, against without.

    Raises:
        DataError: the data set is gone.
    """
    from vit.explain.heads.ablation import accuracy_lost, loss_gained, measure_outcome
    from vit.explain.interventions.head_changes import to_edits
    from vit.explain.passes.sample import sample

    st.subheader("On validation images", anchor=False, help=term("validation"))
    if not changes:
        st.caption("Change a head, and the accuracy with and without the change is measured here.")
        return
    model, info = cached_models.load_model(run)
    chosen = sample(model, info, cached_models.judged(run), MEASURED_IMAGES)
    edits = to_edits(model, changes, means)
    key = ("changed accuracy", *cached_models.measured_on(run), changes_to_text(changes))
    stop_others(key)
    found = background(
        key,
        lambda progress: (unchanged(model, chosen, key[1:-1]), measure_outcome(model, chosen, edits, progress)),
        label=f"Measure the accuracy on {chosen.images:,} images",
        auto=count(run.config.model).flops * chosen.images < AUTO_FLOPS,
    )
    if found is None:
        return
    before, after = found
    lost, gained = accuracy_lost(before, after), loss_gained(before, after)
    points, nats = signed(-100 * lost.value, 1), signed(gained.value, 3)
    with st.grid(4, min_column_width=150):
        st.metric("Accuracy before", f"{before.accuracy:.1%}", border=True)
        _metric("Accuracy after", f"{after.accuracy:.1%}", points and f"{points} points", "normal")
        st.metric("Loss before", f"{before.mean_loss:.3f}", border=True, help=term("cross-entropy"))
        _metric("Loss after", f"{after.mean_loss:.3f}", nats, "inverse")
    verdict = "which is within chance" if lost.by_chance else "which is more than chance"
    st.caption(
        f"On {chosen.images:,} validation images, with the heads as changed above and the images as they are. The "
        f"accuracy changes by {points or 0} ± {100 * lost.error:.1f} points (standard error of the paired difference), "
        f"{verdict}; the loss, which also sees answers that stay right and get less sure, by {nats or 0} ± "
        f"{gained.error:.3f}.".replace("-", "−")
    )


def signed(value: float, digits: int) -> str:
    """Such as "+0.3" or "-1.2"; empty where so few digits leave nothing."""
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
def unchanged(_model: "nn.Module", _sample: "Sample", on: tuple):
    """The outcome of the model as it is, once for each of :func:`pages.ui.cached_models.measured_on`."""
    from vit.explain.heads.ablation import measure_outcome

    return measure_outcome(_model, _sample)


def stop_others(key: tuple) -> None:
    """End what was being measured for earlier changes, so that a row of clicks does not queue up."""
    before = st.session_state.get("intervene_task")
    if before not in (None, key) and (task := tasks().find(before)) is not None and not task.finished:
        task.stop()
    st.session_state["intervene_task"] = key
