"""Labels and borders of heads: the role of each, and how much accuracy is lost without it."""

from typing import TYPE_CHECKING

import streamlit as st

from pages.heads.help import step_words
from pages.heads.portraits import (
    default_count,
    measure_portraits,
    measured_portraits,
    portraits_key,
    validation_split,
)
from pages.ui import cached_models
from pages.ui.background import tasks
from pages.ui.dependence import known_dependence
from pages.ui.widgets.map_grid import TileNote
from vit import plots
from vit.config import TransformerConfig
from vit.config.words import summary_name
from vit.errors import UserError
from vit.runs import Run
from vit.runs.dependence import Dependence, HeadDependence

if TYPE_CHECKING:  # torch comes with the first model
    from vit.explain.heads.portrait_result import Portraits

OBJECT_TIMES = 2.0
"""A head is labelled with its attention on the object if it is at least this many times that of a uniform map."""

OBJECT = "object"
"""The label of a head with much attention on the object, before the share."""

STEPS = {
    (0, 0): "own patch",
    (0, -1): "previous patch",
    (0, 1): "next patch",
    (-1, 0): "patch above",
    (1, 0): "patch below",
}
"""Labels of heads that attend to the patch at one step, by rows down and columns to the right."""

CLEAR = ("sink", "positional", "local")
"""Names of heads that are shown even if much of the attention is on the object."""

NAME_HELP = (
    "Measure over validation images what the patches attend to in every head: nearby patches, the same places, what "
    "depends on the content, or nearly everything. The page Heads shows all figures."
)


def head_notes(run: Run, config: TransformerConfig) -> tuple[list[TileNote], list[str]]:
    """Return a note for every head, row by row, and sentences that explain the notes; empty if nothing is known.

    Labels come from the portraits of the heads, if they were measured for these weights, and from the share of the
    attention on the object; borders from the accuracy that is lost without a head. The last two are stored with the
    attention dependence at the end of a training.
    """
    dependence, portraits = known_dependence(run), _known_portraits(run)
    if dependence is None and portraits is None:
        return [], []
    heads = [(layer, head) for layer in range(config.depth) for head in range(config.num_heads)]
    notes = [_note(dependence, portraits, at, summary_name(config)) for at in heads]
    return notes, _key(dependence, portraits, notes, summary_name(config))


def first_head(run: Run) -> tuple[int, int]:
    """Return the layer and head, from 1, that are shown until one is chosen.

    It is the head with the largest share of its attention on the object, if that was measured, otherwise the first one:
    its map is the easiest to read.
    """
    dependence = known_dependence(run)
    if dependence is None or dependence.best_inside is None:
        return 1, 1
    shares = {
        (layer, head): one.inside or 0.0
        for layer, heads in enumerate(dependence.layers, start=1)
        for head, one in enumerate(heads, start=1)
    }
    return max(shares, key=lambda at: shares[at])


def offer_names(run: Run) -> None:
    """Show a button that measures the portraits of the heads, then the progress; nothing once they are measured."""
    from vit.explain.heads.portraits import require_attention_rows

    try:
        require_attention_rows(cached_models.load_model(run)[0])
        count = default_count(len(validation_split(run)))
        if _known_portraits(run) is not None:
            return
        if tasks().find(portraits_key(run, count)) is None and not st.button(
            f"Name the heads ({count:,} images)", key="name_heads", icon=":material/label:", help=NAME_HELP
        ):
            return
        measure_portraits(run, count, label="Name the heads", auto=True)
    except UserError:  # these heads have no portraits, or the images are gone: the page Heads says so
        return


def _known_portraits(run: Run) -> "Portraits | None":
    try:
        return measured_portraits(run)
    except UserError:
        return None


def _note(dependence: Dependence | None, portraits: "Portraits | None", at: tuple[int, int], summary: str) -> TileNote:
    """Return the note of one head; ``at`` is its layer and head, from 0."""
    role, about, border = "", [], 0.0
    name = None
    if portraits is not None:
        name = str(portraits.names[at])
        role, sentence = describe_role(portraits, at)
        about.append(sentence)
    if dependence is not None:
        head = dependence.layers[at[0]][at[1]]
        if head.inside is not None and dependence.object_area:
            about.append(
                f"Object: {head.inside:.0%} of the attention of the {summary} to patches lies on the object, which "
                f"covers {dependence.object_area:.0%} of an image (mean of {dependence.images:,} images)."
            )
            if name not in CLEAR and head.inside >= OBJECT_TIMES * dependence.object_area:
                role = f"{OBJECT} {head.inside:.0%}"
        about.append(_cost(head, dependence.images))
        if head.low > 0:
            border = head.lost / max(one.lost for layer in dependence.layers for one in layer)
    return TileNote(role=role, border=border, about=about)


def describe_role(portraits: "Portraits", at: tuple[int, int]) -> tuple[str, str]:
    """Return a short label for a head's role and a sentence with the figures that it is based on.

    Args:
        portraits: the portraits of all heads.
        at: layer and head, from 0.
    """
    from vit.explain.heads.portrait_result import PLACE_SHARE

    name = str(portraits.names[at])
    over = f"(mean over {len(portraits.images):,} images)"
    match name:
        case "sink":
            said = f"{portraits.sink_share[at]:.0%} of the attention of patches goes to tokens with small values {over}"
            return "sink", f"Sink: {said}, so it adds little."
        case "positional" if max(portraits.offset_share[at], portraits.key_share[at]) >= PLACE_SHARE:
            if portraits.offset_share[at] >= portraits.key_share[at]:
                step = portraits.offset(*at)
                to = "the patch itself" if step == (0, 0) else f"the patch {step_words(*step)}"
                label, share = STEPS.get((step.rows, step.columns), "fixed step"), portraits.offset_share[at]
            else:
                key, (rows, columns) = int(portraits.key[at]), portraits.grid
                corner = key in (0, columns - 1, (rows - 1) * columns, rows * columns - 1)
                to = plots.token_names(portraits.grid, ())[key]
                label, share = "corner patch" if corner else "fixed patch", portraits.key_share[at]
            return label, f"Positional: {share:.0%} of the attention of a patch goes to {to} {over}."
        case "local":
            near = f"the mean distance is {portraits.distance_share[at]:.0%} of that of uniform attention {over}"
            return "local", f"Local: {near}."
        case "global":
            return "global", f"Global: nearly uniform, {portraits.entropy_share[at]:.0%} of the highest entropy {over}."
        case _:
            same = f"{portraits.by_place[at]:.0%} of what differs from uniform attention is the same in every image"
            return name, f"{name.capitalize()}: {same} {over}."


def _cost(head: HeadDependence, images: int) -> str:
    """Return what the accuracy loses without a head, in a sentence."""
    interval = f"{100 * head.low:.1f} to {100 * head.high:.1f}".replace("-", "\N{MINUS SIGN}")
    fall = f"falls by {100 * head.lost:.1f} points" if head.low > 0 else "does not fall measurably"
    return f"Without this head alone the accuracy {fall} (95% interval of the fall {interval}, {images:,} images)."


def _key(
    dependence: Dependence | None, portraits: "Portraits | None", notes: list[TileNote], summary: str
) -> list[str]:
    """Return what the labels and the borders mean, and that they do not depend on the image on the page."""
    found = []
    shown = next((note.role for note in notes if note.role.startswith(OBJECT)), None)
    if dependence is not None and shown is not None:
        found.append(
            f"{shown}: share of the {summary}'s attention on the object, mean of {dependence.images:,} images."
        )
    if portraits is not None:
        found.append(f"Other labels: what patches attend to in {len(portraits.images):,} images, as on Heads.")
    if dependence is not None and not dependence.needed_heads:
        found.append("No head has a border: the accuracy does not fall measurably without any single one.")
    elif dependence is not None:
        found.append("Orange border: the accuracy falls without this head (95% interval above 0). Thicker: more.")
    found.append("All of these were measured over many images and are the same for every image on this page.")
    return found
