"""A published model becomes a run: a folder like that of any training, finished, with the model's weights in it."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from vit import runs
from vit.config import RunConfig
from vit.data.files import zips
from vit.errors import RunError, UserError
from vit.paths import checkpoints_dir
from vit.published import architecture as arch
from vit.published import download, guess_architecture, loading, own_exports, weights_file
from vit.published.loading import Loaded, Origin
from vit.runs import Run, Status
from vit.support.files import free_bytes, sync_folder

FLOAT = 4
Adapt = Callable[[RunConfig], RunConfig]
"""Given the settings of a run that is to be, raises a UserError, or returns the settings to keep."""


def open_named(
    name: str,
    *,
    run: str | None = None,
    image_size: int | None = None,
    progress: download.Progress | None = None,
    adapt: Adapt | None = None,
) -> Run:
    """Fetch a model of timm's zoo and make a run of it.

    Args:
        name: timm's, with or without a tag.
        run: what to call the run; without it, after the model.
        image_size: side of its images in pixels, where it is to be another than the published one.
        progress: called with bytes fetched and bytes in all; what it raises ends the download, and what came so far is
            kept for the next one.

    Raises:
        NotOurs: our network cannot be this model; the sentence says what differs.
        UserError: no such model, no connection, no safetensors file of it, no room on the disk, or the name is taken.
    """
    origin = loading.named(name)
    _check_name(run)
    config = arch.config_of(origin.architecture, image_size)  # before anything is fetched
    if adapt:
        adapt(RunConfig(model=config, data=loading.preprocessing_of(origin.cfg, config.image_size).of(())))
    path = download.fetch(origin, progress)
    made = adopt(loading.load(path, origin, image_size=image_size), run, adapt=adapt)
    download.forget(path)
    return made


def open_file(
    path: Path,
    *,
    architecture: str | None = None,
    run: str | None = None,
    image_size: int | None = None,
    title: str | None = None,
    config: bytes | None = None,
    adapt: Adapt | None = None,
) -> Run:
    """Make a run of a safetensors file: of a model of timm's, or of a run that this program exported for the hub.

    Args:
        architecture: timm's name for its network; without it, what a ``config.json`` beside it says, or the only one
            that its weights fit.
        title: what the file is called, where its path is a makeshift.
        config: the content of its ``config.json``, where that does not lie beside it.

    Raises:
        Ambiguous: its weights fit several architectures.
        NotOurs: our network cannot be this model; the sentence says what differs.
        UserError: it cannot be read, is damaged, holds other weights, or the name is taken.
    """
    _check_name(run)
    title = title or path.name
    stem = re.sub(rf"\{weights_file.SUFFIX}$", "", title)[:100] or "weights"
    if architecture is None:
        config = config or _beside(path, title)
        if config and stem == "model" and path.name == title:
            stem = path.absolute().parent.name[:100] or stem
        if config and (own := own_exports.settings_in(config)):
            return adopt(own_exports.load(path, own, stem), run, adapt=adapt)
    origin = _origin(path, stem, architecture, config)
    return adopt(loading.load(path, origin, image_size=image_size), run, adapt=adapt)


def _beside(path: Path, title: str) -> bytes | None:
    """The ``config.json`` in the folder of a file, where there is one."""
    beside = path.with_name(loading.CONFIG)
    if path.name != title or not beside.is_file():
        return None
    with beside.open("rb") as file:
        return file.read(loading.CONFIG_BYTES_MAX + 1)


def _origin(path: Path, stem: str, architecture: str | None, config: bytes | None) -> Origin:
    """What a file of weights is, by what is said of it, and else by its shapes."""
    arch.require_timm()
    if config is not None and architecture is None:
        return loading.described(config, stem)
    if architecture and "." in architecture:
        return loading.named(architecture)
    if guess_architecture.is_pretrained(stem) and architecture in (None, stem.partition(".")[0]):
        return loading.named(stem)
    return loading.of_architecture(architecture or guess_architecture.guess(path, stem), stem)


def adopt(loaded: Loaded, name: str | None = None, *, adapt: Adapt | None = None) -> Run:
    """Make the folder of a run, which appears under its name once it is whole.

    Raises:
        RunError: the name is taken or no name, the disk is full, or the folder cannot be written.
    """
    from safetensors.torch import save_file

    size = FLOAT * sum(value.numel() for value in loaded.weights.values())
    folder = checkpoints_dir()
    if 2 * size > (free := free_bytes(folder)):
        raise RunError(
            f"The model takes {size / 1e6:,.1f} MB of the disk, and {free / 1e6:,.1f} MB are free: make room."
        )
    now = datetime.now(UTC)
    config = loaded.config.model_copy(update={"created": now.isoformat(timespec="microseconds")})
    config = adapt(config) if adapt else config
    what = f"The published model {config.published}. {' '.join(loaded.remarks)}".strip()
    status = Status(state="finished", message=what, ticket=0, started=now.timestamp(), ended=time.time())
    try:
        with zips.scratch(folder) as beside:
            runs.write_config(beside, config)
            runs.write_status(beside, status)
            save_file(loaded.weights, beside / runs.MODEL)
            target = folder / (name or runs.free_name(_slug(config.published)))
            sync_folder(beside)
            beside.rename(target)
        sync_folder(folder)
    except OSError as error:
        if name is not None and (folder / name).exists():
            raise _taken(name) from error
        raise RunError(f"The run cannot be written into {folder}: {error.strerror or error}.") from error
    return Run(target)


def _check_name(name: str | None) -> None:
    if name is not None and (checkpoints_dir() / runs.check_name(name)).exists():
        raise _taken(name)


def _taken(name: str) -> UserError:
    return RunError(f"There is a run {name!r} already: choose another name, such as {runs.free_name(name)!r}.")


def _slug(text: str) -> str:
    """The name of a model as the name of a run."""
    name = re.sub(r"[^a-z0-9._-]+", "-", text.lower())[:59].strip("._-")
    return name if runs.possible_name(name) else "published"
