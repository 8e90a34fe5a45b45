"""The weights that a run left along the way, epoch by epoch, and what was measured at them."""

from typing import TYPE_CHECKING

from vit.config import RunConfig
from vit.runs.run import Run

if TYPE_CHECKING:  # pages list epochs without torch
    from vit.networks import Network


def epochs(run: Run) -> list[int]:
    """Epochs whose weights can be had, ascending, 0 (before training) the first; empty where there are no snapshots.

    A run that is still training, and will leave some, has epoch 0 from its start.
    """
    kept = run.snapshots
    if not kept and not (run.config.training.snapshots and run.active):
        return []
    return sorted({0, *kept})


def stamp(run: Run, epoch: int) -> int:
    """Changes with the weights of an epoch; 0 for initial weights, which no file holds, and for a file that is gone."""
    from vit.runs.weights import snapshot_path

    try:
        return snapshot_path(run.path, epoch).stat().st_mtime_ns
    except OSError:
        return 0


def load(run: Run, epoch: int) -> "Network":
    """The network as it was after an epoch, in eval mode and frozen.

    Epoch 0 is drawn anew from the run's seed, in the way in which the training drew it.

    Raises:
        RunError: there is no snapshot of this epoch, or it is damaged.
    """
    from vit.runs.weights import load_snapshot

    if epoch == 0 and 0 not in run.snapshots:
        return initial(run.config)
    return load_snapshot(run.path, epoch)[0]


def initial(config: RunConfig) -> "Network":
    """The network before its first step, in eval mode and frozen."""
    from vit.networks import build_model

    return build_model(config.model, seed=config.training.seed).eval().requires_grad_(False)


def history(run: Run) -> dict[int, dict]:
    """What was measured at the end of each epoch, by its number: the epoch lines of the metrics."""
    return {line["epoch"]: line for line in run.metrics()[0] if line.get("event") == "epoch"}
