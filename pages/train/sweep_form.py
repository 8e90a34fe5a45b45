"""The Train page's form for a sweep: a grid over heads, depth and seeds, what it costs, Start."""

from collections.abc import Sequence

import streamlit as st

from pages import access
from pages.train.cost import cost_of
from pages.ui.text import plain, show_error
from pages.ui.wording import duration, size, term
from vit.config import DEPTHS, HEADS, RunConfig, TransformerConfig
from vit.cost.estimate import fits
from vit.data import DataInfo
from vit.errors import SettingsError, UserError
from vit.paths import checkpoints_dir
from vit.support.files import free_bytes
from vit.support.hardware import Device
from vit.sweeps import sweep
from vit.sweeps.config import RUNS_MAX, SEEDS_MAX, SweepConfig

SAME = {"head": "The width of a head", "token": "The width of a token"}
OPEN = "Sweep over heads and depth"


def offer_sweep(config: RunConfig, info: DataInfo, devices: Sequence[Device]) -> None:
    """The grid over the run that the page is set to, what it costs, and Start; nothing for a network without heads, or
    with one that is there already."""
    if not isinstance(config.model, TransformerConfig) or config.start:
        return
    box = st.expander(OPEN, icon=":material/grid_on:", key="sweep_open", bind="query-params")
    if not box.open:  # dozens of estimates, which nobody would see
        return
    with box:
        st.caption(
            "Trains this network with every chosen number of heads and depth; all other settings are those above. "
            + room_words(),
            help=term("sweep"),
        )
        try:
            wanted = choose_grid(config, devices)
            missing = sweep.missing_points(wanted, access.my_runs())
        except UserError as error:
            show_error(error)
            return
        offer_start(wanted, [wanted.config(point) for point in missing], info, devices)


def room_words() -> str:
    """The bound on the number of runs."""
    room = access.room()
    if room is None:
        return f"A sweep has {RUNS_MAX} runs at most."
    return f"On this demo you can start {room or 'no'} run{'' if room == 1 else 's'} now, in a sweep or one by one."


def choose_grid(config: RunConfig, devices: Sequence[Device]) -> SweepConfig:
    """The controls of the grid.

    Raises:
        SettingsError: nothing is chosen, or it is more than a sweep can have.
    """
    name_column, seeds_column = st.columns([3, 1], vertical_alignment="bottom")
    suggested = sweep.suggest_name(config)
    typed = name_column.text_input(
        "Name of the sweep",
        key="sweep_name",
        placeholder=suggested,
        help="Its runs are called by it. Under the name of a sweep that is there, only what is missing is started.",
    )
    count = seeds_column.number_input(
        "Seeds",
        1,
        SEEDS_MAX,
        1,
        key="sweep_seeds",
        bind="query-params",
        persist_state="session",
        help="Each cell is trained so many times, from the seed above on; the map shows the mean and the range.",
    )
    same = st.segmented_control(
        "What keeps its size as heads are added",
        list(SAME),
        default="head",
        required=True,
        format_func=SAME.__getitem__,
        key="sweep_same",
        bind="query-params",
        persist_state="session",
        help="With a constant head each head more makes the token wider, and the network larger. "
        "With a constant token the heads share its width, which they must divide.",
    )
    chosen: dict[str, tuple[int, ...]] = {}
    for field, label, values in (("heads", "Heads", HEADS), ("depths", "Depths", DEPTHS)):
        offered = possible(config, field, values, same, devices)
        default = [value for value in SweepConfig.limits(field).default if value in offered]
        chosen[field] = _pills(label, f"sweep_{field}", offered, default)
    if not all(chosen.values()):
        raise SettingsError("Choose at least one number of heads and one depth.")
    first = config.training.seed
    return SweepConfig(
        name=typed.strip() or suggested,
        base=config,
        seeds=tuple(range(first, first + count)),
        same=same,
        **chosen,
    )


def _pills(label: str, key: str, offered: list[int], default: list[int]) -> tuple[int, ...]:
    if any(value not in offered for value in st.session_state.get(key) or ()):  # the network above has changed
        st.session_state[key] = [value for value in st.session_state[key] if value in offered]
    return tuple(
        st.pills(
            label,
            offered,
            default=default,
            selection_mode="multi",
            key=key,
            bind="query-params",
            persist_state="session",
        )
    )


def possible(config: RunConfig, field: str, values: Sequence[int], same: str, devices: Sequence[Device]) -> list[int]:
    """The values of an axis with which the smallest network of the grid can be trained here."""
    smallest = {"heads": (1,), "depths": (1,)}
    found = []
    for value in values:
        try:
            grid = SweepConfig(name="any", base=config, same=same, **smallest | {field: (value,)})
        except SettingsError:  # the heads do not divide the token
            continue
        if not why_not(grid.config(next(grid.points())), devices):
            found.append(value)
    return found


def why_not(config: RunConfig, devices: Sequence[Device]) -> str:
    """Why a run cannot be trained here; empty where it can."""
    limits = access.bounds()
    if limits is not None:
        try:
            limits.check(config)
        except UserError as error:
            return str(error)
    device = next((device for device in devices if device.name == config.training.device), devices[0])
    return "" if fits(config, device) else "It does not fit this device's memory: choose a smaller network."


def offer_start(wanted: SweepConfig, missing: list[RunConfig], info: DataInfo, devices: Sequence[Device]) -> None:
    """What the runs cost together, and the button that queues them."""
    if not missing:
        st.caption(f":material/check: All {wanted.size} runs of {plain(wanted.name)} are there already.")
        if st.button("Follow it", icon=":material/visibility:", key="sweep_show"):
            _show(wanted.name)
        return
    room, limits = access.room(), access.bounds()
    costs = [cost_of(config, info) for config in missing]
    seconds = sum(min(cost.seconds, limits.seconds) if limits else cost.seconds for cost in costs)
    need, free = sum(cost.disk_bytes for cost in costs), free_bytes(checkpoints_dir())
    with st.grid(4, min_column_width=120):
        there = wanted.size - len(missing)
        st.metric("Runs", len(missing), help=f"{there} more are there already." if there else None)
        st.metric(
            "Expected time",
            duration(seconds),
            help="One after the other, from the speed of earlier runs on this machine."
            if all(cost.measured for cost in costs)
            else "One after the other; a guess, until runs of these sizes on this machine tell.",
        )
        st.metric("Disk", size(need), help="All runs together.")
        st.metric("Largest network", f"{max(cost.parameters for cost in costs):,}", help="Its parameters.")
    problem = next(filter(None, (why_not(config, devices) for config in missing)), "")
    if problem:
        problem = f"The largest networks of this grid cannot be trained here. {problem}"
    elif need > free:
        problem = "The disk does not hold them: choose fewer, or delete some runs first."
    elif room is not None and room < len(missing):
        problem = f"These are {len(missing)} runs, and you can start {room or 'none'} now: choose fewer."
    if problem:
        st.warning(plain(problem), icon=":material/warning:")
    with st.container(horizontal=True, vertical_alignment="center"):
        pressed = st.button(
            f"Start {len(missing)} run{'' if len(missing) == 1 else 's'}",
            type="primary",
            icon=":material/play_arrow:",
            key="sweep_start",
            disabled=bool(problem),
        )
        with st.popover("The same from a terminal", icon=":material/terminal:"):
            st.code(access.sweep_command(wanted), language="bash", wrap_lines=True)
            st.caption("With --ray ADDRESS the runs are placed on a Ray cluster, one a GPU.")
    if pressed:
        try:
            with st.spinner("Queueing the runs"):
                access.start_sweep(wanted)
        except UserError as error:
            show_error(error)
        else:
            _show(wanted.name)


def _show(name: str) -> None:
    st.session_state["started_sweep"] = name
    st.rerun()
