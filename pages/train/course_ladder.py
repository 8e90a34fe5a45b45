"""From course to textbook, rung by rung: seven runs that differ only in how many departures are mended."""

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
from vit.errors import SettingsError, UserError
from vit.paths import checkpoints_dir
from vit.support.files import free_bytes

RUNGS = range(len(DEPARTURES) + 1)


def ladder(space: Space, values: Values) -> list[RunConfig]:
    """The run of each rung, all else as the controls are set.

    Raises:
        SettingsError: a rung cannot be built, or does not fit the memory; which it is stands in the sentence.
    """
    configs = []
    for rung in RUNGS:
        base = space.base.model_copy(update={"mended": DEPARTURES[:rung]})
        own = replace(space, base=base)
        configs.append(own.config(values))
        if not own.fits(values):
            what = "the device's memory" if space.demo is None else "the bounds of this demo"
            raise SettingsError(f"Rung {rung} does not fit {what}: choose fewer patches, or fewer heads.")
    return configs


def rung_names(configs: list[RunConfig], name: str | None) -> list[str]:
    """What the runs are called: the given or suggested name, numbered where one of them is taken, and the rung.

    Raises:
        RunError: a run cannot be called so.
    """
    base = name or runs.suggest_name(configs[0])
    for number in numbers(1):
        stem = base if number == 1 else f"{base}-{number}"
        names = [f"{stem}-rung{rung}" for rung in RUNGS]
        if not any(map(access.is_taken, names)):
            return [runs.check_name(each) for each in names]
    raise AssertionError  # the numbers have no end


def offer_ladder(space: Space, values: Values, name: str | None) -> None:
    """A button that opens on what the seven runs cost, and on the button that queues them; a sentence without room."""
    room = access.room()
    if room is not None and room < len(RUNGS):
        st.caption(
            f":material/stairs: The ladder from course to textbook takes {len(RUNGS)} runs; "
            f"on this demo you can start {room or 'none'} now."
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
            "Seven runs, one after the other, with the settings of this page; each mends one departure more. "
            "The Runs page then shows what each was worth."
        )
        st.table(
            {
                "Rung": [str(rung) for rung in RUNGS],
                "Mended": ["Nothing: the course network", *(f"… and {MENDS[name]}" for name in DEPARTURES)],
                "Parameters": [count(cost.parameters) for cost in costs],
                "Time": [duration(cost.seconds) for cost in costs],
            },
            hide_index=True,
        )
        need, free = sum(cost.disk_bytes for cost in costs), free_bytes(checkpoints_dir())
        time = duration(sum(cost.seconds for cost in costs))
        st.markdown(
            f"Together about **{time}** and **{size(need)}** of disk; {size(free)} are free. "
            f"They are called {plain(names[0])} to {plain(names[-1])}."
        )
        if need > free:
            st.warning("The disk does not hold them; delete some runs first.", icon=":material/hard_drive:")
        if st.button("Queue seven runs", type="primary", key="queue-ladder", disabled=need > free):
            queue(configs, names)


def queue(configs: list[RunConfig], names: list[str]) -> None:
    """Start them all, in their order, and follow the first."""
    try:
        for config, name in zip(configs, names, strict=True):
            access.start(config, name)
    except UserError as error:
        show_error(error)
        return
    st.session_state["started"] = names[0]
    st.rerun()
