"""``python -m vit patch`` and ``python -m vit votes``: what an answer depends on, and who voted for it."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from vit.cli.common import counter, open_image, print_result

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from vit.networks import Network
    from vit.runs.weights import CheckpointInfo

SITES = ("head", "pattern", "q", "k", "v", "mlp", "residual")
TOKEN_SITES = ("mlp", "residual")
DIRECTIONS = ("denoise", "noise")
INDEX_DIGITS = 9
WIDTH, LARGEST = 16, 8
"""Maximum of effects that a line of text lists, and how many of more effects it lists."""


def add_patch_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``patch``."""
    parser.add_argument("--clean", type=Path, required=True, metavar="IMAGE", help="the clean image")
    parser.add_argument("--corrupt", type=Path, required=True, metavar="IMAGE", help="the corrupt image")
    parser.add_argument(
        "--site",
        choices=SITES,
        required=True,
        help="what is copied: a head's output, its attention pattern, queries, keys or values (rows are layers, "
        "columns heads), the output of the MLP for a token, or the token that enters the layer (columns are tokens)",
    )
    _add_classes(parser, against_required=True)
    parser.add_argument(
        "--direction",
        choices=DIRECTIONS,
        default=DIRECTIONS[0],
        help="denoise: copy from the clean image into the corrupt one (default); noise: the other way",
    )
    parser.add_argument(
        "--estimate",
        action="store_true",
        help="estimate all effects from one backward pass (attribution patching), for large models",
    )


def add_votes_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``votes``."""
    parser.add_argument("image", type=Path, metavar="IMAGE", help="the image")
    _add_classes(parser, against_required=False)


def _add_classes(parser: argparse.ArgumentParser, *, against_required: bool) -> None:
    parser.add_argument(
        "--class", dest="label", required=True, metavar="A", help="a class, by its name, or by its index from 0"
    )
    parser.add_argument(
        "--against", required=against_required, metavar="B", help="a second class: explain logit(A) - logit(B)"
    )


def patch(arguments: argparse.Namespace) -> int:
    """Patch every unit of a site, and print the effects.

    Raises:
        UserError: there is no such run, image or class, the network has no attention, or the effect is undefined.
    """
    from vit.explain.maps.target import Target
    from vit.explain.patching.patch import attribute_each, patch_each, record_runs

    model, info = _load(arguments.run)
    target = Target(_class(arguments.label, model), _class(arguments.against, model))
    clean, corrupt = (_image(path, info) for path in (arguments.clean, arguments.corrupt))
    runs = record_runs(model, clean, corrupt, target, arguments.direction)
    if arguments.estimate:
        differences = attribute_each(runs, arguments.site)
    else:
        differences = patch_each(runs, arguments.site, counter("patched passes"))
    effect = runs.effect(differences)
    result = {"effect": effect.tolist(), "clean": runs.clean, "corrupt": runs.corrupt}
    print_result(result, arguments.json, _board(effect, runs.clean, runs.corrupt, arguments.site))
    return 0


def votes(arguments: argparse.Namespace) -> int:
    """Print the votes of all parts of the network.

    Raises:
        UserError: there is no such run, image or class, or the network has no attention.
    """
    from vit.explain.heads.votes import votes as votes_of
    from vit.explain.maps.target import Target

    model, info = _load(arguments.run)
    against = None if arguments.against is None else _class(arguments.against, model)
    target = Target(_class(arguments.label, model), against)
    found = votes_of(model, _image(arguments.image, info), target)
    logit, parts = float(found.logit[0]), found.parts()
    result = {"logit": logit, "parts": [{"name": name, "value": value} for name, value in parts]}
    lines = [f"{value:+8.3f}  {name}" for name, value in parts]
    print_result(result, arguments.json, "\n".join([*lines, f"{logit:+8.3f}  logit"]))
    return 0


def _load(run: str) -> "tuple[Network, CheckpointInfo]":
    from vit.classes import require_classes
    from vit.explain.passes.memory import require_room
    from vit.explain.recording import require_attention
    from vit.runs.weights import load_checkpoint

    model, info = load_checkpoint(run)
    require_classes(require_attention(model).config)
    require_room(model.config)
    return model, info


def _image(path: Path, info: "CheckpointInfo") -> "Tensor":
    from vit.evaluation import model_input

    return model_input(info, open_image(path, info.config.data))


def _class(text: str, model: "Network") -> int:
    """Return the index of a class that is given by its name, or by its index."""
    from vit.explain.maps.target import Target

    index = int(text) if text.isdecimal() and len(text) <= INDEX_DIGITS and text not in model.class_names else None
    found = Target(text if index is None else index).for_model(model, 1).label
    assert isinstance(found, int)  # one name has one index
    return found


def _board(effect: "np.ndarray", clean: float, corrupt: float, site: str) -> str:
    """Return the effects as text; of many tokens only the largest effects."""
    unit = "token" if site in TOKEN_SITES else "head"
    lines = [f"logit difference: clean {clean:+.3f}, corrupt {corrupt:+.3f}"]
    for layer, row in enumerate(effect.tolist(), start=1):
        if len(row) <= WIDTH:
            shown = " ".join(f"{value:+7.3f}" for value in row)
        else:
            places = sorted(range(len(row)), key=lambda place: -abs(row[place]))[:LARGEST]
            shown = "largest at " + ", ".join(f"{unit} {place + 1} {row[place]:+.3f}" for place in places)
        lines.append(f"layer {layer}: {shown}")
    return "\n".join(lines)
