"""Choose a run."""

import streamlit as st

from pages import access
from pages.ui import stand_in_images
from pages.ui.link_state import complete, stored
from pages.ui.text import BADGE_COLUMNS, plain
from pages.ui.wording import term
from vit.classes import NO_CLASSES
from vit.runs import Run, finetune


def pick_run(*, width: int | str = "stretch") -> Run | None:
    """A select box over the runs with weights, bound to ``?run=``; None, and the way to Train, where there is none."""
    found = {run.name: run for run in access.my_runs() if run.has_weights}
    if not found:
        with st.container(border=True, horizontal_alignment="center"):
            st.markdown("#### No trained run yet", text_alignment="center")
            empty = [plain(run.name, BADGE_COLUMNS) for run in access.my_runs()]
            if empty:
                st.caption(
                    f"Without weights there is nothing to look at in {', '.join(empty[:3])}: let it train to the end "
                    "of an epoch, or start it over on the Train page.",
                    text_alignment="center",
                )
            st.caption("Train a model first; a small one takes a minute or two.", text_alignment="center")
            st.page_link("train/page.py", label="Train a model", icon=":material/model_training:")
        return None
    asked = stored("run")
    name = asked if asked in found else next(iter(found))
    if asked not in (None, name):
        missing = plain(asked, BADGE_COLUMNS)
        st.toast(f"There is no run {missing} with weights; this is {plain(name)}.", icon=":material/info:")
    complete("run", name)
    chosen = found.get(
        st.selectbox("Run", list(found), index=None, key="run", bind="query-params", width=width, help=term("run")),
        found[name],
    )
    if stand_in_images.are_needed(chosen.config):
        stand_in_images.choose()
    return chosen


def show_no_classes(run: Run, says: str = NO_CLASSES) -> None:
    """That the run's network has no classes, in a sentence, and the ways on."""
    from pages.ui.run_picker import fine_tune_link  # it brings the Train page's controls

    st.info(says, icon=":material/info:")
    with st.container(horizontal=True):
        link = {"run": run.name}
        st.page_link("attention/page.py", label="See its attention", icon=":material/visibility:", query_params=link)
        st.page_link("tokens/page.py", label="Look at its tokens", icon=":material/apps:", query_params=link)
        fine_tune_link(run)


def fine_tune_link(run: Run) -> None:
    """The way to the Train page's form that starts from a run; nothing where a training cannot."""
    if finetune.can_start_from(run):
        st.page_link(
            "train/page.py",
            label="Fine-tune",
            icon=":material/model_training:",
            query_params={"tune": run.name},  # which this session's former choices cannot overrule
        )
