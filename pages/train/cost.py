"""The cost of a run, shown before it is started."""

from pathlib import Path

import streamlit as st

from pages.ui.wording import about, count, duration, size
from vit.config import RunConfig
from vit.cost.estimate import Estimate, Speed, estimate
from vit.data import DataInfo
from vit.paths import checkpoints_dir
from vit.runs.speeds import measured_speeds
from vit.runs.teachers import teacher_model
from vit.support import hardware


def cost_of(config: RunConfig, info: DataInfo) -> Estimate:
    """Estimate the cost of a training on these images, on this machine."""
    return estimate(
        config,
        train_count=config.data.train_images or info.train_count,
        val_count=config.data.val_images or info.val_count,
        speeds=speeds(hardware.resolve(config.training.device), checkpoints_dir()),
        teacher=teacher_model(config),
    )


@st.cache_data(ttl=10, max_entries=4, show_spinner=False)
def speeds(device: str, folder: Path) -> tuple[Speed, ...]:
    """Return how fast the runs in the folder of runs were on this machine."""
    del folder  # only the key of the cache
    return measured_speeds(device)


def show_cost(config: RunConfig, info: DataInfo, seconds: float | None) -> None:
    """Show tokens, parameters, memory, disk and time of a run, and whether the time limit would stop it early."""
    cost = cost_of(config, info)
    with st.grid(5 if cost.tokens else 4, min_column_width=105):
        if cost.tokens:
            st.metric(
                "Tokens", f"{cost.tokens:,}", help="Number of tokens for one image: its patches and the class token."
            )
        adjusted = "Number of weights that are trained."
        if cost.trained < cost.parameters:
            adjusted = f"Only the {cost.trained:,} weights of the head are trained."
        st.metric("Parameters", count(cost.parameters), help=adjusted)
        st.metric(
            "Memory",
            size(cost.memory_bytes),
            help=f"Peak use: {size(cost.training_bytes)} for the network, the optimiser and a batch of "
            "images, the rest for Python and PyTorch.",
        )
        st.metric(
            "Disk", size(cost.disk_bytes), help="Size of the run's files: weights, resume checkpoint and snapshots."
        )
        show_time(cost.seconds, measured=cost.measured)
    if seconds is not None and cost.seconds is not None and cost.seconds > seconds:
        epochs = config.training.epochs
        st.caption(
            f":material/timer: This demo stops a training after {duration(seconds)}; with these settings at "
            f"about epoch {max(1, int(epochs * seconds / cost.seconds))} of {epochs}. To train to the end, choose "
            "fewer epochs, a smaller network or fewer images."
        )


def show_time(seconds: float | None, *, measured: bool, several: bool = False) -> None:
    """Show the expected time of trainings; none if nothing was measured on this machine.

    Args:
        seconds: the time, or None.
        measured: whether it comes from similar runs.
        several: whether it is the time of several runs, one after the other.
    """
    if seconds is None:
        words = "Known after the first steps of a similar network on this machine, from its measured speed."
    elif measured:
        words = "Estimated from the speed of similar runs on this machine."
    else:
        words = "Rough: estimated from a brief measurement, because no similar network was trained on this machine yet."
    if several:
        words = f"One run after the other. {words}"
    st.metric("Expected time", None if seconds is None else about(seconds).removeprefix("about "), help=words)
