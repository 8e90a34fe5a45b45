"""``python -m vit open``: open a published model as a run, or list the models of timm that can be opened."""

import argparse
from pathlib import Path
from typing import Any

from vit.cli.common import count, counter, print_result
from vit.errors import SettingsError
from vit.runs import Run

FILES = (".safetensors", ".json", ".bin", ".pt", ".pth", ".ckpt", ".npz")
"""Endings of files, as opposed to names in timm; pickled files are refused with an error."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "model",
        nargs="?",
        metavar="NAME|FILE|DIR",
        help="name of a model in timm, such as vit_small_patch16_224.dino, or a safetensors file, the index of its "
        "parts, or the folder that holds it",
    )
    parser.add_argument(
        "--architecture", metavar="NAME", help="timm's name for the network of a file, if several fit its weights"
    )
    parser.add_argument(
        "--image-size",
        type=count,
        metavar="N",
        help="width and height in pixels (default: as published)",
    )
    parser.add_argument(
        "--class-names",
        type=Path,
        metavar="FILE",
        help="names of the classes: text with one name on each line, or JSON (default: those that come with the model)",
    )
    parser.add_argument("--run", metavar="NAME", help="name of the run (default: made from the model's name)")
    parser.add_argument(
        "--list",
        metavar="PATTERN",
        dest="pattern",
        help="list the models of timm with this text in their names, and why those that do not open cannot be opened",
    )


def run(arguments: argparse.Namespace) -> int:
    """Open a model, or list models.

    Raises:
        UserError: the arguments do not go together, or the model cannot be opened.
    """
    if (arguments.model is None) == (arguments.pattern is None):
        raise SettingsError(
            "open needs either a model or --list: give the name of a model or a safetensors file, or --list and a part "
            "of a name."
        )
    if arguments.pattern is not None:
        result, text = _listed(arguments.pattern, arguments.image_size)
        print_result(result, arguments.json, text)
        return 0
    made = _open(arguments)
    print_result(_as_dict(made), arguments.json, f"{made.path}\n{made.status.message}")
    return 0


def _open(arguments: argparse.Namespace) -> Run:
    from vit.published.class_names import read_file
    from vit.published.open import open_file, open_named

    names = None if arguments.class_names is None else read_file(arguments.class_names.expanduser())
    file = Path(arguments.model).expanduser()
    if not file.exists() and file.suffix not in FILES and not {"/", "\\"} & set(arguments.model):
        if arguments.architecture:
            raise SettingsError("--architecture has an effect only with a file: leave it out.")
        return open_named(
            arguments.model,
            run=arguments.run,
            image_size=arguments.image_size,
            class_names=names,
            progress=counter("bytes"),
        )
    return open_file(
        file,
        architecture=arguments.architecture,
        run=arguments.run,
        image_size=arguments.image_size,
        class_names=names,
    )


def _as_dict(run: Run) -> dict[str, Any]:
    model = run.config.model
    return {
        "run": run.name,
        "path": str(run.path),
        "published": run.config.published,
        "message": run.status.message,
        "image_size": model.image_size,
        **{name: getattr(model, name, None) for name in ("patch_size", "embed_dim", "depth", "num_heads")},
        "num_classes": model.num_classes,
    }


def _listed(pattern: str, image_size: int | None) -> tuple[dict[str, Any], str]:
    """Return the models with the pattern in their names, as JSON and as text.

    Raises:
        SettingsError: there are none.
    """
    from vit.published import catalogue

    found = [catalogue.describe(name, image_size) for name in catalogue.names(pattern)]
    if not found:
        raise SettingsError(f"No model of timm has {pattern!r} in its name: try vit_small or dinov2.")
    rows = [
        {
            "name": entry.name,
            "opens": not entry.reason,
            "reason": entry.reason,
            "classes": entry.classes,
            "licence": entry.licence,
            "download_bytes": entry.download_bytes,
        }
        for entry in found
    ]
    width = max(len(entry.name) for entry in found)
    lines = [
        f"{entry.name:{width}}  "
        + (
            f"no   {entry.reason}"
            if entry.reason
            else f"yes  {entry.download_bytes / 1e6:,.0f} MB, {entry.classes or 'no'} classes, "
            f"licence {entry.licence or 'not stated'}"
        )
        for entry in found
    ]
    return {"models": rows}, "\n".join(lines)
