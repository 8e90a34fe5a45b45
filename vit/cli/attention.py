"""``python -m vit attention``: the maps of one image, as arrays or as a picture. Imports torch when it computes."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vit import runs
from vit.classes import join_names
from vit.cli.common import chosen, count, open_image, print_result, say
from vit.errors import SettingsError

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from vit.explain import Record
    from vit.networks import Network
    from vit.runs.weights import CheckpointInfo

METHODS_HELP = (
    "raw: every head of every layer (default). One map of the image: last, rollout. One map for a class: chefer, "
    "attention-gradient, gradient-rollout, gradcam, integrated, occlusion. Convolutional networks have the last three"
)

OUT_HELP = (
    "file to write, .npz or .png. The npz holds attention (layer, head, query, key), class_names, probabilities, grid "
    "and prefix_tokens, and, for a method that gives one map, relevance (rows, columns). For a convolutional network, "
    "which has no attention, it holds relevance, class_names, probabilities and the grid of the map"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("image", type=Path, metavar="IMAGE", help="image file")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help=OUT_HELP)
    parser.add_argument("--method", default="raw", help=METHODS_HELP)
    parser.add_argument("--class", dest="label", metavar="LABEL", help="class to explain (default: the most probable)")
    parser.add_argument(
        "--against", metavar="LABEL", help="explain the difference between the logits of the class and of this one"
    )
    parser.add_argument(
        "--fusion",
        metavar="NAME",
        help="rollout: how the maps of the heads are combined: mean, max or min (default mean)",
    )
    parser.add_argument(
        "--discard",
        type=float,
        metavar="SHARE",
        help="rollout, gradient-rollout: share of the smallest weights of each layer to leave out (default 0)",
    )
    parser.add_argument("--layer", type=count, metavar="N", help="picture of raw: show only this layer, counted from 1")
    parser.add_argument("--head", type=count, metavar="N", help="picture of raw: show only this head, counted from 1")
    parser.add_argument(
        "--token",
        type=int,
        default=0,
        metavar="N",
        help="picture of raw: token whose attention is shown; 0 is the summary token, 1 to N are the patches, followed "
        "by the class token and the registers (default 0)",
    )


@dataclass(frozen=True)
class ImageMaps:
    """The maps of one image.

    Attributes:
        view: the image as the model sees it, ``(h w c)`` uint8.
        probabilities: class probabilities, ``(k)``; empty for a network without classes.
        record: the recorded pass of a transformer; None for other networks.
        relevance: the map of a method that gives one, ``(rows columns)``.
        explained: the class that the map explains; None if the method knows no classes.
    """

    view: np.ndarray
    probabilities: np.ndarray
    record: "Record | None"
    relevance: np.ndarray | None
    explained: str | None


def run(arguments: argparse.Namespace) -> int:
    """Compute the maps and save them.

    Raises:
        UserError: a flag does not fit the method or the run, the image cannot be read, or the network has no such map.
    """
    from vit.runs import weights

    if arguments.out.suffix not in (".npz", ".png"):
        raise SettingsError(f"--out {arguments.out} has an unknown ending: choose a name that ends in .npz or .png.")
    image = open_image(arguments.image, runs.get_run(arguments.run).config.data)
    model, info = weights.load_checkpoint(arguments.run)
    maps = compute_maps(arguments, image, model, info)
    if maps.record is not None and maps.record.caveat:
        say(maps.record.caveat)
    if arguments.out.suffix == ".npz":
        np.savez_compressed(arguments.out, allow_pickle=False, **arrays(maps, info.class_names))
    else:
        picture(arguments, maps).save(arguments.out)
    result = {"run": runs.get_run(arguments.run).name, "out": str(arguments.out), "method": arguments.method}
    if maps.explained is not None:
        result |= {"class": maps.explained, "against": arguments.against}
    print_result(result, arguments.json, str(arguments.out))
    return 0


def compute_maps(
    arguments: argparse.Namespace, image: "Image.Image", model: "Network", info: "CheckpointInfo"
) -> ImageMaps:
    """Compute the maps that the arguments ask for.

    Raises:
        SettingsError: a flag does not fit the method or the run.
        ExplainError: this network has no such map.
    """
    import torch

    from vit.classes import require_output
    from vit.data.batches import to_tensor
    from vit.evaluation import model_view
    from vit.explain import METHODS, capture, class_probabilities
    from vit.explain.recording import Recordable

    check(arguments, info.class_names)
    view = model_view(info, image)
    images = to_tensor([view], info.mean, info.std)
    # Raw maps are the record itself; for a network without attention, capture raises the error.
    record = capture(model, images) if arguments.method == "raw" or isinstance(model, Recordable) else None
    if record is None:
        with torch.no_grad():
            logits = model(images)
    else:
        logits = record.logits
    probabilities = class_probabilities(model, logits)[0]
    if arguments.method == "raw":
        return ImageMaps(view, probabilities, record, None, None)
    explained = arguments.label
    if METHODS[arguments.method].for_class:
        require_output(model.config)
    if explained is None and info.class_names:
        explained = info.class_names[int(probabilities.argmax())]
    relevance = _relevance(arguments, model, info.class_names, images, explained)
    return ImageMaps(view, probabilities, record, relevance, explained if METHODS[arguments.method].for_class else None)


def check(arguments: argparse.Namespace, class_names: tuple[str, ...]) -> None:
    """Check that the flags name things that exist, and go with the method.

    Raises:
        SettingsError: they do not.
    """
    from vit.explain import FUSIONS, METHODS

    method = arguments.method
    if method != "raw" and method not in METHODS:
        raise SettingsError(f"--method {method} is unknown: choose raw, {', '.join(METHODS)}.")
    for flag, label in (("class", arguments.label), ("against", arguments.against)):
        if label is not None and label not in class_names:
            known = f"choose from {join_names(class_names)}" if class_names else "it has no class names"
            raise SettingsError(f"--{flag} {label} is not a class of the run: {known}.")
    if arguments.against is not None and not (method in METHODS and METHODS[method].for_class):
        with_class = ", ".join(name for name, one in METHODS.items() if one.for_class)
        raise SettingsError(f"--against does not go with --method {method}, which knows no classes: use {with_class}.")
    for option, value in (("fusion", arguments.fusion), ("discard", arguments.discard)):
        if value is not None and not (method in METHODS and option in METHODS[method].options):
            takers = " or ".join(name for name, one in METHODS.items() if option in one.options)
            raise SettingsError(f"--{option} does not go with --method {method}: use {takers}.")
    if arguments.fusion is not None and arguments.fusion not in FUSIONS:
        raise SettingsError(f"--fusion {arguments.fusion} is unknown: choose {', '.join(FUSIONS)}.")
    if arguments.discard is not None and not 0 <= arguments.discard < 1:
        raise SettingsError(f"--discard {arguments.discard:g} is not a share: choose a number from 0 to below 1.")


def _relevance(
    arguments: argparse.Namespace,
    model: "Network",
    class_names: tuple[str, ...],
    images: "Tensor",
    explained: str | None,
) -> np.ndarray:
    from vit.explain import METHODS, Target

    if explained is not None and arguments.against == explained:
        raise SettingsError(
            f"--against {explained} is the explained class itself: choose another one, or leave it out."
        )
    against = None if arguments.against is None else class_names.index(arguments.against)
    target = Target(None if explained is None else class_names.index(explained), against)
    given = {"fusion": arguments.fusion, "discard": arguments.discard}
    options = {name: value for name, value in given.items() if value is not None}
    return METHODS[arguments.method].function(model, images, target, **options)[0]


def arrays(maps: ImageMaps, class_names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return the arrays of the npz file."""
    from vit.explain import attention_arrays

    found = {"class_names": np.array(class_names), "probabilities": maps.probabilities}
    if maps.relevance is not None:
        found |= {"relevance": maps.relevance, "grid": np.array(maps.relevance.shape)}
    if maps.record is not None:
        found |= {
            "attention": attention_arrays(maps.record),
            "grid": np.array(maps.record.grid),
            "prefix_tokens": np.array(maps.record.prefix_tokens),
        }
    return found


def picture(arguments: argparse.Namespace, maps: ImageMaps) -> "Image.Image":
    """Draw the maps over the image.

    Raises:
        SettingsError: the layer, head or token does not exist.
    """
    from vit.explain import METHODS, token_maps
    from vit.pictures import overlays

    if maps.relevance is not None:
        draw = overlays.signed_overlay if METHODS[arguments.method].signed else overlays.overlay
        return draw(maps.view, maps.relevance, top=float(np.abs(maps.relevance).max()), side=4 * overlays.TILE)
    assert maps.record is not None
    last = maps.record.grid[0] * maps.record.grid[1] + maps.record.prefix_tokens
    if not 0 <= arguments.token <= last:
        raise SettingsError(
            f"--token {arguments.token} does not exist: choose 0 for the summary token, or 1 to {last}."
        )
    of_token = token_maps(maps.record, arguments.token)
    layers = chosen("layer", arguments.layer, of_token.shape[0])
    heads = chosen("head", arguments.head, of_token.shape[1])
    selected = of_token[np.ix_([layer - 1 for layer in layers], [head - 1 for head in heads])]
    return overlays.attention_grid(maps.view, selected, layers, heads)
