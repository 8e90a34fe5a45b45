"""Training: a generator of events."""

from vit.trainer.checkpoint import Checkpoint
from vit.trainer.events import Epoch, Event, Maps, Note, Snapshot, Step
from vit.trainer.failures import TrainingFailed
from vit.trainer.live_maps import Watch, watched_rows
from vit.trainer.loop import REPORT_SECONDS, WINDOW, fit
from vit.trainer.schedule import learning_rate, snapshot_epochs

__all__ = [
    "REPORT_SECONDS",
    "WINDOW",
    "Checkpoint",
    "Epoch",
    "Event",
    "Maps",
    "Note",
    "Snapshot",
    "Step",
    "TrainingFailed",
    "Watch",
    "fit",
    "learning_rate",
    "snapshot_epochs",
    "watched_rows",
]
