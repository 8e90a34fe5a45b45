"""``python -m vit attention``: the maps of one image, as arrays or as a picture. torch is imported when it computes."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vit.classes import listed
from vit.errors import SettingsError

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from vit.explain import Record
    from vit.networks import Network
    from vit.runs.weights import CheckpointInfo

METHODS_HELP = (
    "raw: every head of every layer (default). One map of the image: last, rollout; for a class: chefer, "
    "attention-gradient, gradient-rollout, gradcam, integrated, occlusion. A convolutional network has the last three"
)

OUT_HELP = (
    "a file in .npz or .png. The npz holds attention (layer, head, query, key), class_names, probabilities, grid, "
    "prefix_tokens, and with a method of one map relevance (rows, columns); of a convolutional network, which has no "
    "attention, relevance, class_names, probabilities, and grid is that of the map"
)


def add_arguments(parser: argparse.ArgumentParser, count: Any) -> None:
    """The command's flags; ``count`` reads a number from 1 up."""
    parser.add_argument("image", type=Path, metavar="IMAGE")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help=OUT_HELP)
    parser.add_argument("--method", default="raw", help=METHODS_HELP)
    parser.add_argument("--class", dest="label", metavar="LABEL", help="the class to explain (default: the likeliest)")
    parser.add_argument(
        "--against", metavar="LABEL", help="explain why the class and not this one: the difference of their logits"
    )
    parser.add_argument(
        "--fusion", metavar="NAME", help="rollout: how heads become one map, mean, max or min (default mean)"
    )
    parser.add_argument(
        "--discard",
        type=float,
        metavar="SHARE",
        help="rollout, gradient-rollout: share of the smallest weights of each layer that is left out (default 0)",
    )
    parser.add_argument("--layer", type=count, metavar="N", help="picture of raw: this layer alone, from 1")
    parser.add_argument("--head", type=count, metavar="N", help="picture of raw: this head alone, from 1")
    parser.add_argument(
        "--token",
        type=int,
        default=0,
        metavar="N",
        help="picture of raw: 0 the summary token, N >= 1 the N-th patch, after these the class token and registers "
        "(default 0)",
    )


@dataclass(frozen=True)
class Seen:
    """What was asked of one image.

    Attributes:
        view: the image as the model sees it, ``(h w c)`` uint8.
        probabilities: of the classes, ``(k)``; none of a network without classes.
        record: the recorded pass of a transformer, else None.
        relevance: the map of a method that gives one, ``(rows columns)``.
        explained: the class that the map speaks for; None where it knows none.
    """

    view: np.ndarray
    probabilities: np.ndarray
    record: "Record | None"
    relevance: np.ndarray | None
    explained: str | None


def look(arguments: argparse.Namespace, picture: "Image.Image", model: "Network", info: "CheckpointInfo") -> Seen:
    """Compute what the arguments ask for.

    Raises:
        SettingsError: a flag does not fit the method or the run.
        ExplainError: this network cannot give it.
    """
    import torch

    from vit.classes import require_classes
    from vit.data.batches import to_tensor
    from vit.evaluation import model_view
    from vit.explain import METHODS, capture, class_probabilities
    from vit.explain.recording import Recordable

    check(arguments, info.class_names)
    view = model_view(info, picture)
    images = to_tensor([view], info.mean, info.std)
    # Raw maps are the record itself; where the network has none, capture says so.
    record = capture(model, images) if arguments.method == "raw" or isinstance(model, Recordable) else None
    if record is None:
        with torch.no_grad():
            logits = model(images)
    else:
        logits = record.logits
    probabilities = class_probabilities(model, logits)[0]
    if arguments.method == "raw":
        return Seen(view, probabilities, record, None, None)
    explained = arguments.label
    if METHODS[arguments.method].for_class:
        require_classes(model.config)
    if explained is None and info.class_names:
        explained = info.class_names[int(probabilities.argmax())]
    relevance = _relevance(arguments, model, info.class_names, images, explained)
    return Seen(view, probabilities, record, relevance, explained if METHODS[arguments.method].for_class else None)


def check(arguments: argparse.Namespace, class_names: tuple[str, ...]) -> None:
    """Refuse flags that name nothing, or that do not go with the method.

    Raises:
        SettingsError: with what would be right.
    """
    from vit.explain import FUSIONS, METHODS

    method = arguments.method
    if method != "raw" and method not in METHODS:
        raise SettingsError(f"--method {method} is unknown: choose raw, {', '.join(METHODS)}.")
    for flag, label in (("class", arguments.label), ("against", arguments.against)):
        if label is not None and label not in class_names:
            known = f"choose of {listed(class_names)}" if class_names else "it was published without any"
            raise SettingsError(f"--{flag} {label} is not a class of the run: {known}.")
    if arguments.against is not None and not (method in METHODS and METHODS[method].for_class):
        with_class = ", ".join(name for name, one in METHODS.items() if one.for_class)
        raise SettingsError(f"--against does not go with --method {method}, which knows no classes: take {with_class}.")
    for option, value in (("fusion", arguments.fusion), ("discard", arguments.discard)):
        if value is not None and not (method in METHODS and option in METHODS[method].options):
            takers = " or ".join(name for name, one in METHODS.items() if option in one.options)
            raise SettingsError(f"--{option} does not go with --method {method}: take {takers}.")
    if arguments.fusion is not None and arguments.fusion not in FUSIONS:
        raise SettingsError(f"--fusion {arguments.fusion} is unknown: choose {', '.join(FUSIONS)}.")
    if arguments.discard is not None and not 0 <= arguments.discard < 1:
        raise SettingsError(f"--discard {arguments.discard:g} is no share to leave out: choose one from 0 to below 1.")


def _relevance(
    arguments: argparse.Namespace,
    model: "Network",
    class_names: tuple[str, ...],
    images: "Tensor",
    explained: str | None,
) -> np.ndarray:
    from vit.explain import METHODS, Target

    if explained is not None and arguments.against == explained:
        raise SettingsError(f"--against {explained} is the class that is explained: name another one, or leave it out.")
    against = None if arguments.against is None else class_names.index(arguments.against)
    target = Target(None if explained is None else class_names.index(explained), against)
    given = {"fusion": arguments.fusion, "discard": arguments.discard}
    options = {name: value for name, value in given.items() if value is not None}
    return METHODS[arguments.method].function(model, images, target, **options)[0]


def arrays(seen: Seen, class_names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """What the npz holds."""
    from vit.explain import attention_arrays

    found = {"class_names": np.array(class_names), "probabilities": seen.probabilities}
    if seen.relevance is not None:
        found |= {"relevance": seen.relevance, "grid": np.array(seen.relevance.shape)}
    if seen.record is not None:
        found |= {
            "attention": attention_arrays(seen.record),
            "grid": np.array(seen.record.grid),
            "prefix_tokens": np.array(seen.record.prefix_tokens),
        }
    return found


def picture(arguments: argparse.Namespace, seen: Seen) -> "Image.Image":
    """The maps over the image.

    Raises:
        SettingsError: the layer, head or token does not exist.
    """
    from vit.explain import METHODS, token_maps
    from vit.pictures import overlays

    if seen.relevance is not None:
        lay = overlays.signed_overlay if METHODS[arguments.method].signed else overlays.overlay
        return lay(seen.view, seen.relevance, top=float(np.abs(seen.relevance).max()), side=4 * overlays.TILE)
    last = seen.record.grid[0] * seen.record.grid[1] + seen.record.prefix_tokens
    if not 0 <= arguments.token <= last:
        raise SettingsError(
            f"--token {arguments.token} does not exist: choose 0 for the summary token, or 1 to {last}."
        )
    maps = token_maps(seen.record, arguments.token)
    layers = _chosen("layer", arguments.layer, maps.shape[0])
    heads = _chosen("head", arguments.head, maps.shape[1])
    chosen = maps[np.ix_([layer - 1 for layer in layers], [head - 1 for head in heads])]
    return overlays.attention_grid(seen.view, chosen, layers, heads)


def _chosen(what: str, number: int | None, count: int) -> list[int]:
    if number is not None and number > count:
        raise SettingsError(f"--{what} {number} does not exist: choose 1 to {count}.")
    return list(range(1, count + 1)) if number is None else [number]
