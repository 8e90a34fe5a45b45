"""The weights and metrics of a run after each epoch."""

from typing import TYPE_CHECKING

from vit.config import RunConfig
from vit.runs.run import Run

if TYPE_CHECKING:  # pages list epochs without torch
    from vit.networks import Network


def epochs(run: Run) -> list[int]:
    """Return the epochs whose weights are available, ascending, starting with 0 (before training).

    The list is empty if the run has no snapshots and will not write any.
    """
    kept = run.snapshots
    if not kept and not (run.config.training.snapshots and run.active):
        return []
    return sorted({0, *kept})


def stamp(run: Run, epoch: int) -> int:
    """Return a number that changes when the snapshot of an epoch is replaced; 0 if there is no file."""
    from vit.runs.weights import snapshot_path

    try:
        return snapshot_path(run.path, epoch).stat().st_mtime_ns
    except OSError:
        return 0


def load(run: Run, epoch: int) -> "Network":
    """Return the network as it was after an epoch, in eval mode and frozen.

    The weights of epoch 0 are generated from the run's seed, exactly as the training did.

    Raises:
        RunError: the snapshot of this epoch is missing or damaged.
    """
    from vit.runs.weights import load_snapshot

    if epoch == 0 and 0 not in run.snapshots:
        return initial(run.config)
    return load_snapshot(run.path, epoch)[0]


def initial(config: RunConfig) -> "Network":
    """Return the network before its first step, in eval mode and frozen."""
    from vit.networks import build_model

    return build_model(config.model, seed=config.training.seed).eval().requires_grad_(False)


def history(run: Run) -> dict[int, dict]:
    """Return the epoch lines of the metrics, by epoch."""
    return {line["epoch"]: line for line in run.metrics()[0] if line.get("event") == "epoch"}
