"""What a model attends to, or looks at, as arrays."""

from vit.explain.capture import (
    MIXED_POSITIONS,
    OVER_QUERIES,
    Layer,
    Record,
    attention_arrays,
    capture,
    prefix_share,
    token_maps,
    token_rows,
)
from vit.explain.class_map import ClassMap, class_map
from vit.explain.gradcam import grad_cam
from vit.explain.relevance import METHODS, Method, chefer, rollout
from vit.explain.target import Target

__all__ = [
    "METHODS",
    "MIXED_POSITIONS",
    "OVER_QUERIES",
    "ClassMap",
    "Layer",
    "Method",
    "Record",
    "Target",
    "attention_arrays",
    "capture",
    "chefer",
    "class_map",
    "grad_cam",
    "prefix_share",
    "rollout",
    "token_maps",
    "token_rows",
]
