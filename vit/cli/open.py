"""``python -m vit open``: a published model becomes a run, and which of timm's can."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vit.errors import SettingsError
from vit.runs import Run

Progress = Callable[[int, int], None]

FILES = (".safetensors", ".bin", ".pt", ".pth", ".npz")
"""What ends so is a file and no name of timm's; pickled ones are refused with a sentence."""


def add_arguments(parser: argparse.ArgumentParser, size: Callable[[str], int]) -> None:
    """The flags of ``open``."""
    parser.add_argument(
        "model",
        nargs="?",
        metavar="NAME|FILE",
        help="a model of timm's, such as vit_small_patch16_224.dino, or a safetensors file",
    )
    parser.add_argument(
        "--architecture", metavar="NAME", help="of a file: timm's name for its network, where several fit its weights"
    )
    parser.add_argument(
        "--image-size",
        type=size,
        metavar="N",
        help="pixels a side, where they are to be others than the published ones",
    )
    parser.add_argument("--run", metavar="NAME", help="what to call the run (default: after the model)")
    parser.add_argument(
        "--list",
        metavar="PATTERN",
        dest="pattern",
        help="list timm's models with this in their names, and why those that cannot be opened cannot",
    )


def is_list(arguments: argparse.Namespace) -> bool:
    """Whether a list is asked for, not a model.

    Raises:
        SettingsError: neither is, or both are.
    """
    if (arguments.model is None) == (arguments.pattern is None):
        raise SettingsError("open takes a model's name or a safetensors file, or --list with a part of a name.")
    return arguments.pattern is not None


def opened(arguments: argparse.Namespace, progress: Progress) -> Run:
    """The run that was made.

    Raises:
        UserError: the model cannot be opened; the sentence says why.
    """
    from vit.published.open import open_file, open_named

    file = Path(arguments.model).expanduser()
    if not file.exists() and file.suffix not in FILES and not {"/", "\\"} & set(arguments.model):
        if arguments.architecture:
            raise SettingsError("--architecture goes with a file; a model of timm's names its own.")
        return open_named(arguments.model, run=arguments.run, image_size=arguments.image_size, progress=progress)
    return open_file(file, architecture=arguments.architecture, run=arguments.run, image_size=arguments.image_size)


def as_dict(run: Run) -> dict[str, Any]:
    """What ``--json`` prints of a run that was opened."""
    model = run.config.model
    return {
        "run": run.name,
        "path": str(run.path),
        "published": run.config.published,
        "message": run.status.message,
        "image_size": model.image_size,
        "patch_size": model.patch_size,
        "embed_dim": model.embed_dim,
        "depth": model.depth,
        "num_heads": model.num_heads,
        "num_classes": model.num_classes,
    }


def listed(pattern: str, image_size: int | None) -> tuple[dict[str, Any], str]:
    """The models whose names have the pattern in them: for ``--json``, and as text.

    Raises:
        SettingsError: there are none.
    """
    from vit.published import catalogue

    found = [catalogue.describe(name, image_size) for name in catalogue.names(pattern)]
    if not found:
        raise SettingsError(f"No Vision Transformer of timm's has {pattern!r} in its name: try vit_small or dinov2.")
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
