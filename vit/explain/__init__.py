"""What a model attends to, as arrays."""

from vit.explain.capture import (
    MIXED_POSITIONS,
    Layer,
    Record,
    attention_arrays,
    capture,
    prefix_share,
    token_maps,
    token_rows,
)
from vit.explain.relevance import METHODS, chefer, rollout

__all__ = [
    "METHODS",
    "MIXED_POSITIONS",
    "Layer",
    "Record",
    "attention_arrays",
    "capture",
    "chefer",
    "prefix_share",
    "rollout",
    "token_maps",
    "token_rows",
]
