"""Training: a generator of events."""

from vit.trainer.checkpoint import Checkpoint
from vit.trainer.loop import (
    REPORT_SECONDS,
    WINDOW,
    Epoch,
    Note,
    Snapshot,
    Step,
    TrainingFailed,
    fit,
    learning_rate,
    snapshot_epochs,
)

__all__ = [
    "REPORT_SECONDS",
    "WINDOW",
    "Checkpoint",
    "Epoch",
    "Note",
    "Snapshot",
    "Step",
    "TrainingFailed",
    "fit",
    "learning_rate",
    "snapshot_epochs",
]
