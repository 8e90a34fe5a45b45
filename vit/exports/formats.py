"""The forms in which a run is downloaded, who opens each, and the files of those that take a while to make.

Such a file lies in ``data/exports`` until newer ones push it out; the command line writes where it is told
(:mod:`vit.cli.export`). Imports no torch.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from vit import __version__
from vit.config import CNNConfig
from vit.data.files import zips
from vit.errors import RunError
from vit.hub.settings import why_not_timm
from vit.paths import data_dir
from vit.runs import Run
from vit.support import optional_packages

KEPT_MAX, KEPT_BYTES_MAX = 12, 2 * 2**30
"""Files that are kept, and bytes of all of them; the newest is kept whatever its size."""

Progress = Callable[[int, int], None]


class Form(NamedTuple):
    """One form.

    Attributes:
        title: what a person calls it.
        opens: who opens it, as a sentence.
        ending: of the file's name, after the run's.
        packages: what has to be installed for it.
    """

    title: str
    opens: str
    ending: str
    packages: tuple[str, ...] = ()


FORMS = {
    "zip": Form(
        "Zip for another explorer",
        "Settings, curves and weights: any Runs page takes it under Add a run from a zip.",
        ".zip",
    ),
    "hub": Form(
        "Safetensors for timm and Hugging Face",
        "A folder with model.safetensors, config.json and a model card with results and pictures: unpack it for timm "
        "and huggingface_hub, or put it on the hub.",
        "-hub.zip",
    ),
    "onnx": Form(
        "ONNX",
        "One file without Python in it: ONNX Runtime runs it on phones, servers and in browsers, Netron draws it.",
        ".onnx",
        ("onnx", "onnxscript"),
    ),
    "onnx-attention": Form(
        "ONNX with attention",
        "ONNX whose second output is the attention of every head of every layer, for viewers of your own.",
        "-attention.onnx",
        ("onnx", "onnxscript"),
    ),
    "tensorboard": Form(
        "Curves for TensorBoard",
        "Event files: unpack them and run tensorboard --logdir on the folder, one run beside another.",
        "-tensorboard.zip",
        ("tensorboard",),
    ),
}


def forms(run: Run) -> list[str]:
    """The forms that a run has, by their keys in :data:`FORMS`."""
    without = {"onnx-attention"} if isinstance(run.config.model, CNNConfig) else set()
    return [name for name in FORMS if name not in without]


def hint(run: Run, form: str) -> str:
    """Who opens it, and what is to be known of this run."""
    told = FORMS[form].opens
    if form == "hub" and (why_not := why_not_timm(run.config)):
        told += f" timm cannot load this one: {why_not}."
    return told


def check(form: str) -> None:
    """Raise a UserError with the line that installs what a form needs, unless it is there."""
    optional_packages.check(FORMS[form].title, *FORMS[form].packages)


def find(run: Run, form: str) -> Path | None:
    """The file, where it was made of the run as it is now."""
    path = _place(run, form)
    return path if path.is_file() else None


def make(run: Run, form: str, progress: Progress) -> Path:
    """Make the file of a form, and let go of older ones.

    Args:
        form: ``hub``, ``onnx`` or ``onnx-attention``: the others are made in a moment.
        progress: called now and then with (done, total).

    Raises:
        UserError: a package is missing, or the run has no weights.
    """
    check(form)
    target = _place(run, form)
    try:
        with zips.scratch(target.parent) as beside:
            part = beside / target.name
            if form == "hub":
                from vit import hub

                with part.open("wb") as file:
                    hub.write_zip(run, file, progress=progress)
            else:
                from vit.exports import onnx_file

                attention = form == "onnx-attention"
                # How long the exporter will take is not known: the calls are there to be stopped at.
                made = onnx_file.export(run, attention=attention, say=lambda _: progress(0, 0))
                part.write_bytes(made.content)
            os.replace(part, target)
        _let_go(target)
    except OSError as error:
        raise RunError(f"The file cannot be kept in {target.parent}: {error.strerror or error}.") from error
    return target


def forget(run: Run) -> None:
    """Delete the files of a run that is deleted."""
    for file in _folder().glob(f"{_mark(run.path)}-*"):
        file.unlink(missing_ok=True)


def sweep(before: float) -> None:
    """Delete the files that were made before a time, in seconds since 1970."""
    for file in _files():
        if file.stat().st_mtime < before:
            file.unlink(missing_ok=True)


def _folder() -> Path:
    return data_dir() / "exports"


def _files() -> list[Path]:
    """The newest first."""
    return sorted(_folder().glob("[0-9a-f]*"), key=lambda path: path.stat().st_mtime, reverse=True)


def _place(run: Run, form: str) -> Path:
    """Where the file lies or will lie; another place once the run's weights, curves or settings are others."""
    as_it_is = _mark(run.stamp, run.written, run.config.model_dump_json(), __version__)
    return _folder() / f"{_mark(run.path)}-{form}-{as_it_is}{FORMS[form].ending}"


def _mark(*of: object) -> str:
    return hashlib.sha256(repr(of).encode()).hexdigest()[:16]


def _let_go(newest: Path) -> None:
    """Delete the oldest files beyond what is kept."""
    room = KEPT_BYTES_MAX
    for place, file in enumerate(_files()):
        room -= file.stat().st_size
        if file != newest and (place >= KEPT_MAX or room < 0):
            file.unlink(missing_ok=True)
