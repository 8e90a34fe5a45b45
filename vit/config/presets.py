"""Presets of ``python -m vit train``: the settings of whole runs, named as the flags are."""

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
"""``minute`` exceeds 90 % validation accuracy on scenes within a minute on two cores: a narrower network than the
default, trained for five epochs (``python -m benchmarks.minute``)."""
