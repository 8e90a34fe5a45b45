"""``python -m vit export``: a run as a folder for the Hugging Face hub, as ONNX, as a zip, as TensorBoard's events."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vit import runs
from vit.errors import SettingsError
from vit.runs import Run
from vit.support.files import write_atomic

FORMATS = ("hub", "onnx", "zip", "tensorboard")
_SUFFIXES = {".onnx": "onnx", ".zip": "zip"}

Say = Callable[[str], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the command."""
    parser.add_argument("--out", type=Path, metavar="DIR|FILE", help="folder, or file in .onnx or .zip, to write")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="hub: safetensors, config.json and a model card, for timm and the Hugging Face hub; onnx; zip: for "
        "another explorer; tensorboard: the curves as events (default: what --out ends in says, or else hub)",
    )
    parser.add_argument("--attention", action="store_true", help="onnx: with every head's attention as second output")
    parser.add_argument("--push", metavar="USER/NAME", help="hub: put it there, with the token of hf auth login")
    parser.add_argument("--private", action="store_true", help="with --push: a new place is seen by its owner alone")


def run(arguments: argparse.Namespace, say: Say) -> tuple[dict[str, Any], str]:
    """Do it; what to print as JSON, and as text.

    Raises:
        UserError: the flags do not go together, a package is missing, or a file cannot be written.
    """
    found = runs.get_run(arguments.run)
    kind = _format(arguments)
    result: dict[str, Any] = {"run": found.name, "format": kind}
    words = []
    if arguments.out is not None:
        _check_out(arguments.out, folder=kind in ("hub", "tensorboard"))
        words = [str(arguments.out), *_write(kind, found, arguments, say, result)]
        result["out"] = str(arguments.out)
    if arguments.push is not None:
        from vit import hub

        result["url"] = hub.push(found, arguments.push, private=arguments.private, say=say)
        words.append(result["url"])
    return result, "\n".join(words)


def _format(arguments: argparse.Namespace) -> str:
    out, asked = arguments.out, arguments.format
    if out is None and arguments.push is None:
        raise SettingsError("There is nowhere to export it to: take --out, or --push USER/NAME.")
    told = _SUFFIXES.get(out.suffix.lower(), "hub") if out else "hub"
    kind = asked or told
    if out and kind in _SUFFIXES.values() and told != kind:
        raise SettingsError(f"--out {out} is no file for --format {kind}: take a name in .{kind}.")
    if out and told in _SUFFIXES.values() and told != kind:
        raise SettingsError(f"--format {kind} makes a folder, and --out {out} is a file's name: take another.")
    if arguments.push is not None and kind != "hub":
        raise SettingsError(f"--push takes what --format hub makes, not {kind}: leave one of them out.")
    if arguments.private and arguments.push is None:
        raise SettingsError("--private goes with --push: leave it out.")
    if arguments.attention and kind != "onnx":
        raise SettingsError("--attention goes with --format onnx: leave it out.")
    return kind


def _check_out(out: Path, *, folder: bool) -> None:
    """Whether it can be written, before minutes of work."""
    if not out.absolute().parent.is_dir():
        raise SettingsError(f"--out {out}: there is no folder {out.absolute().parent}.")
    if out.is_file() if folder else out.is_dir():
        raise SettingsError(f"--out {out} is a {'file' if folder else 'folder'} already: take another name.")


def _write(kind: str, found: Run, arguments: argparse.Namespace, say: Say, result: dict[str, Any]) -> list[str]:
    """Write what was asked for; further sentences."""
    match kind:
        case "onnx":
            from vit.exports import onnx_file

            made = onnx_file.export(found, attention=arguments.attention, say=say)
            write_atomic(arguments.out, made.content)
            result["difference"] = made.difference
            return [made.words]
        case "zip":
            from vit.exports import run_zip

            with arguments.out.open("wb") as file:
                run_zip.pack(found, file, resume=found.can_go_on)
            return []
        case "tensorboard":
            from vit.exports import tensorboard

            tensorboard.convert(found, arguments.out)
            return []
        case _:
            from vit import hub

            hub.write_folder(found, arguments.out, repo=arguments.push or "", say=say)
            words = hub.timm_words(found)
            result["timm"] = not hub.why_not_timm(found.config)
            return [words]
