"""Recognise a training that has diverged: it ends with losses far above those of guessing."""

import math

from vit.runs.folder import Status
from vit.runs.run import Run

DIVERGED = "Diverged"
"""Start of the final status message of a run that diverged."""
FACTOR, ADDED = 1.5, 0.5
"""Losses above ``FACTOR * ln(classes) + ADDED`` are those of a training that has diverged.

Guessing has the loss ln(classes). A network that learns its training images by heart may have a higher validation loss,
but not a higher training loss.
"""


def is_diverged(status: Status) -> bool:
    """Return whether a run ended because or while its training diverged."""
    return status.state not in ("queued", "running") and status.message.startswith(DIVERGED)


def describe_divergence(run: Run) -> str:
    """Return a sentence if the last epoch's losses are far above those of guessing; an empty string otherwise."""
    classes = run.config.model.num_classes
    epochs = [line for line in run.metrics()[0] if line.get("event") == "epoch"]
    if classes < 2 or not epochs:
        return ""
    guessing = math.log(classes)
    train, val = (epochs[-1].get(name) for name in ("train_loss", "val_loss"))
    if train is None or val is None or min(train, val) <= FACTOR * guessing + ADDED:
        return ""
    kept = run.best
    advice = (
        f"The weights of epoch {kept['epoch']:g} are kept. " if kept and kept["epoch"] < epochs[-1]["epoch"] else ""
    )
    return (
        f"{DIVERGED}: the training loss of the last epoch is {train:.3g}, and guessing has {guessing:.2f}. {advice}"
        f"Choose a learning rate below {run.config.training.lr:g}, or a longer warm-up."
    )
