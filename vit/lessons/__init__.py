"""The experiments of the lessons: the runs that each compares, and the measurements made with them.

A lesson's runs are ordinary settings (:data:`EXPERIMENTS`), in full and in a short version. ``benchmarks/lessons.py``
trains them with several seeds, and a visitor's own runs are recognised by them. The measurements are stored in
``lessons.json`` next to this package and read by :func:`stored`. Imports no torch.
"""

from vit.lessons.differences import Difference, Order, SeedNoise, difference, mean_interval, seed_noise
from vit.lessons.experiments import (
    EXPERIMENTS,
    FREE,
    LITTLE,
    LITTLE_SHORT,
    NETWORKS,
    Variant,
    comparisons,
    find_variant,
    full_version,
    is_of,
    own_runs,
    settings_words,
    short_version,
)
from vit.lessons.measurements import (
    COMMAND,
    FILE,
    IMAGES,
    FaithfulnessTable,
    Figures,
    MapScores,
    Stored,
    Training,
    compare,
    contrast,
    is_shared,
    measured,
    stored,
    stored_noise,
)

__all__ = [
    "COMMAND",
    "EXPERIMENTS",
    "FILE",
    "FREE",
    "IMAGES",
    "LITTLE",
    "LITTLE_SHORT",
    "NETWORKS",
    "Difference",
    "FaithfulnessTable",
    "Figures",
    "MapScores",
    "Order",
    "SeedNoise",
    "Stored",
    "Training",
    "Variant",
    "compare",
    "comparisons",
    "contrast",
    "difference",
    "find_variant",
    "full_version",
    "is_of",
    "is_shared",
    "mean_interval",
    "measured",
    "own_runs",
    "seed_noise",
    "settings_words",
    "short_version",
    "stored",
    "stored_noise",
]
