"""Open a published model as a run: a folder like that of a finished training, with the model's weights."""

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
from vit.published import download, guess_architecture, loading, model_description, own_exports, parts
from vit.published.loading import Loaded
from vit.published.model_description import PublishedModel
from vit.published.preprocessing import preprocessing_of
from vit.published.weights_file import WeightsFile
from vit.runs import Run, Status
from vit.support.files import free_bytes, sync_folder

FLOAT = 4
Adapt = Callable[[RunConfig], RunConfig]
"""Called with the settings of a new run; returns the settings to keep, or raises a UserError."""


def open_named(
    name: str,
    *,
    run: str | None = None,
    image_size: int | None = None,
    class_names: tuple[str, ...] | None = None,
    progress: download.Progress | None = None,
    adapt: Adapt | None = None,
) -> Run:
    """Download a pretrained model of timm and create a run from it.

    Args:
        name: timm's name, with or without a tag.
        run: the run's name; None derives it from the model's name.
        image_size: image size in pixels; None uses the published one.
        class_names: the names of the classes; None uses those that come with the model.
        progress: called with (bytes done, bytes in total). An exception that it raises ends the download; the next
            download continues from there.
        adapt: see :data:`Adapt`.

    Raises:
        NotSupported: the ViT cannot represent this model; the message says what differs.
        UserError: there is no such model, no connection, no safetensors file or too little disk space, or the name is
            taken.
    """
    published = model_description.by_name(name)
    _check_name(run)
    config = arch.config_of(published.architecture, image_size)  # raises before anything is downloaded
    if adapt:
        adapt(RunConfig(model=config, data=preprocessing_of(published.cfg, config.image_size).data_config(())))
    path = download.fetch(published, progress)
    loaded = loading.load(WeightsFile(path), published, image_size=image_size, class_names=class_names)
    made = create_run(loaded, run, adapt=adapt)
    download.forget(path)
    return made


def open_file(
    path: Path,
    *,
    architecture: str | None = None,
    run: str | None = None,
    image_size: int | None = None,
    class_names: tuple[str, ...] | None = None,
    title: str | None = None,
    config: bytes | None = None,
    adapt: Adapt | None = None,
) -> Run:
    """Create a run from a safetensors file of a timm model, or of a run that this program exported for the hub.

    Args:
        path: the file, a part of a sharded model, the index of its parts, or a folder with one model.
        architecture: timm's name of the network; None reads the ``config.json`` in the same folder, or else guesses
            from the weights.
        run: the run's name; None derives it from the model's name.
        image_size: image size in pixels; None uses that of the file.
        class_names: the names of the classes; None uses those that come with the model.
        title: name of the file for messages, if its path is temporary.
        config: content of its ``config.json``, if that is not in the same folder.
        adapt: see :data:`Adapt`.

    Raises:
        Ambiguous: the weights fit several architectures.
        NotSupported: the ViT cannot represent this model; the message says what differs.
        UserError: the file cannot be read, is damaged or holds other weights, or the name is taken.
    """
    _check_name(run)
    file = WeightsFile(path, title)
    stem = parts.stem(file.title)[:100] or "weights"
    if architecture is None:
        config = config or _beside(file.parts[0], title)
        if config and stem == "model" and title is None:
            stem = file.parts[0].absolute().parent.name[:100] or stem
        if config and (own := own_exports.settings_in(config)):
            return create_run(own_exports.load(file, own, stem, class_names), run, adapt=adapt)
    published = _origin(file, stem, architecture, config)
    loaded = loading.load(file, published, image_size=image_size, class_names=class_names)
    return create_run(loaded, run, adapt=adapt)


def _beside(path: Path, title: str | None) -> bytes | None:
    """Return the content of the ``config.json`` in the folder of a file, or None if there is none."""
    beside = path.with_name(model_description.CONFIG)
    if title is not None or not beside.is_file():
        return None
    with beside.open("rb") as file:
        return file.read(model_description.CONFIG_BYTES_MAX + 1)


def _origin(file: WeightsFile, stem: str, architecture: str | None, config: bytes | None) -> PublishedModel:
    """Identify the model of a file of weights from what is stated about it, or else from its shapes."""
    arch.require_timm()
    if config is not None and architecture is None:
        return model_description.from_config_json(config, stem)
    if architecture and "." in architecture:
        return model_description.by_name(architecture)
    if guess_architecture.is_pretrained(stem) and architecture in (None, stem.partition(".")[0]):
        return model_description.by_name(stem)
    return model_description.from_architecture(architecture or guess_architecture.guess(file, stem), stem)


def create_run(loaded: Loaded, name: str | None = None, *, adapt: Adapt | None = None) -> Run:
    """Write the folder of a run under a temporary name, and rename it when it is complete.

    Args:
        loaded: the settings and weights.
        name: the run's name; None derives it from the model's name.
        adapt: see :data:`Adapt`.

    Raises:
        RunError: the name is taken or invalid, the disk is full, or the folder cannot be written.
    """
    from safetensors.torch import save_file

    size = FLOAT * sum(value.numel() for value in loaded.weights.values())
    folder = checkpoints_dir()
    if 2 * size > (free := free_bytes(folder)):
        raise RunError(
            f"The model takes {size / 1e6:,.1f} MB of the disk, and {free / 1e6:,.1f} MB are free: free some space."
        )
    now = datetime.now(UTC)
    config = loaded.config.model_copy(update={"created": now.isoformat(timespec="microseconds")})
    config = adapt(config) if adapt else config
    what = f"The published model {config.published}. {' '.join(loaded.remarks)}".strip()
    status = Status(state="finished", message=what, ticket=0, started=now.timestamp(), ended=time.time())
    try:
        with zips.temporary_folder(folder) as beside:
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
    """Return a model's name as a valid run name."""
    name = re.sub(r"[^a-z0-9._-]+", "-", text.lower())[:59].strip("._-")
    return name if runs.is_valid_name(name) else "published"
