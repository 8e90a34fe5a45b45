"""Presets of ``python -m vit train``: the settings of whole runs, named as the flags are."""

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "minute": {
        "dataset": "scenes",
        "epochs": 6,
        "batch_size": 32,
        "weight_decay": 0.1,
        "snapshots": 6,
    },
}
"""``minute`` is a short training that exceeds 90 % validation accuracy on scenes: the default network, six epochs,
smaller batches (``python -m benchmarks.app.minute`` measures the time)."""

RECORDED: dict[str, Any] = {
    "start": "scenes-dino",
    "epochs": 20,
    "batch_size": 16,
    "lr": 5e-4,
    "randaugment": 2,
    "average": 0.98,
    "keep": "last",
}
"""Settings for a few hundred frames that were recorded with a camera: all weights of the run that learned without
labels are fine-tuned (``python -m benchmarks.app.record_classes`` measures the accuracy). With its encoder frozen, the
head alone does not tell objects apart in places that it has not seen. A few validation bursts are all recognised after
some epochs, so they cannot choose among epochs: the average of the last weights is kept."""
