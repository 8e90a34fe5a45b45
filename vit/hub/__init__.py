"""Export a run as a folder for the Hugging Face hub (weights, settings and a model card), and push it there.

timm, the hub's mixin (:mod:`vit.hub.models`) and this program all read the folder's ``config.json``
(:mod:`vit.hub.settings`).
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
from vit.hub.settings import config_json, why_not_timm
from vit.plots.panels import panels
from vit.runs import Run
from vit.runs.dependence import read_dependence
from vit.runs.privacy import without_private_settings
from vit.support.files import write_atomic

if TYPE_CHECKING:
    from vit.evaluation import Evaluation

README = "README.md"
FILES = (runs.CONFIG, runs.MODEL, runs.DEPENDENCE, README, CURVES, CONFUSION, ATTENTION)
"""The files of the folder."""

REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
NO_TOKEN = "Pushing needs your token for the hub: run hf auth login, or set HF_TOKEN to a token with write permission."

Say = Callable[[str], None]
Progress = Callable[[int, int], None]


def write_folder(run: Run, folder: Path, *, repo: str = "", say: Say = lambda sentence: None) -> None:
    """Write the folder of a run: weights, settings, model card and pictures.

    Args:
        run: the run to export.
        folder: created if it does not exist; an earlier export in it is replaced.
        repo: its future place on the hub, ``user/name``, for the card.
        say: called with a sentence before each step.

    Raises:
        RunError: the run has no weights, or the folder holds other files or cannot be written.
    """
    files = contents(run, repo=repo, say=say)
    try:
        strange = sorted({path.name for path in folder.iterdir()} - set(FILES)) if folder.exists() else []
        if strange:
            raise RunError(
                f"The folder {folder} holds {strange[0][:60]!r}, which is not part of an export: choose a new folder."
            )
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
        for name, content in files.items():
            write_atomic(folder / name, content)
    except OSError as error:
        raise RunError(f"The folder {folder} cannot be written: {error.strerror or error}.") from error


def write_zip(run: Run, target: BinaryIO, *, progress: Progress | None = None) -> None:
    """Write the same folder as a zip file.

    Args:
        run: the run to export.
        target: a binary stream.
        progress: called with (images done, images in total), first while the images are prepared and then while the
            model is evaluated.

    Raises:
        RunError: see :func:`write_folder`.
    """
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in contents(run, progress=progress).items():
            archive.writestr(f"{run.name}/{name}", content)  # not compressed: weights and pictures do not get smaller


def contents(
    run: Run, *, repo: str = "", say: Say = lambda sentence: None, progress: Progress | None = None
) -> dict[str, bytes]:
    """Return the files of the folder by name.

    Results and pictures that need the validation images are left out if the images are not available.
    """
    from safetensors.torch import save

    from vit.runs.weights import load_checkpoint

    model, info = load_checkpoint(run.path)
    config = without_private_settings(run.config)
    measured, counts = _judged(run, model, info, say, progress)
    say("Writing the card.")
    pictures = _pictures(run, measured)
    dependence = read_dependence(run)
    card = Card(run.name, config, repo or "USER/NAME", run.best, measured, counts, dependence, tuple(pictures))
    texts = {runs.DEPENDENCE: dependence.model_dump_json().encode()} if dependence else {}
    return (
        {
            runs.CONFIG: json.dumps(config_json(config), indent=2).encode(),
            runs.MODEL: save(model.state_dict(), metadata={"format": "pt"}),
            README: str(card.model_card()).encode(),
        }
        | texts
        | pictures
    )


def _judged(
    run: Run, model: Any, info: Any, say: Say, progress: Progress | None
) -> "tuple[Evaluation, tuple[int, int]] | tuple[None, None]":
    """Evaluate the model on its validation images.

    Returns:
        The evaluation, and the number of training and of validation images; None for both if the images are not
        available.
    """
    from vit.results.answers import answers

    try:
        say("Preparing the images.")
        data = load(run.config.data, progress=progress)
        assert data.train is not None
        assert data.val is not None
        say("Evaluating the model on the validation images.")
        return answers(run, model, info, data.val, progress=progress), (len(data.train), len(data.val))
    except UserError as error:
        say(f"The card has no validation results: {error}")
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
    """Return a sentence that says whether timm can load the folder."""
    reason = why_not_timm(run.config)
    return f"timm cannot load it: {reason}." if reason else "timm loads it, with the same logits."


def push(
    run: Run, repo: str, *, token: str | None = None, private: bool = False, say: Say = lambda sentence: None
) -> str:
    """Push a run's folder to the Hugging Face hub, and return its address there.

    Args:
        run: the run to export.
        repo: ``user/name``; created if it does not exist.
        token: a token with write permission; None uses that of ``hf auth login`` or ``HF_TOKEN``.
        private: create the repository as private.
        say: called with a sentence before each step.

    Raises:
        SettingsError: ``repo`` is not a valid name.
        UserError: there is no token, the hub refuses the push, or the hub cannot be reached.
    """
    if not REPO.fullmatch(repo):
        raise SettingsError(
            f"{repo[:80]!r} is not a repository on the hub: use USER/NAME, with letters, digits, dots and hyphens."
        )
    import huggingface_hub as hub

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
        except Exception as error:  # of the hub's client, or of its HTTP client
            raise UserError(_refusal(error, repo, token)) from None  # the cause may contain the token
    return str(url)


def _refusal(error: Exception, repo: str, token: str) -> str:
    """Return one sentence about a failed push, without the token."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401:
        return "The hub does not know your token: create a new one with write permission, and run hf auth login."
    if status == 403:
        return f"This token has no permission to write to {repo}: use a token that has, or a repository of your own."
    if status is not None:
        said = str(getattr(error, "server_message", "") or f"status {status}").replace(token, "…")
        return f"The hub refused {repo} ({' '.join(said.split())[:200].rstrip('.')}): check the name of the repository."
    said = " ".join(str(error).replace(token, "…").split())[:200].rstrip(".")
    return f"The hub cannot be reached ({said or type(error).__name__}): check the internet connection."
