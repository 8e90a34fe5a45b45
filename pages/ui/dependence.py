"""Attention dependence: what is known of a run, how to measure it, and the sentence where it is low.

See :mod:`vit.runs.dependence`.
"""

import streamlit as st

from pages import access
from pages.ui import cached_models, stand_in_images
from pages.ui.background import Progress, background, tasks
from pages.ui.text import plain
from pages.ui.wording import term
from vit.config import TransformerConfig
from vit.cost.counts import count
from vit.runs import Run
from vit.runs.dependence import Dependence, keep_dependence, read_dependence

PART = "Attention dependence"
"""The part of the Heads page that shows it."""

AUTO_FLOPS = 1.2e12
"""Measurements below this many operations, which take some seconds, start without a click."""


def known_dependence(run: Run) -> Dependence | None:
    """Return what was measured at the end of the training or since; None if nothing was."""
    if not isinstance(run.config.model, TransformerConfig):
        return None
    stored = read_dependence(run)
    if stored is not None:
        return stored
    task = tasks().find(_key(run))
    return task.result if task is not None and task.finished and not task.failed else None


def note_low_dependence(run: Run, *, named: bool = False) -> None:
    """Show one line if the run's answer hardly depends on its attention; pages that show maps call this.

    Args:
        run: the run whose maps are shown.
        named: begin with the run's name, where the maps of several runs are shown.
    """
    found = known_dependence(run)
    if found is not None and found.low:
        name = f"**{plain(run.name)}**: " if named else ""
        st.warning(name + found.warning, icon=":material/info:")


def show_dependence(run: Run) -> None:
    """Show the attention dependence, or that it is not measured, and a link to the page that measures it."""
    if not isinstance(run.config.model, TransformerConfig):
        return
    note_low_dependence(run)
    found = known_dependence(run)
    value, label = ("not measured", "Measure it") if found is None else (found.text, "All figures and every head")
    link = {"run": run.name, "view": PART}
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"{PART}: **{value}**", help=term("attention dependence"), width="content")
        st.page_link("heads/page.py", label=label, icon=":material/hub:", query_params=link)


def measure_dependence(run: Run, config: TransformerConfig) -> Dependence | None:
    """Return the attention dependence; until it is measured, show the start button or the progress.

    A new measurement is stored in the run's folder if the visitor may change the run and the images are its own.

    Raises:
        UserError: the run or its images cannot be loaded.
    """
    found = known_dependence(run)
    if found is not None:
        return found
    from vit.explain.heads.dependence import IMAGES, attention_dependence, choose_images, passes
    from vit.explain.passes.memory import require_room

    require_room(config)
    model, info = cached_models.load_model(run)
    split, stamp = cached_models.labelled_for(run), run.stamp
    keep = access.may_change(run) and not stand_in_images.are_needed(run.config)

    def work(progress: Progress) -> Dependence:
        result = attention_dependence(model, choose_images(model, info, split), progress=progress)
        if keep:
            keep_dependence(run, result, stamp)
        return result

    images = min(IMAGES, len(split))
    return background(
        _key(run),
        work,
        label=f"Measure on {images:,} images",
        auto=count(config).flops * images * passes(config) < AUTO_FLOPS,
    )


def _key(run: Run) -> tuple[str, str, int, str]:
    return ("attention dependence", *cached_models.measured_on(run))
