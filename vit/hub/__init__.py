"""A run goes out: a folder for the Hugging Face hub, with weights, settings and a model card, and the way there.

The folder's ``config.json`` serves timm, the hub's mixin (:mod:`vit.hub.models`) and this program
(:mod:`vit.hub.settings`). Writing it needs no further package; pushing it needs huggingface_hub.
"""

import io
import json
import re
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from PIL import Image

from vit import runs
from vit.data import load
from vit.errors import RunError, SettingsError, UserError
from vit.hub import drawing
from vit.hub.card import ATTENTION, CONFUSION, CURVES, Card
from vit.hub.settings import config_json, public, why_not_timm
from vit.plots.panels import panels
from vit.runs import Run
from vit.support import optional_packages
from vit.support.files import write_atomic

if TYPE_CHECKING:
    from vit.evaluation import Evaluation

README = "README.md"
FILES = (runs.CONFIG, runs.MODEL, README, CURVES, CONFUSION, ATTENTION)
"""All that such a folder holds."""

REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
NO_TOKEN = "The hub takes nothing without your token: run hf auth login, or set HF_TOKEN to a token that may write."

Say = Callable[[str], None]
Progress = Callable[[int, int], None]


def write_folder(run: Run, folder: Path, *, repo: str = "", say: Say = lambda sentence: None) -> None:
    """Write the folder of a run: weights, settings, card and pictures.

    Args:
        folder: made where it is not there; what it held of an earlier export is replaced.
        repo: where on the hub it will be, ``user/name``, for the card.
        say: told what is being done.

    Raises:
        RunError: the run has no weights, or the folder holds something else or cannot be written.
    """
    files = contents(run, repo=repo, say=say)
    try:
        strange = sorted({path.name for path in folder.iterdir()} - set(FILES)) if folder.exists() else []
        if strange:
            raise RunError(
                f"The folder {folder} holds {strange[0][:60]!r}, which is no part of an export: take a new one."
            )
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
        for name, content in files.items():
            write_atomic(folder / name, content)
    except OSError as error:
        raise RunError(f"The folder {folder} cannot be written: {error.strerror or error}.") from error


def write_zip(run: Run, target: BinaryIO, *, progress: Progress | None = None) -> None:
    """The same folder as a zip.

    Args:
        progress: called with (images done, images in all), first while they are prepared and then while they are
            judged.

    Raises:
        RunError: as :func:`write_folder`.
    """
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in contents(run, progress=progress).items():
            archive.writestr(f"{run.name}/{name}", content)  # weights and pictures do not get smaller


def contents(
    run: Run, *, repo: str = "", say: Say = lambda sentence: None, progress: Progress | None = None
) -> dict[str, bytes]:
    """The files of the folder by their names; what cannot be measured, since the images are gone, is left out."""
    from safetensors.torch import save

    from vit.runs.weights import load_checkpoint

    model, info = load_checkpoint(run.path)
    config = public(run.config)
    measured, counts = _judged(run, model, info, say, progress)
    say("Writing the card.")
    pictures = _pictures(run, measured)
    card = Card(run.name, config, repo or "USER/NAME", run.best, measured, counts, tuple(pictures))
    return {
        runs.CONFIG: json.dumps(config_json(config), indent=2).encode(),
        runs.MODEL: save(model.state_dict(), metadata={"format": "pt"}),
        README: card.text().encode(),
    } | pictures


def _judged(
    run: Run, model: Any, info: Any, say: Say, progress: Progress | None
) -> "tuple[Evaluation, tuple[int, int]] | tuple[None, None]":
    """What the model says of its validation images, and how many images there are; None where that is not known."""
    from vit.evaluation import evaluate

    try:
        say("Preparing the images.")
        data = load(run.config.data, progress=progress)
        say("Showing the validation images to the model.")
        return evaluate(model, info, data.val, progress=progress), (len(data.train), len(data.val))
    except UserError as error:
        say(f"The card says nothing of the validation images: {error}")
        return None, None


def _pictures(run: Run, measured: "Evaluation | None") -> dict[str, bytes]:
    found = {}
    if charts := panels(run.metrics()[0]):
        found[CURVES] = _png(drawing.curves(charts))
    if measured is not None:
        found[CONFUSION] = _png(drawing.confusions(measured.confusion_matrix, measured.class_names))
    if run.picture:
        with Image.open(run.picture) as picture:
            found[ATTENTION] = _png(picture)
    return found


def _png(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "PNG", optimize=True)
    return content.getvalue()


def timm_words(run: Run) -> str:
    """Whether timm loads the folder, as a sentence."""
    why_not = why_not_timm(run.config)
    return f"timm cannot load it: {why_not}." if why_not else "timm loads it, with the same logits."


def push(
    run: Run, repo: str, *, token: str | None = None, private: bool = False, say: Say = lambda sentence: None
) -> str:
    """Put a run's folder on the Hugging Face hub, and return its address there.

    Args:
        repo: ``user/name``; made where it is not there.
        token: of a person who may write there; None is the one that ``hf auth login`` or ``HF_TOKEN`` left.
        private: a new one is seen by its owner alone.

    Raises:
        SettingsError: the name cannot be one.
        UserError: huggingface_hub is not installed, there is no token, or the hub refuses or is not reached.
    """
    if not REPO.fullmatch(repo):
        raise SettingsError(
            f"{repo[:80]!r} is no place on the hub: take USER/NAME, of letters, digits, dots and hyphens."
        )
    hub = optional_packages.require("Pushing to the Hugging Face hub", "huggingface_hub")
    token = token or hub.get_token()
    if not token:
        raise UserError(NO_TOKEN)
    with tempfile.TemporaryDirectory() as folder:
        write_folder(run, Path(folder), repo=repo, say=say)
        say(f"Uploading to {repo}.")
        try:
            api = hub.HfApi(token=token, library_name="vit-attention-explorer")
            url = api.create_repo(repo, private=private or None, exist_ok=True)
            api.upload_folder(repo_id=repo, folder_path=folder, commit_message=f"Export of the run {run.name}")
        except Exception as error:  # of the hub's client, and of the client that it speaks http with
            raise UserError(_refusal(error, repo, token)) from None  # the cause may hold the token
    return str(url)


def _refusal(error: Exception, repo: str, token: str) -> str:
    """What the hub or the way to it said, in one sentence, and never the token."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401:
        return "The hub does not know your token: make a new one that may write, and run hf auth login."
    if status == 403:
        return f"The hub does not let this token write to {repo}: take a token that may write, or a place of your own."
    if status is not None:
        said = str(getattr(error, "server_message", "") or f"status {status}").replace(token, "…")
        return f"The hub refused {repo} ({' '.join(said.split())[:200].rstrip('.')}): see whether such a place can be."
    said = " ".join(str(error).replace(token, "…").split())[:200].rstrip(".")
    return f"The hub was not reached ({said or type(error).__name__}): see whether this machine is on the net."
