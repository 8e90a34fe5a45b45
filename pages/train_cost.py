"""What a run will cost, shown before it is started."""

from dataclasses import dataclass

import streamlit as st

from pages.wording import count, duration, size
from vit import estimate, hardware
from vit.config import RunConfig
from vit.data import DataInfo

FLOAT, HALF = 4, 2


@dataclass(frozen=True)
class Cost:
    """What a run costs: :class:`vit.estimate.Estimate`, and the bytes of its files."""

    estimate: estimate.Estimate
    disk_bytes: float


def cost_of(config: RunConfig, info: DataInfo) -> Cost:
    """The cost of training ``config`` on these images, on this machine."""
    found = estimate.estimate(
        config,
        train_count=info.train_count,
        val_count=info.val_count,
        speeds=speeds(hardware.resolve(config.training.device)),
    )
    # The kept weights, and for a resume the weights and the optimiser's two moments; snapshots are fp16.
    numbers = (1 + 3) * FLOAT + HALF * min(config.training.snapshots, config.training.epochs)
    return Cost(found, numbers * found.parameters)


@st.cache_data(ttl=60, max_entries=4, show_spinner=False)
def speeds(device: str) -> tuple[estimate.Speed, ...]:
    """How fast earlier runs were on this machine."""
    return estimate.measured_speeds(device)


def show_cost(config: RunConfig, info: DataInfo) -> None:
    """Tokens, parameters, memory, disk and time of the run as it is set now."""
    cost = cost_of(config, info)
    found = cost.estimate
    with st.grid(5 if found.tokens else 4, min_column_width=105):
        if found.tokens:
            st.metric("Tokens", f"{found.tokens:,}", help="Patches of one image, and the class token.")
        st.metric("Parameters", count(found.parameters), help="Numbers that the training adjusts.")
        st.metric("Memory", size(found.memory_bytes), help="On the device, while training.")
        st.metric("Disk", size(cost.disk_bytes), help="The run's files: weights, what a resume needs, and snapshots.")
        st.metric(
            "Expected time",
            duration(found.seconds),
            help="From the speed of an earlier run on this machine."
            if found.measured
            else "A guess, until a run on this machine tells.",
        )
