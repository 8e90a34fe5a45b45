"""Parallel coordinates of runs: their settings as axes, and their accuracy as the last one."""

from collections.abc import Callable, Sequence

import streamlit as st

from pages.ui.widgets.component import register_widget
from vit import plots
from vit.pictures.colours import PALETTE
from vit.runs.groups import Result, varied_settings
from vit.runs.parallel import parallel_axes
from vit.support.untrusted_text import shown

AXES_MAX = 6
"""Settings that are shown at first; more can be chosen."""

_EVENTS = "parallel_events"
"""The key of the number of the last event of each widget, by widget."""

_component = register_widget("parallel_coordinates")


def parallel_coordinates(
    results: Sequence[Result],
    *,
    key: str,
    chosen: Sequence[str] = (),
    on_choose: Callable[[list[str]], None] | None = None,
) -> None:
    """Draw a line for each run over the settings in which the runs differ, with a heading.

    Nothing is drawn for less than two runs, or if they differ in no setting.

    Args:
        results: the runs, on one data set.
        key: the key of the widget.
        chosen: the compared runs, in the order of their colours.
        on_choose: called with the names of the runs to compare; None only draws them.
    """
    varied = varied_settings([one.config for one in results]) if len(results) > 1 else []
    if not varied:
        return
    st.markdown("**All settings at once**")
    names = varied
    if len(varied) > AXES_MAX:
        axes_key = f"{key}_axes"
        if not set(st.session_state.get(axes_key, [])) <= set(varied):
            del st.session_state[axes_key]
        names = st.multiselect(
            "Axes",
            varied,
            default=varied[:AXES_MAX],
            key=axes_key,
            help="Settings in which the runs differ. The accuracy is always the last axis.",
            wrap=True,
        )
        names = [name for name in varied if name in names]
    events = st.session_state.setdefault(_EVENTS, {})
    known = {one.name for one in results} | set(chosen)

    def take() -> None:
        event = st.session_state[key].choice
        seq, asked = event.get("seq"), event.get("names")
        events[key] = max(events.get(key, 0), seq if isinstance(seq, int) else 0)
        if on_choose is not None and isinstance(asked, list):
            picked = [name for name in dict.fromkeys(map(str, asked)) if name in known]
            on_choose(picked[: plots.COMPARED_MAX])

    _component(
        key=key,
        data={
            "label": f"Settings and accuracy of {len(results)} runs as lines over {len(names) + 1} axes.",
            "axes": [
                {
                    "title": axis.title,
                    "ticks": [[tick.at, shown(tick.text)] for tick in axis.ticks],
                    "places": axis.places,
                }
                for axis in parallel_axes(results, names)
            ],
            "runs": [
                {"name": one.name, "title": shown(one.name), "accuracy": one.accuracy, "seed": one.config.training.seed}
                for one in results
            ],
            "chosen": list(chosen),
            "colours": list(PALETTE.values()),
            "most": plots.COMPARED_MAX if on_choose else 0,
            "seq": events.get(key, 0),
        },
        on_choice_change=take,
    )
