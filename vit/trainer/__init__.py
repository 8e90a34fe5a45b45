"""Training: a generator of events."""

from vit.trainer.checkpoint import Checkpoint
from vit.trainer.events import Epoch, Event, Note, Snapshot, Step
from vit.trainer.failures import TrainingFailed
from vit.trainer.loop import REPORT_SECONDS, WINDOW, fit
from vit.trainer.schedule import learning_rate, snapshot_epochs

__all__ = [
    "REPORT_SECONDS",
    "WINDOW",
    "Checkpoint",
    "Epoch",
    "Event",
    "Note",
    "Snapshot",
    "Step",
    "TrainingFailed",
    "fit",
    "learning_rate",
    "snapshot_epochs",
]
