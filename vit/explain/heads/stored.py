"""How measurements of heads and layers are stored in a run's folder: see :mod:`vit.results.stored`."""

import re
from typing import cast, get_args

import numpy as np
import torch

from vit.explain.heads.ablation import ABLATIONS, RANKING, Importance, Measure, Outcome
from vit.explain.heads.layer_similarity import Representation, Similarities
from vit.explain.heads.portrait_result import Portraits
from vit.explain.heads.pruning import Pruning
from vit.explain.interventions.head_changes import Means
from vit.explain.recording import Pool, summary_rows
from vit.results.kinds import Array, Arrays, Kind

_STAGE = re.compile(r"Embedding|Layer \d{1,4} (attention|MLP)|Block \d{1,4}")
"""The names that :func:`vit.explain.heads.layer_similarity.grams` gives to the stages."""

# Portraits

_MEASURED = ("images", "labels", "picture", "attention", "strength", "focus")
_PER_HEAD = ("entropy", "distance", "departure", "focus_rate", "focus_value")


def _pack_portraits(found: Portraits) -> Arrays:
    return {name: getattr(found, name) for name in (*_MEASURED, *_PER_HEAD)} | {
        "class_names": np.array(found.class_names),
        "grid": np.array(found.grid),
        "prefix_tokens": np.array(found.prefix_tokens),
        "pool": np.array(found.pool),
        "patch": np.array(found.patch, dtype=np.float64),
    }


def _unpack_portraits(arrays: Arrays) -> Portraits:
    rows, columns = (int(number) for number in arrays["grid"])
    prefix, pool, names = int(arrays["prefix_tokens"]), str(arrays["pool"]), tuple(arrays["class_names"].tolist())
    attention, labels = arrays["attention"], arrays["labels"]
    if pool not in get_args(Pool) or min(rows, columns, prefix + 1) < 1:
        raise ValueError("The summary token or the grid is impossible.")
    if rows * columns + prefix != attention.shape[-1] or not ((attention >= 0) & (attention <= 1.001)).all():
        raise ValueError("The attention is impossible.")
    if not ((labels >= 0) & (labels < len(names))).all() or (arrays["images"] < 0).any():
        raise ValueError("The labels or the images are impossible.")
    return Portraits(
        class_names=names,
        grid=(rows, columns),
        prefix_tokens=prefix,
        pool=pool,
        summary_rows=summary_rows(cast(Pool, pool), prefix),
        patch=float(arrays["patch"]),
        **{name: arrays[name] for name in (*_MEASURED, *_PER_HEAD)},
    )


PORTRAITS: Kind[Portraits] = Kind(
    "portraits",
    {
        "images": Array("int64", "measured"),
        "labels": Array("int64", "measured"),
        "class_names": Array("str", "names"),
        "grid": Array("int64", "2"),
        "prefix_tokens": Array("int64"),
        "pool": Array("str"),
        "patch": Array("float64"),
        "picture": Array("uint8", "side side 3"),
        "attention": Array("float32", "depth heads tokens tokens"),
        "entropy": Array("float64", "depth heads"),
        "distance": Array("float64", "depth heads"),
        "departure": Array("float64", "depth heads"),
        "focus": Array("float64", "depth heads tokens"),
        "focus_rate": Array("float64", "depth heads"),
        "focus_value": Array("float64", "depth heads", nan=True),
        "strength": Array("float32", "measured depth heads"),
    },
    _pack_portraits,
    _unpack_portraits,
)

# Importance, and the means that it is measured with


def _pack_importance(found: tuple[Importance, Means]) -> Arrays:
    importance, means = found
    return {
        "right": importance.before.right,
        "loss": importance.before.loss,
        "zero_right": importance.without["zero"].right,
        "zero_loss": importance.without["zero"].loss,
        "mean_right": importance.without["mean"].right,
        "mean_loss": importance.without["mean"].loss,
        "gradient": importance.gradient,
        "mean_output": means.heads.cpu().numpy(),
        "mean_attention": means.attention.cpu().numpy(),
        "mean_images": np.array(means.images),
    }


def _unpack_importance(arrays: Arrays) -> tuple[Importance, Means]:
    without = {name: Outcome(arrays[f"{name}_right"], arrays[f"{name}_loss"]) for name in ABLATIONS}
    importance = Importance(Outcome(arrays["right"], arrays["loss"]), without, arrays["gradient"])
    output, attention = (torch.from_numpy(arrays[name].copy()) for name in ("mean_output", "mean_attention"))
    return importance, Means(output, attention, int(arrays["mean_images"]))


IMPORTANCE: Kind[tuple[Importance, Means]] = Kind(
    "importance",
    {
        "right": Array("bool", "measured"),
        "loss": Array("float32", "measured"),
        "zero_right": Array("bool", "depth heads measured"),
        "zero_loss": Array("float32", "depth heads measured"),
        "mean_right": Array("bool", "depth heads measured"),
        "mean_loss": Array("float32", "depth heads measured"),
        "gradient": Array("float32", "depth heads measured"),
        "mean_output": Array("float32", "depth heads tokens width"),
        "mean_attention": Array("float32", "depth heads tokens tokens"),
        "mean_images": Array("int64"),
    },
    _pack_importance,
    _unpack_importance,
)

# Pruning


def _pack_pruning(found: Pruning) -> Arrays:
    return {
        "gone": found.gone,
        "rankings": np.array(list(found.ranked)),
        "orders": np.array([found.orders[name] for name in found.ranked]),
        "ranked_right": np.stack([one.right for one in found.ranked.values()]),
        "ranked_loss": np.stack([one.loss for one in found.ranked.values()]),
        "random_right": found.random.right,
        "random_loss": found.random.loss,
    }


def _unpack_pruning(arrays: Arrays) -> Pruning:
    names = [cast(Measure, name) for name in arrays["rankings"].tolist()]
    if tuple(names) != RANKING or (arrays["orders"] < 0).any() or (np.diff(arrays["gone"]) < 0).any():
        raise ValueError("The rankings are not those that are measured.")
    orders = [tuple((layer, head) for layer, head in order) for order in arrays["orders"].tolist()]
    ranked = [Outcome(*pair) for pair in zip(arrays["ranked_right"], arrays["ranked_loss"], strict=True)]
    return Pruning(
        gone=arrays["gone"],
        orders=dict(zip(names, orders, strict=True)),
        ranked=dict(zip(names, ranked, strict=True)),
        random=Outcome(arrays["random_right"], arrays["random_loss"]),
    )


PRUNING: Kind[Pruning] = Kind(
    "pruning",
    {
        "gone": Array("int64", "points"),
        "rankings": Array("str", "rankings"),
        "orders": Array("int64", "rankings all_heads 2"),
        "ranked_right": Array("bool", "rankings points measured"),
        "ranked_loss": Array("float32", "rankings points measured"),
        "random_right": Array("bool", "seeds points measured"),
        "random_loss": Array("float32", "seeds points measured"),
    },
    _pack_pruning,
    _unpack_pruning,
)

# Similarity of layers


def _pack_similarities(found: Similarities) -> Arrays:
    return {name: found.values[name] for name in get_args(Representation)} | {
        "down": np.array(found.down),
        "across": np.array(found.across),
        "images": np.array(found.images),
    }


def _unpack_similarities(arrays: Arrays) -> Similarities:
    down, across = (tuple(arrays[name].tolist()) for name in ("down", "across"))
    if not all(_STAGE.fullmatch(name) for name in (*down, *across)):
        raise ValueError("The stages have other names than those of networks.")
    values = {name: arrays[name] for name in get_args(Representation)}
    return Similarities(values, down, across, int(arrays["images"]))


SIMILARITIES: Kind[Similarities] = Kind(
    "similarity",
    {
        "tokens": Array("float64", "down across", nan=True),
        "summary": Array("float64", "down across", nan=True),
        "down": Array("str", "down"),
        "across": Array("str", "across"),
        "images": Array("int64"),
    },
    _pack_similarities,
    _unpack_similarities,
)
