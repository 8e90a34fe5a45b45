"""What a model attends to, as arrays."""

from vit.explain.capture import Layer, Record, attention_arrays, capture, prefix_share, token_maps

__all__ = ["Layer", "Record", "attention_arrays", "capture", "prefix_share", "token_maps"]
