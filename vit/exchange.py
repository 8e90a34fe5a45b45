"""Runs as zip files: packed for a friend or another machine, and unpacked from anyone.

Nothing in such a file is believed. Only the names of a run's own files are taken, bytes are counted while they are
expanded, and each file is checked for what it should be before the folder becomes a run: settings by
:class:`vit.config.RunConfig`, weights by the names and shapes in their header against a network that has no memory.
"""

import json
import math
import os
import re
import secrets
import shutil
import time
import zipfile
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import SafetensorError, safe_open

from vit import runs
from vit.config import RUN_NAME, SNAPSHOTS_MAX, RunConfig, checkpoints_dir
from vit.data import archives, title
from vit.data.images import open_image
from vit.data.uploads import BYTES_MAX, RATIO_FREE_BYTES, RATIO_MAX
from vit.errors import DataError, RunError, UserError
from vit.files import sync_folder
from vit.runs import Run, Status

PICTURES = (runs.PICTURE, "sample.png")
_TEXTS = (runs.CONFIG, runs.STATUS, runs.METRICS)
_SNAPSHOT = re.compile(rf"{runs.SNAPSHOTS}/\d{{5}}\.safetensors")
_ENTRIES_MAX = SNAPSHOTS_MAX + 100
_SETTINGS_BYTES_MAX = 2 * 2**20
_LINE_BYTES_MAX = 2**16
_SOURCE_MAX = 1000
_STALE_SECONDS = 24 * 3600
_WHOLE = "download it again from the Runs page it came from."


def pack(run: Run, target: Path | BinaryIO, *, snapshots: bool = True, resume: bool = False) -> None:
    """Write a run as a zip: settings, curves, status, pictures and the kept weights, in a folder of its name.

    Args:
        snapshots: with the weights along the way.
        resume: with what going on needs, which is three times as large as the weights.

    Raises:
        RunError: a file cannot be read, or the zip not written.
    """
    names = [*_TEXTS, *PICTURES, runs.MODEL, *([runs.LAST] if resume else [])]
    if snapshots:
        names += sorted(f"{runs.SNAPSHOTS}/{file.name}" for file in (run.path / runs.SNAPSHOTS).glob("*.safetensors"))
    try:
        with zipfile.ZipFile(target, "w") as archive:
            for name in names:
                if (run.path / name).is_file():
                    # Weights do not get smaller by being compressed.
                    kind = zipfile.ZIP_DEFLATED if name in _TEXTS else zipfile.ZIP_STORED
                    archive.write(run.path / name, f"{run.name}/{name}", compress_type=kind)
    except OSError as error:
        raise RunError(f"The run {run.name!r} cannot be packed: {error.strerror or error}.") from error


def unpack(file: Path | BinaryIO, name: str | None = None) -> Run:
    """Make a run of a zip that :func:`pack` wrote; nothing is left behind where that fails.

    Args:
        file: a path, or a seekable binary stream; its ``name``, where it has one, is for messages.
        name: what to call the run; without it, as the zip does, or the next free name like it.

    Raises:
        RunError: not a zip of a run, a file in it is not what it should be, it is too large, or the name is taken.
    """
    title_ = Path(str(getattr(file, "name", "The zip")).replace("\\", "/")).name[:80] or "The zip"
    if name is not None and (checkpoints_dir() / runs.check_name(name)).exists():
        raise RunError(f"There is a run {name!r} already: choose another name, such as {runs.free_name(name)!r}.")
    beside = checkpoints_dir() / f".{secrets.token_hex(8)}.part"
    try:
        beside.mkdir(parents=True)
        _remove_stale()
        try:
            with archives.open_zip(file, title_) as archive:
                found, folder = _members(archive, title_)
                _expand(archive, found, beside, title_)
            _check(beside, title_)
            target = checkpoints_dir() / (name or runs.free_name(_called(folder or title_)))
            sync_folder(beside)
            beside.rename(target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except DataError as error:  # of the archive: its advice is for images
        raise RunError(f"{str(error).rpartition(':')[0]}: {_WHOLE}") from error
    except OSError as error:
        raise RunError(f"{title_} cannot be unpacked: {error.strerror or error}.") from error
    return Run(target)


def _called(text: str) -> str:
    """A text as the name of a run."""
    name = re.sub(r"[^a-z0-9._-]+", "-", re.sub(r"\.zip$", "", text.lower()))[:64].strip("._-")
    return name if RUN_NAME.fullmatch(name) else "run"


def _members(archive: zipfile.ZipFile, title_: str) -> tuple[dict[str, zipfile.ZipInfo], str]:
    """The files of the run by their names within it, and the folder that they lie in, if any."""
    if len(archive.infolist()) > _ENTRIES_MAX:
        raise RunError(f"{title_} holds {len(archive.infolist()):,} files, more than a run has: {_WHOLE}")
    members = [
        member for member in archives.members(archive, title_) if not member.is_dir and member.parts[-1] != runs.LOG
    ]
    config = next((member.parts for member in members if member.parts[-1] == runs.CONFIG), None)
    if config is None or len(config) > 2:
        raise RunError(f"{title_} holds no run, for there is no {runs.CONFIG} in it: {_WHOLE}")
    folder = config[:-1]
    found: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        name = "/".join(member.parts[len(folder) :])
        known = name in (*_TEXTS, *PICTURES, runs.MODEL, runs.LAST) or _SNAPSHOT.fullmatch(name)
        if member.parts[: len(folder)] != folder or not known:
            raise RunError(f"{title_} holds {'/'.join(member.parts)[:80]!r}, which is no file of a run: {_WHOLE}")
        if name in found:
            raise RunError(f"{title_} holds {name!r} twice: {_WHOLE}")
        found[name] = member.info
    return found, "".join(folder)


def _expand(archive: zipfile.ZipFile, found: Mapping[str, zipfile.ZipInfo], folder: Path, title_: str) -> None:
    """Write the files, counting what comes out of the zip, whatever sizes it declares."""
    limit, done = min(BYTES_MAX, shutil.disk_usage(folder).free // 2), 0
    packed = sum(info.compress_size for info in archive.infolist())
    for name, info in found.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        with path.open("xb") as target:
            for chunk in archives.chunks(archive, info, name=f"{title_}: {name!r}"):
                done += len(chunk)
                if done > limit:
                    raise RunError(f"{title_} expands to more than {limit / 2**30:.1f} GB: leave its snapshots out.")
                if done > RATIO_FREE_BYTES and done > RATIO_MAX * packed:
                    raise RunError(f"{title_} expands to over {RATIO_MAX} times its size, as no run does: {_WHOLE}")
                target.write(chunk)
            target.flush()
            os.fsync(target.fileno())


def _check(folder: Path, title_: str) -> None:
    """Every file is what its name says, and the run is one that has ended.

    Raises:
        RunError: it is not; the sentence names the file.
    """
    try:
        config = RunConfig.from_json(_small(folder / runs.CONFIG))
        _check_source(config.data.source)
        if (folder / runs.STATUS).exists():
            status = Status.from_json(_small(folder / runs.STATUS))
            runs.write_status(folder, _ended(status, has_weights=(folder / runs.MODEL).exists()))
        if (folder / runs.METRICS).exists():
            _rewrite_metrics(folder / runs.METRICS)
        _check_weights(folder, config)
        for name in PICTURES:
            if (folder / name).exists():
                open_image(folder / name)
    except UserError as error:
        raise RunError(f"{title_} holds no run that can be used: {error}") from error


def _small(path: Path) -> bytes:
    if path.stat().st_size > _SETTINGS_BYTES_MAX:
        raise RunError(f"its {path.name} is too long.")
    return path.read_bytes()


def _check_source(source: str) -> None:
    """Whether this machine has the data does not matter, but whatever asks for it must be able to."""
    try:
        title(source)
        possible = source.isprintable() and len(source) <= _SOURCE_MAX
    except (RuntimeError, ValueError, OSError):  # such as the home of a user that there is not
        possible = False
    if not possible:
        raise RunError("its data set has a name that no data set can have.")


def _ended(status: Status, *, has_weights: bool) -> Status:
    """A status as it is told of a run that nobody works on."""
    validated = status.validated and status.best is not None and has_weights
    if status.best is not None and not _numbers(status.best, _epoch_fields()):
        raise RunError(f"the best epoch of its {runs.STATUS} is not one.")
    changes = {"pid": None, "ticket": 0, "validated": validated}
    if status.state in runs.ACTIVE:
        changes |= {"state": "stopped", "message": f"Packed after {status.epoch} complete epochs."}
    return status.model_copy(update=changes)


def _rewrite_metrics(path: Path) -> None:
    """Keep of each line its event and its numbers.

    Raises:
        RunError: a line is neither a step nor an epoch.
    """
    from vit.trainer import Step

    required = {"step": [field.name for field in fields(Step)], "epoch": _epoch_fields()}
    beside = path.with_suffix(".part")
    with path.open("rb") as lines, beside.open("w") as target:
        for number, line in enumerate(iter(lambda: lines.readline(_LINE_BYTES_MAX), b""), start=1):
            try:
                values = json.loads(line)
                event = values.pop("event")
                good = _numbers(values, required[event])
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                good = False
            if not good:
                raise RunError(f"line {number} of its {runs.METRICS} is neither a step nor an epoch.")
            kept = {key: value for key, value in values.items() if _is_number(value)}
            target.write(json.dumps({"event": event} | kept, separators=(",", ":")) + "\n")
    beside.replace(path)


def _epoch_fields() -> list[str]:
    """The numbers of an epoch, which the status has of the best one."""
    from vit.trainer import Epoch

    return [field.name for field in fields(Epoch) if field.repr and field.name != "kept"]


def _numbers(values: Mapping[str, Any], required: list[str]) -> bool:
    counts = (values.get(name, 0) for name in ("step", "epoch"))
    return all(isinstance(count, int) and count >= 0 for count in counts) and all(
        _is_number(values.get(name)) for name in required
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e300 and math.isfinite(value)


def _check_weights(folder: Path, config: RunConfig) -> None:
    """The weights are those of the network that the settings describe, which is built without any memory for it."""
    import torch

    from vit.networks import build_model

    files = [folder / runs.MODEL, folder / runs.LAST, *(folder / runs.SNAPSHOTS).glob("*")]
    files = [file for file in files if file.exists()]
    if not files:
        return
    with torch.device("meta"):
        shapes = {name: list(value.shape) for name, value in build_model(config.model).state_dict().items()}
    for file in files:
        try:
            with safe_open(file, framework="np") as content:
                found = {name: content.get_slice(name).get_shape() for name in content.keys()}  # noqa: SIM118
                values = {key: json.loads(value) for key, value in (content.metadata() or {}).items()}
        except (SafetensorError, ValueError, RecursionError) as error:
            raise RunError(f"its {file.name} is damaged.") from error
        if file.name == runs.LAST:
            found = _resumed(found, values, shapes)
        if found != shapes:
            raise RunError(f"its {file.name} does not fit the network of its {runs.CONFIG}.")


def _resumed(found: dict[str, list[int]], position: Mapping, shapes: Mapping[str, list[int]]) -> dict[str, list[int]]:
    """The weights among the tensors that a resume needs, once the rest is what it should be."""
    state = {name for name in found if name.startswith("optimizer.")}
    fit = all(
        re.fullmatch(r"optimizer\.\d{1,5}\.\w{1,30}", name) and found[name] in ([], *shapes.values()) for name in state
    )
    if not fit or not _numbers(position, ["epoch", "step", "seconds", "best", "tie"]):
        raise RunError(f"its {runs.LAST} is not what a resume needs.")
    return {name.removeprefix("model."): shape for name, shape in found.items() if name not in state}


def _remove_stale() -> None:
    """Folders that a killed process left half unpacked."""
    for entry in checkpoints_dir().glob(".*.part"):
        if time.time() - entry.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(entry, ignore_errors=True)
