"""``python -m vit timelapse``: one image through a run's snapshots, as a film. torch is imported when it computes."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vit.errors import RunError, SettingsError
from vit.runs import Run, snapshots

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from vit.networks import Network

Progress = Callable[[int, int], None]

SECONDS = 0.7
METHODS_HELP = (
    "raw: every head of every layer (default); or a method that gives one map of the image, as the command attention "
    "has them"
)


def add_arguments(parser: argparse.ArgumentParser, count: Any) -> None:
    """The command's flags; ``count`` reads a number from 1 up."""
    parser.add_argument("image", type=Path, metavar="IMAGE")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="a file in .gif or .mp4")
    parser.add_argument("--method", default="raw", help=METHODS_HELP)
    parser.add_argument(
        "--class", dest="label", metavar="LABEL", help="the class to explain (default: the answer of the last snapshot)"
    )
    parser.add_argument("--layer", type=count, metavar="N", help="raw: this layer alone, from 1")
    parser.add_argument("--head", type=count, metavar="N", help="raw: this head alone, from 1")
    parser.add_argument(
        "--token", type=int, default=0, metavar="N", help="raw: 0 the summary token, N >= 1 the N-th patch (default 0)"
    )
    parser.add_argument(
        "--seconds-per-frame",
        dest="seconds",
        type=float,
        default=SECONDS,
        metavar="X",
        help=f"how long each epoch is shown (default {SECONDS:g})",
    )


class Reel:
    """What the film is made of: a run's snapshots, and one image as its networks see it.

    Raises:
        RunError: the run has no snapshots.
    """

    def __init__(self, run: Run, picture: "Image.Image") -> None:
        from vit.data.batches import to_tensor
        from vit.evaluation import model_view

        self.run, self.epochs = run, snapshots.epochs(run)
        if not self.epochs:
            raise RunError(f"The run {run.name!r} has no snapshots to make a film of: train one with --snapshots 20.")
        data = run.config.data
        self.class_names = data.class_names
        self.view = model_view(data, picture)
        self.images: Tensor = to_tensor([self.view], data.mean, data.std)

    def load(self, epoch: int) -> "Network":
        """The network after an epoch."""
        return snapshots.load(self.run, epoch)

    def titles(self, shown: str) -> list[str]:
        """One a frame, with the epoch, its validation accuracy and what is shown."""
        from vit.pictures import film

        history = snapshots.history(self.run)
        return [film.epoch_title(epoch, history.get(epoch, {}).get("val_accuracy"), shown) for epoch in self.epochs]


def pictures(arguments: argparse.Namespace, reel: Reel, progress: Progress) -> "tuple[list[Image.Image], str]":
    """The frames, and what a person should know of them, else an empty string.

    Args:
        progress: told how many frames are done, of how many.

    Raises:
        SettingsError: a flag names nothing.
        ExplainError: this network cannot give it.
    """
    from vit.explain import METHODS

    if arguments.label is not None and arguments.label not in reel.class_names:
        raise SettingsError(
            f"--class {arguments.label} is not a class of the run: choose of {', '.join(reel.class_names)}."
        )
    if arguments.method == "raw":
        return _heads(arguments, reel, progress)
    if arguments.method not in METHODS:
        raise SettingsError(f"--method {arguments.method} is unknown: choose raw, {', '.join(METHODS)}.")
    return _maps(arguments, reel, progress), ""


def _heads(arguments: argparse.Namespace, reel: Reel, progress: Progress) -> "tuple[list[Image.Image], str]":
    from vit.explain.timelapse import time_lapse
    from vit.pictures import film

    lapse = time_lapse(reel.load, reel.epochs, reel.images, progress=progress)
    first = lapse.frames[0]
    patches = first.grid[0] * first.grid[1]
    if not 0 <= arguments.token <= patches:
        raise SettingsError(
            f"--token {arguments.token} does not exist: choose 0 for the summary token, or 1 to {patches}."
        )
    maps = lapse.maps(arguments.token)
    layers = _chosen("layer", arguments.layer, maps.shape[1])
    heads = _chosen("head", arguments.head, maps.shape[2])
    maps = maps[:, [layer - 1 for layer in layers]][:, :, [head - 1 for head in heads]]
    titles = reel.titles(film.token_title(arguments.token, first.grid))
    return film.head_pictures(reel.view, maps, layers, heads, titles), first.caveat


def _maps(arguments: argparse.Namespace, reel: Reel, progress: Progress) -> "list[Image.Image]":
    import torch

    from vit.explain import METHODS
    from vit.explain.timelapse import method_maps
    from vit.pictures import film

    method, about, label = METHODS[arguments.method], "", None
    if method.for_class:
        name = arguments.label
        if name is None:
            with torch.no_grad():
                name = reel.class_names[int(reel.load(reel.epochs[-1])(reel.images).argmax())]
        label, about = reel.class_names.index(name), f" for {name}"
    maps = method_maps(reel.load, reel.epochs, reel.images, method.function, label, progress=progress)
    return film.map_pictures(reel.view, maps, reel.titles(method.title + about), signed=method.signed)


def _chosen(what: str, number: int | None, count: int) -> list[int]:
    if number is not None and number > count:
        raise SettingsError(f"--{what} {number} does not exist: choose 1 to {count}.")
    return list(range(1, count + 1)) if number is None else [number]
