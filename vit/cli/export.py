"""``python -m vit export``: a run for the Hugging Face hub, or as ONNX, zip, web page or TensorBoard events."""

import argparse
from pathlib import Path
from typing import Any

from vit import runs
from vit.cli.common import print_result, say
from vit.errors import SettingsError
from vit.exports.web_page import SAMPLES_MAX, WEIGHTS
from vit.runs import Run
from vit.support.files import write_atomic

FORMATS = ("hub", "onnx", "zip", "web", "tensorboard")
_SUFFIXES = {".onnx": "onnx", ".zip": "zip", ".html": "web"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument("--out", type=Path, metavar="DIR|FILE", help="folder, or .onnx, .zip or .html file, to write")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="hub: folder with safetensors, config.json and a model card, for timm and the Hugging Face hub; onnx: "
        "ONNX file; zip: for another explorer; web: HTML file that runs the network in a browser; tensorboard: folder "
        "with the curves as events (default: by the ending of --out, else hub)",
    )
    parser.add_argument(
        "--attention", action="store_true", help="onnx: add the attention of every head as a second output"
    )
    parser.add_argument("--head-mask", action="store_true", help="onnx: add an optional input that switches heads off")
    parser.add_argument(
        "--weights",
        choices=WEIGHTS,
        help="web: the type in which the weights are stored; the command prints the size and the measured difference "
        "(default: float32)",
    )
    parser.add_argument(
        "--samples",
        type=int,
        metavar="N",
        help=f"web: include N validation images, at most {SAMPLES_MAX} (default: 8 of scenes or a data set of the "
        "catalog, none of your own images)",
    )
    parser.add_argument(
        "--push", metavar="USER/NAME", help="hub: upload to this repository, with the token of hf auth login"
    )
    parser.add_argument("--private", action="store_true", help="with --push: make a new repository private")


def run(arguments: argparse.Namespace) -> int:
    """Export a run.

    Raises:
        UserError: the flags do not go together, a package is missing, or a file cannot be written.
    """
    found = runs.get_run(arguments.run)
    kind = _format(arguments)
    result: dict[str, Any] = {"run": found.name, "format": kind}
    lines = []
    if arguments.out is not None:
        _check_out(arguments.out, folder=kind in ("hub", "tensorboard"))
        lines = [str(arguments.out), *_write(kind, found, arguments, result)]
        result["out"] = str(arguments.out)
    if arguments.push is not None:
        from vit import hub

        result["url"] = hub.push(found, arguments.push, private=arguments.private, say=say)
        lines.append(result["url"])
    print_result(result, arguments.json, "\n".join(lines))
    return 0


def _format(arguments: argparse.Namespace) -> str:
    out, asked = arguments.out, arguments.format
    if out is None and arguments.push is None:
        raise SettingsError("The export needs a target: add --out, or --push USER/NAME.")
    implied = _SUFFIXES.get(out.suffix.lower(), "hub") if out else "hub"
    kind = asked or implied
    endings = {made: ending for ending, made in _SUFFIXES.items()}
    if out and kind in endings and implied != kind:
        raise SettingsError(
            f"--out {out} does not go with --format {kind}: choose a name that ends in {endings[kind]}."
        )
    if out and implied in endings and implied != kind:
        raise SettingsError(f"--format {kind} makes a folder, but --out {out} names a file: choose another name.")
    if arguments.push is not None and kind != "hub":
        raise SettingsError(f"--push needs --format hub, not {kind}: leave one of them out.")
    if arguments.private and arguments.push is None:
        raise SettingsError("--private has an effect only with --push: leave it out.")
    for flag, given, only in (
        ("--attention", arguments.attention, "onnx"),
        ("--head-mask", arguments.head_mask, "onnx"),
        ("--weights", arguments.weights is not None, "web"),
        ("--samples", arguments.samples is not None, "web"),
    ):
        if given and kind != only:
            raise SettingsError(f"{flag} has an effect only with --format {only}: leave it out.")
    return kind


def _check_out(out: Path, *, folder: bool) -> None:
    """Check that the output can be written, before minutes of work."""
    if not out.absolute().parent.is_dir():
        raise SettingsError(f"--out {out}: the folder {out.absolute().parent} does not exist: choose an existing one.")
    if out.is_file() if folder else out.is_dir():
        raise SettingsError(f"--out {out} is already a {'file' if folder else 'folder'}: choose another name.")


def _write(kind: str, found: Run, arguments: argparse.Namespace, result: dict[str, Any]) -> list[str]:
    """Write the export; return further lines to print, and add to ``result``."""
    match kind:
        case "onnx":
            from vit.exports import onnx_file

            made = onnx_file.export(found, attention=arguments.attention, head_mask=arguments.head_mask, say=say)
            write_atomic(arguments.out, made.content)
            result["difference"] = made.difference
            return [made.words]
        case "web":
            from vit.exports.web_page import export_web_page

            page = export_web_page(found, weights=arguments.weights or "float32", samples=arguments.samples, say=say)
            write_atomic(arguments.out, page.content)
            result |= {"difference": page.difference, "bytes": len(page.content)}
            return [f"The page has {len(page.content) / 1e6:.1f} MB. {page.words}"]
        case "zip":
            from vit.exports import run_zip

            with arguments.out.open("wb") as file:
                run_zip.pack(found, file, resume=found.can_resume)
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
