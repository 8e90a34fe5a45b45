"""Choose a run."""

from typing import Literal

import streamlit as st

from pages import access
from pages.ui import stand_in_images
from pages.ui.link_state import complete, stored
from pages.ui.text import BADGE_COLUMNS, plain
from pages.ui.wording import term
from vit.classes import NO_CLASSES, ONE_OUTPUT, has_one_output
from vit.runs import Run, finetune


def pick_run(*, width: int | Literal["stretch"] = "stretch") -> Run | None:
    """Show a select box with the runs that have weights, bound to ``?run=``, and return the chosen run.

    Args:
        width: the width of the box.

    Returns:
        The run, or None if there is none; then a link to the Train page is shown.
    """
    found = {run.name: run for run in access.my_runs() if run.has_weights}
    if not found:
        _show_no_run()
        return None
    asked = stored("run")
    name = asked if asked in found else next(iter(found))
    if asked not in (None, name):
        missing = plain(asked, BADGE_COLUMNS)
        st.toast(f"There is no run {missing} with weights. Showing {plain(name)} instead.", icon=":material/info:")
    complete("run", name)
    chosen = st.selectbox("Run", list(found), index=None, key="run", bind="query-params", width=width, help=term("run"))
    run = found.get(chosen or name, found[name])
    if stand_in_images.are_needed(run.config):
        stand_in_images.choose()
    return run


def _show_no_run() -> None:
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown("#### No trained run yet", text_alignment="center")
        empty = [plain(run.name, BADGE_COLUMNS) for run in access.my_runs()]
        if empty:
            st.caption(
                f"These runs have no weights yet: {', '.join(empty[:3])}. A run has weights after its first epoch; "
                "start it again on the Train page.",
                text_alignment="center",
            )
        st.caption("Train a model first.", text_alignment="center")
        st.page_link("train/page.py", label="Train a model", icon=":material/model_training:")


def show_no_classes(run: Run, says: str = NO_CLASSES) -> None:
    """Show that the run's network has no classes, and links to the pages that work without them.

    Args:
        run: the run.
        says: the message.
    """
    st.info(ONE_OUTPUT if has_one_output(run.config.model) else says, icon=":material/info:")
    with st.container(horizontal=True):
        link = {"run": run.name}
        st.page_link("attention/page.py", label="See its attention", icon=":material/visibility:", query_params=link)
        st.page_link("tokens/page.py", label="See its tokens", icon=":material/apps:", query_params=link)
        fine_tune_link(run)


def fine_tune_link(run: Run) -> None:
    """Show a link to the Train page with the form for fine-tuning a run, if the run can be fine-tuned."""
    if finetune.can_start_from(run):
        st.page_link(
            "train/page.py",
            label="Fine-tune",
            icon=":material/model_training:",
            query_params={"tune": run.name},  # unlike "start", no earlier choice overrides it
        )
