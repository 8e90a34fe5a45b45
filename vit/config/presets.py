"""Whole runs under a name: settings by the names of the flags of ``python -m vit train``, for ``--preset``."""

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "minute": {
        "dataset": "scenes",
        "embed_dim": 64,
        "epochs": 5,
        "batch_size": 32,
        "lr": 2e-3,
        "weight_decay": 0.1,
        "snapshots": 5,
    },
}
"""``minute`` is above 90 % on the scenes' validation images within a minute of its start on two cores: a narrower
network than the default one, and five passes over the images (``python -m benchmarks.minute``)."""
