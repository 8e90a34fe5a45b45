"""Choose a run."""

from typing import Literal

import streamlit as st

from pages import access
from pages.ui import stand_in_images
from pages.ui.link_state import complete, say_not_found, stored
from pages.ui.run_doubts import first_run
from pages.ui.text import BADGE_COLUMNS, plain
from pages.ui.wording import term
from vit.classes import NO_CLASSES, ONE_OUTPUT, has_one_output
from vit.runs import Run, finetune

LAST = "last_run"
"""Session-state key of the run that was looked at last; the widget's own key may name a run without weights."""


def pick_run(*, width: int | Literal["stretch"] = "stretch") -> Run | None:
    """Show a select box with the runs that have weights, bound to ``?run=``, and return the chosen run.

    Without one in the link, it is the run that the visitor looked at last on any page, else the best finished one.

    Args:
        width: the width of the box.

    Returns:
        The run, or None if there is none; then a link to the Train page is shown.
    """
    found = {run.name: run for run in access.my_runs() if run.has_weights}
    linked = st.query_params.get("run")
    if not found:
        if linked is not None:
            say_not_found("run", _missing(linked), None)
        _show_no_run()
        return None
    asked, last = stored("run"), st.session_state.get(LAST)
    name = asked if asked in found else last if last in found else first_run(list(found.values())).name
    if linked is not None and linked not in found:
        say_not_found("run", f"{_missing(linked)} Showing **{plain(name, BADGE_COLUMNS)}** instead.", name)
    complete("run", name)
    chosen = st.selectbox("Run", list(found), index=None, key="run", bind="query-params", width=width, help=term("run"))
    run = found.get(chosen or name, found[name])
    st.session_state[LAST] = run.name
    if stand_in_images.are_needed(run.config):
        stand_in_images.choose()
    return run


def say_missing_run(key: str) -> None:
    """Say above the page if a link names a second run that cannot be shown.

    Args:
        key: the query parameter of the second run.
    """
    asked = stored(key)
    if asked is not None and not any(run.name == asked and run.has_weights for run in access.my_runs()):
        say_not_found(key, f"{_missing(asked)} Choose a run to compare with.", None)


def _missing(name: str) -> str:
    """Say why a run cannot be shown."""
    short = plain(name, BADGE_COLUMNS)
    if any(run.name == name for run in access.my_runs()):
        return f"The run **{short}** has no weights yet."
    return f"There is no run **{short}**."


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
