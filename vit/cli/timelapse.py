"""``python -m vit timelapse``: a film of one image over a run's snapshots. Imports torch when it computes."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from vit import runs
from vit.classes import class_names_of, require_classes
from vit.cli.common import Progress, chosen, count, counter, open_image, print_result, say
from vit.config import words
from vit.errors import RunError, SettingsError
from vit.runs import Run, snapshots

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from vit.networks import Network

SECONDS = 0.7
METHODS_HELP = (
    "raw: every head of every layer (default); or a method of the command attention that gives one map of the image"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("image", type=Path, metavar="IMAGE", help="image file")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write, .gif or .mp4")
    parser.add_argument("--method", default="raw", help=METHODS_HELP)
    parser.add_argument(
        "--class", dest="label", metavar="LABEL", help="class to explain (default: the prediction of the last snapshot)"
    )
    parser.add_argument("--layer", type=count, metavar="N", help="raw: show only this layer, counted from 1")
    parser.add_argument("--head", type=count, metavar="N", help="raw: show only this head, counted from 1")
    parser.add_argument(
        "--token",
        type=int,
        default=0,
        metavar="N",
        help="raw: token whose attention is shown; 0 is the summary token, 1 to N are the patches (default 0)",
    )
    parser.add_argument(
        "--seconds-per-frame",
        dest="seconds",
        type=float,
        default=SECONDS,
        metavar="X",
        help=f"seconds that each epoch is shown (default {SECONDS:g})",
    )


def run(arguments: argparse.Namespace) -> int:
    """Make the film.

    Raises:
        UserError: a flag does not fit the method or the run, the image cannot be read, or there are no snapshots.
    """
    from vit.pictures import film

    make = film.MAKERS.get(arguments.out.suffix.lower())
    if make is None:
        raise SettingsError(f"--out {arguments.out} has an unknown ending: choose a name that ends in .gif or .mp4.")
    film.check_seconds(arguments.seconds)
    run = runs.get_run(arguments.run)
    source = FilmSource(run, open_image(arguments.image, run.config.data))
    frames, caveat = draw_frames(arguments, source, counter("frames"))
    if caveat:
        say(caveat)
    arguments.out.write_bytes(make(frames, arguments.seconds))
    result = {
        "run": source.run.name,
        "out": str(arguments.out),
        "method": arguments.method,
        "epochs": source.epochs,
    }
    print_result(result, arguments.json, str(arguments.out))
    return 0


class FilmSource:
    """The snapshots of a run, and one image as its networks see it.

    Raises:
        RunError: the run has no snapshots.
    """

    def __init__(self, run: Run, picture: "Image.Image") -> None:
        from vit.data.batches import to_tensor
        from vit.data.files.images import fit_square

        self.run, self.epochs = run, snapshots.epochs(run)
        if not self.epochs:
            raise RunError(f"The run {run.name!r} has no snapshots to make a film of: train a run with --snapshots 20.")
        data = run.config.data
        self.class_names = class_names_of(run.config)
        self.view = fit_square(picture, data.image_size, data.crop_pct, data.interpolation)
        self.images: Tensor = to_tensor([self.view], data.mean, data.std)

    def load(self, epoch: int) -> "Network":
        """Return the network after an epoch."""
        return snapshots.load(self.run, epoch)

    def titles(self, shown: str) -> list[str]:
        """Return a title for each frame: the epoch, its validation accuracy and what is shown."""
        from vit.pictures import film

        history, name = snapshots.history(self.run), words.accuracy(self.run.config.training, start=False)
        return [
            film.epoch_title(epoch, history.get(epoch, {}).get("val_accuracy"), shown, name) for epoch in self.epochs
        ]


def draw_frames(
    arguments: argparse.Namespace, source: FilmSource, progress: Progress
) -> "tuple[list[Image.Image], str]":
    """Draw the frames; return them with a caveat about how to read them, empty if there is none.

    Args:
        arguments: the parsed flags.
        source: the snapshots and the image.
        progress: called with the number of frames done, and of all.

    Raises:
        SettingsError: a flag names something that does not exist.
        ExplainError: this network has no such map.
    """
    from vit.explain import METHODS

    if arguments.label is not None and arguments.label not in source.class_names:
        require_classes(source.run.config.model)
        raise SettingsError(
            f"--class {arguments.label} is not a class of the run: choose from {', '.join(source.class_names)}."
        )
    if arguments.method == "raw":
        return _heads(arguments, source, progress)
    if arguments.method not in METHODS:
        raise SettingsError(f"--method {arguments.method} is unknown: choose raw, {', '.join(METHODS)}.")
    return _maps(arguments, source, progress), ""


def _heads(arguments: argparse.Namespace, source: FilmSource, progress: Progress) -> "tuple[list[Image.Image], str]":
    from vit.explain.timelapse import time_lapse
    from vit.pictures import film

    lapse = time_lapse(source.load, source.epochs, source.images, progress=progress)
    first = lapse.frames[0]
    patches = first.grid[0] * first.grid[1]
    if not 0 <= arguments.token <= patches:
        raise SettingsError(
            f"--token {arguments.token} does not exist: choose 0 for the summary token, or 1 to {patches}."
        )
    maps = lapse.maps(arguments.token)
    layers = chosen("layer", arguments.layer, maps.shape[1])
    heads = chosen("head", arguments.head, maps.shape[2])
    maps = maps[:, [layer - 1 for layer in layers]][:, :, [head - 1 for head in heads]]
    titles = source.titles(film.token_title(arguments.token, first.grid, first.pool))
    return film.head_pictures(source.view, maps, layers, heads, titles), first.caveat


def _maps(arguments: argparse.Namespace, source: FilmSource, progress: Progress) -> "list[Image.Image]":
    import torch

    from vit.explain import METHODS
    from vit.explain.timelapse import method_maps
    from vit.pictures import film

    method, about, label = METHODS[arguments.method], "", None
    if method.for_class:
        require_classes(source.run.config.model)
        name = arguments.label
        if name is None:
            with torch.no_grad():
                name = source.class_names[int(source.load(source.epochs[-1])(source.images).argmax())]
        label, about = source.class_names.index(name), f" for {name}"
    maps = method_maps(source.load, source.epochs, source.images, method.function, label, progress=progress)
    return film.map_pictures(source.view, maps, source.titles(method.title + about), signed=method.signed)
