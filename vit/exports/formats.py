"""The file formats in which a run can be downloaded, and the cache of the files that take long to make.

Those files are kept in ``data/exports`` until newer files replace them. The command line writes to the path that the
user gives instead (:mod:`vit.cli.export`). This module does not import torch.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vit import __version__
from vit.config import CNNConfig
from vit.data.files import zips
from vit.errors import RunError
from vit.hub.settings import why_not_timm
from vit.paths import data_dir
from vit.runs import Run
from vit.support import optional_packages

KEPT_MAX, KEPT_BYTES_MAX = 12, 2 * 2**30
"""Limits of the cache: number of files, and total size in bytes. The newest file is kept whatever its size."""

Progress = Callable[[int, int], None]
Options = Mapping[str, Any]
"""Arguments of an export beyond the run, such as the type of the weights in a web page."""


class Form(NamedTuple):
    """A file format.

    Attributes:
        title: its name in the interface.
        opens: a sentence that says which programs open it.
        ending: appended to the run's name to give the file name.
        packages: the optional packages that writing it needs.
    """

    title: str
    opens: str
    ending: str
    packages: tuple[str, ...] = ()


FORMS = {
    "zip": Form(
        "Zip for another explorer",
        "Settings, curves and weights. Add it to another explorer on its Runs page, under Add a run from a zip.",
        ".zip",
    ),
    "hub": Form(
        "Safetensors for timm and Hugging Face",
        "A folder with model.safetensors, config.json and a model card with results and pictures. timm and "
        "huggingface_hub load it; you can also upload it to the Hugging Face hub.",
        "-hub.zip",
    ),
    "onnx": Form(
        "ONNX",
        "One file that needs no Python. ONNX Runtime runs it on phones, on servers and in browsers; Netron draws it.",
        ".onnx",
        ("onnx", "onnxscript"),
    ),
    "onnx-attention": Form(
        "ONNX with attention",
        "ONNX with a second output: the attention of every head of every layer, for your own viewer.",
        "-attention.onnx",
        ("onnx", "onnxscript"),
    ),
    "web": Form(
        "Web page",
        "One HTML file that runs the network in the browser: open it from your disk, send it, or put it on any web "
        "host. It needs no installation and no server, and makes no connection.",
        ".html",
        ("onnx", "onnxscript", "onnxruntime"),
    ),
    "tensorboard": Form(
        "Curves for TensorBoard",
        "Event files. Unpack them and run tensorboard --logdir on the folder to compare runs.",
        "-tensorboard.zip",
        ("tensorboard",),
    ),
}


def forms(run: Run) -> list[str]:
    """Return the keys in :data:`FORMS` of the formats that a run can be exported to."""
    without = {"onnx-attention"} if isinstance(run.config.model, CNNConfig) else set()
    return [name for name in FORMS if name not in without]


def hint(run: Run, form: str) -> str:
    """Return a description of a format, and of what it cannot do for this run."""
    description = FORMS[form].opens
    if form == "hub" and (reason := why_not_timm(run.config)):
        description += f" timm cannot load this run: {reason}."
    return description


def check(form: str) -> None:
    """Raise a UserError that says what to install if a package that the format needs is missing."""
    optional_packages.check(FORMS[form].title, *FORMS[form].packages)


def find(run: Run, form: str, options: Options | None = None) -> Path | None:
    """Return the cached file of the run's current state, or None if there is none."""
    path = _place(run, form, options)
    return path if path.is_file() else None


def make(run: Run, form: str, progress: Progress, options: Options | None = None) -> Path:
    """Write the file of a format into the cache, and delete old files beyond the limits.

    Args:
        run: the run to export.
        form: ``hub``, ``onnx``, ``onnx-attention`` or ``web``. The other formats are fast and are not cached.
        progress: called repeatedly with (done, total).
        options: for ``web``, the ``weights`` and ``samples`` of :func:`vit.exports.web_page.export_web_page`.

    Returns:
        The path of the file.

    Raises:
        UserError: a package is missing, or the run has no weights.
    """
    check(form)
    target = _place(run, form, options)
    try:
        with zips.temporary_folder(target.parent) as beside:
            part = beside / target.name
            if form == "hub":
                from vit import hub

                with part.open("wb") as file:
                    hub.write_zip(run, file, progress=progress)
            elif form == "web":
                from vit.exports import web_page

                page = web_page.export_web_page(run, **(options or {}), say=lambda _: progress(0, 0))
                part.write_bytes(page.content)
            else:
                from vit.exports import onnx_file

                attention = form == "onnx-attention"
                # The exporter reports no progress. These calls only give the caller a chance to cancel.
                made = onnx_file.export(run, attention=attention, say=lambda _: progress(0, 0))
                part.write_bytes(made.content)
            os.replace(part, target)
        _delete_oldest(target)
    except OSError as error:
        raise RunError(f"The file cannot be written to {target.parent}: {error.strerror or error}.") from error
    return target


def forget(run: Run) -> None:
    for file in _folder().glob(f"{_hash(run.path)}-*"):
        file.unlink(missing_ok=True)


def delete_older(before: float) -> None:
    """Delete the cached files written before ``before`` (seconds since 1970)."""
    for file in _files():
        if file.stat().st_mtime < before:
            file.unlink(missing_ok=True)


def _folder() -> Path:
    return data_dir() / "exports"


def _files() -> list[Path]:
    return sorted(_folder().glob("[0-9a-f]*"), key=lambda path: path.stat().st_mtime, reverse=True)


def _place(run: Run, form: str, options: Options | None = None) -> Path:
    """Return the path of the file. It changes when the run's weights, curves or settings change."""
    parts = [run.stamp, run.written, run.config.model_dump_json(), __version__, *sorted((options or {}).items())]
    if form == "web":  # the page shows the run's name
        parts.append(run.name)
    state = _hash(*parts)
    return _folder() / f"{_hash(run.path)}-{form}-{state}{FORMS[form].ending}"


def _hash(*values: object) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


def _delete_oldest(newest: Path) -> None:
    """Delete the oldest files beyond the limits, but never ``newest``."""
    room = KEPT_BYTES_MAX
    for place, file in enumerate(_files()):
        room -= file.stat().st_size
        if file != newest and (place >= KEPT_MAX or room < 0):
            file.unlink(missing_ok=True)
