"""What a run will cost, shown before it is started."""

import streamlit as st

from pages.ui.wording import count, duration, size
from vit.config import RunConfig
from vit.cost.estimate import Estimate, Speed, estimate
from vit.data import DataInfo
from vit.runs.speeds import measured_speeds
from vit.support import hardware


def cost_of(config: RunConfig, info: DataInfo) -> Estimate:
    """The cost of training ``config`` on these images, on this machine."""
    return estimate(
        config,
        train_count=info.train_count,
        val_count=info.val_count,
        speeds=speeds(hardware.resolve(config.training.device)),
    )


@st.cache_data(ttl=60, max_entries=4, show_spinner=False)
def speeds(device: str) -> tuple[Speed, ...]:
    """How fast earlier runs were on this machine."""
    return measured_speeds(device)


def show_cost(config: RunConfig, info: DataInfo, seconds: float | None) -> None:
    """Tokens, parameters, memory, disk and time of the run as it is set now; and where ``seconds`` would end it."""
    cost = cost_of(config, info)
    with st.grid(5 if cost.tokens else 4, min_column_width=105):
        if cost.tokens:
            st.metric("Tokens", f"{cost.tokens:,}", help="Patches of one image, and the class token.")
        adjusted = "Numbers that the training adjusts."
        if cost.trained < cost.parameters:
            adjusted = f"The training adjusts {cost.trained:,} of them, those of the head."
        st.metric("Parameters", count(cost.parameters), help=adjusted)
        st.metric(
            "Memory",
            size(cost.memory_bytes),
            help=f"On the device, at the height of the training: {size(cost.training_bytes)} for the network, its "
            "optimiser and the images under way, the rest for Python and PyTorch.",
        )
        st.metric("Disk", size(cost.disk_bytes), help="The run's files: weights, what a resume needs, and snapshots.")
        st.metric(
            "Expected time",
            duration(cost.seconds),
            help="From the speed of an earlier run on this machine."
            if cost.measured
            else "A guess, until a run on this machine tells.",
        )
    if seconds is not None and cost.seconds > seconds:
        epochs = config.training.epochs
        st.caption(
            f":material/timer: A training ends after {duration(seconds)} here, with these settings at about epoch "
            f"{max(1, int(epochs * seconds / cost.seconds))} of {epochs}. Choose fewer epochs, a smaller network or "
            "fewer images to see it through."
        )
