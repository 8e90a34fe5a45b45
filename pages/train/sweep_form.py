"""The form for a sweep: a grid over heads, depth and seeds, its cost, and the Start button."""

from collections.abc import Sequence

import streamlit as st

from pages import access
from pages.train.controls import DERIVED
from pages.train.cost import cost_of, show_time
from pages.ui.text import plain, show_error
from pages.ui.wording import size, term
from vit.config import DEPTHS, HEADS, RunConfig, TransformerConfig, ViTConfig, words
from vit.cost.estimate import fits, total_seconds
from vit.data import DataInfo
from vit.errors import SettingsError, UserError
from vit.paths import checkpoints_dir
from vit.runs.teachers import teacher_model
from vit.support.files import free_bytes
from vit.support.hardware import Device
from vit.sweeps import sweep
from vit.sweeps.config import RUNS_MAX, SEEDS_MAX, SweepConfig

SAME = {"head": DERIVED["head_dim"][0], "token": words.title(ViTConfig, "embed_dim")}
OPEN = "Sweep over heads and depth"


def offer_sweep(config: RunConfig, info: DataInfo, devices: Sequence[Device]) -> None:
    """Show the form; nothing for a network without heads, or for fine-tuning."""
    if not isinstance(config.model, TransformerConfig) or config.start:
        return
    box = st.expander(OPEN, icon=":material/grid_on:", key="sweep_open", bind="query-params")
    if not box.open:  # saves dozens of estimates that would not be seen
        return
    with box:
        st.caption(
            "Trains this network with every combination of heads and depth; all other settings are as above. "
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
    """Say how many runs a sweep can have."""
    room = access.room()
    if room is None:
        return f"A sweep can have up to {RUNS_MAX} runs."
    return f"On this demo you can start {room or 'no'} run{'' if room == 1 else 's'} now."


def choose_grid(config: RunConfig, devices: Sequence[Device]) -> SweepConfig:
    """Show the controls of the grid.

    Raises:
        SettingsError: nothing is chosen, or more than a sweep can have.
    """
    name_column, seeds_column = st.columns([3, 1], vertical_alignment="bottom")
    suggested = sweep.suggest_name(config)
    typed = name_column.text_input(
        "Name of the sweep",
        key="sweep_name",
        placeholder=suggested,
        help="The names of the runs begin with it. If a sweep of this name exists, only its missing runs are started.",
    )
    count = seeds_column.number_input(
        "Seeds",
        1,
        SEEDS_MAX,
        1,
        key="sweep_seeds",
        bind="query-params",
        persist_state="session",
        help="Number of trainings for each cell, with consecutive seeds that begin with the seed above. The map shows "
        "their mean and range.",
    )
    same = st.segmented_control(
        "Keep constant as heads are added",
        list(SAME),
        default="head",
        required=True,
        format_func=SAME.__getitem__,
        key="sweep_same",
        bind="query-params",
        persist_state="session",
        help="If the head width is constant, each additional head makes the token wider and the network larger. "
        "If the token width is constant, it is divided among the heads.",
    )
    chosen: dict[str, tuple[int, ...]] = {}
    for field, label, values in (
        ("heads", words.title(ViTConfig, "num_heads"), HEADS),
        ("depths", words.title(ViTConfig, "depth"), DEPTHS),
    ):
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
    if any(value not in offered for value in st.session_state.get(key) or ()):  # the network above was changed
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
    """Return the values of an axis with which the smallest network of the grid can be trained here."""
    smallest: dict[str, tuple[int, ...]] = {"heads": (1,), "depths": (1,)}
    found = []
    for value in values:
        try:
            grid = SweepConfig(name="any", base=config, same=same, **smallest | {field: (value,)})
        except SettingsError:  # the heads do not divide the token
            continue
        if not reason_not_trainable(grid.config(next(grid.points())), devices):
            found.append(value)
    return found


def reason_not_trainable(config: RunConfig, devices: Sequence[Device]) -> str:
    """Say why a run cannot be trained here; empty if it can."""
    limits = access.bounds()
    if limits is not None:
        try:
            limits.check(config)
        except UserError as error:
            return str(error)
    device = next((device for device in devices if device.name == config.training.device), devices[0])
    room = fits(config, device, teacher_model(config))
    return "" if room else "It does not fit the memory of this device: choose a smaller network."


def offer_start(wanted: SweepConfig, missing: list[RunConfig], info: DataInfo, devices: Sequence[Device]) -> None:
    """Show the cost of the runs, and the button that queues them."""
    if not missing:
        st.caption(f":material/check: All {wanted.size} runs of {plain(wanted.name)} exist already.")
        if st.button("Follow it", icon=":material/visibility:", key="sweep_show"):
            _show(wanted.name)
        return
    room, limits = access.room(), access.bounds()
    costs = [cost_of(config, info) for config in missing]
    times = [
        cost.seconds if cost.seconds is None or not limits else min(cost.seconds, limits.seconds) for cost in costs
    ]
    need, free = sum(cost.disk_bytes for cost in costs), free_bytes(checkpoints_dir())
    with st.grid(4, min_column_width=120):
        existing = wanted.size - len(missing)
        st.metric("Runs", len(missing), help=f"{existing} more exist already." if existing else None)
        show_time(total_seconds(times), measured=all(cost.measured for cost in costs), several=True)
        st.metric("Disk", size(need), help="Total size of all runs.")
        st.metric(
            "Largest network", f"{max(cost.parameters for cost in costs):,}", help="Parameters of the largest network."
        )
    problem = next(filter(None, (reason_not_trainable(config, devices) for config in missing)), "")
    if problem:
        problem = f"The largest networks of this grid cannot be trained here. {problem}"
    elif need > free:
        problem = "There is not enough disk space: choose fewer runs, or delete some first."
    elif room is not None and room < len(missing):
        problem = f"The grid has {len(missing)} runs, and you can start {room or 'none'} now: choose fewer."
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
        with st.popover("Command for a terminal", icon=":material/terminal:"):
            st.code(access.sweep_command(wanted), language="bash", wrap_lines=True)
            st.caption("With --ray ADDRESS the runs are trained on a Ray cluster, one on each GPU.")
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
