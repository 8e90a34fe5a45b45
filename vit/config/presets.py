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

RECORDED: dict[str, Any] = {"epochs": 12, "batch_size": 16, "lr": 1e-3}
"""Settings for fine-tuning the included run on a few hundred frames that were recorded with a camera."""
