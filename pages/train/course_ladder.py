"""The ladder from the course network to the textbook: seven runs that differ only in the mended departures."""

from dataclasses import replace
from itertools import count as numbers

import streamlit as st

from pages import access
from pages.train.choices import Space, Values
from pages.train.controls import MENDS
from pages.train.cost import cost_of
from pages.ui.text import plain, show_error
from pages.ui.wording import count, duration, size
from vit import runs
from vit.config import DEPARTURES, RunConfig
from vit.cost.estimate import total_seconds
from vit.errors import SettingsError, UserError
from vit.paths import checkpoints_dir
from vit.support.files import free_bytes

RUNGS = range(len(DEPARTURES) + 1)


def ladder(space: Space, values: Values) -> list[RunConfig]:
    """Return the settings of each rung; all other settings are those of the controls.

    Raises:
        SettingsError: a rung cannot be built, or does not fit the memory.
    """
    configs = []
    for rung in RUNGS:
        base = space.base.model_copy(update={"mended": DEPARTURES[:rung]})
        own = replace(space, base=base)
        configs.append(own.config(values))
        if not own.fits(values):
            what = "the memory of the device" if space.demo is None else "the limits of this demo"
            raise SettingsError(f"Rung {rung} does not fit {what}: choose fewer patches, or fewer heads.")
    return configs


def rung_names(configs: list[RunConfig], name: str | None) -> list[str]:
    """Return the names of the runs: the given or suggested name, a number if one is taken, and the rung.

    Raises:
        RunError: a run cannot have this name.
    """
    base = name or runs.suggest_name(configs[0])
    for number in numbers(1):
        stem = base if number == 1 else f"{base}-{number}"
        names = [f"{stem}-rung{rung}" for rung in RUNGS]
        if not any(map(access.is_taken, names)):
            return [runs.check_name(each) for each in names]
    raise AssertionError("unreachable: numbers never end")


def offer_ladder(space: Space, values: Values, name: str | None) -> None:
    """Offer to queue the seven runs and show what they cost; say so if there is no room for them."""
    room = access.room()
    if room is not None and room < len(RUNGS):
        st.caption(
            f":material/stairs: The ladder from the course network to the textbook takes {len(RUNGS)} runs; "
            f"you can start {room or 'none'} on this demo now."
        )
        return
    with st.popover("Queue all seven rungs", icon=":material/stairs:", width="stretch"):
        try:
            configs = ladder(space, values)
            names = rung_names(configs, name)
        except UserError as error:
            show_error(error)
            return
        costs = [cost_of(config, space.info) for config in configs]
        st.markdown(
            "Trains seven runs one after the other with the settings of this page. Each run mends one more departure. "
            "The Runs page then shows what each step changes."
        )
        st.table(
            {
                "Rung": [str(rung) for rung in RUNGS],
                "Mended": ["Nothing (course network)", *(f"… and {MENDS[name]}" for name in DEPARTURES)],
                "Parameters": [count(cost.parameters) for cost in costs],
                "Time": ["–" if cost.seconds is None else duration(cost.seconds) for cost in costs],
            },
            hide_index=True,
        )
        need, free = sum(cost.disk_bytes for cost in costs), free_bytes(checkpoints_dir())
        seconds = total_seconds(cost.seconds for cost in costs)
        time = "" if seconds is None else f"about **{duration(seconds)}** and "
        st.markdown(
            f"In total {time}**{size(need)}** of disk space ({size(free)} free). "
            f"The runs are called {plain(names[0])} to {plain(names[-1])}."
        )
        if need > free:
            st.warning("There is not enough disk space: delete some runs first.", icon=":material/hard_drive:")
        if st.button("Queue seven runs", type="primary", key="queue-ladder", disabled=need > free):
            queue(configs, names)


def queue(configs: list[RunConfig], names: list[str]) -> None:
    """Start all runs in order, and follow the first."""
    try:
        for config, name in zip(configs, names, strict=True):
            access.start(config, name)
    except UserError as error:
        show_error(error)
        return
    st.session_state["started"] = names[0]
    st.rerun()
