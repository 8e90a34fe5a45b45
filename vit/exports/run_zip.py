"""Pack runs as zip files, and unpack them.

An uploaded zip is untrusted. Only the file names of a run are accepted, bytes are counted during expansion, and every
file is checked before the folder becomes a run: the settings with :class:`vit.config.RunConfig`, the weights by
comparing the names and shapes in their header with a network on the meta device.
"""

import json
import math
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import SafetensorError, safe_open

from vit import runs
from vit.config import SNAPSHOTS_MAX, RunConfig
from vit.data import title
from vit.data.files import zips
from vit.data.files.images import FILE_BYTES_MAX, open_image
from vit.data.files.zips import BYTES_MAX, RATIO_FREE_BYTES, RATIO_MAX
from vit.errors import DataError, RunError, UserError
from vit.paths import checkpoints_dir
from vit.runs import Run, Status, dependence
from vit.runs.folder import LIVE, RESULTS
from vit.runs.notes import BYTES_MAX as NOTES_BYTES_MAX
from vit.runs.notes import Notes, read_notes, write_notes
from vit.runs.privacy import without_private_settings, without_private_status
from vit.support.files import sync_folder

PICTURES = (runs.PICTURE, "sample.png")
_TEXTS = (runs.CONFIG, runs.STATUS, runs.METRICS, runs.DEPENDENCE, runs.NOTES)
_CHECKED = (runs.DEPENDENCE, runs.NOTES)
"""Files that are packed as they are read, and left out if they are damaged."""
_LEFT_OUT = (runs.TENSORBOARD, RESULTS)
"""Folders that are not packed, and not unpacked: results are measured anew instead of trusting those of a stranger."""
_SNAPSHOT = re.compile(rf"{runs.SNAPSHOTS}/\d{{5}}\.safetensors")
_ENTRIES_MAX = SNAPSHOTS_MAX + 100
_TEXT_BYTES_MAX = {
    runs.CONFIG: 2 * 2**20,
    runs.STATUS: 2**20,
    runs.METRICS: 64 * 2**20,
    runs.DEPENDENCE: dependence.BYTES_MAX,
    runs.NOTES: NOTES_BYTES_MAX,
}
_HEADER_BYTES_MAX = 4 * 2**20
"""Largest header (names and shapes) of a file of weights; it is read into memory as a whole."""
_BYTES_PER_WEIGHT = 16
"""In ``last.safetensors``, the largest file: the weight, two states of the optimiser, and the kept weight."""
_FLOATS, _COUNTS = ("F64", "F32", "F16", "BF16"), ("I64",)
_LINE_BYTES_MAX = 2**16
_SOURCE_MAX = 1000
_MESSAGE_MAX = 1000
_COUNT_MAX = 2**53
_LATEST = 2**33
"""Seconds since 1970: the year 2242."""
_DOWNLOAD_AGAIN = "download it again from the Runs page it came from."


def pack(
    run: Run,
    target: Path | BinaryIO,
    *,
    snapshots: bool = True,
    resume: bool = False,
) -> None:
    """Write a run as a zip, in a folder with the run's name: settings, curves, status, notes, pictures, kept weights.

    Private settings are left out (:mod:`vit.runs.privacy`).

    Args:
        run: the run to pack.
        target: a path, or a binary stream.
        snapshots: include the snapshots.
        resume: include what a resume needs; it is three times as large as the weights.

    Raises:
        RunError: a file cannot be read, or the zip cannot be written.
    """
    texts = {runs.CONFIG: without_private_settings(run.config).model_dump_json(indent=2)}
    if (run.path / runs.STATUS).is_file():
        texts[runs.STATUS] = without_private_status(run.status, run.config).model_dump_json(indent=2)
    if found := dependence.read_dependence(run):
        texts[runs.DEPENDENCE] = found.model_dump_json()
    if notes := read_notes(run):
        texts[runs.NOTES] = notes.model_dump_json()
    names = [*_TEXTS, *PICTURES, runs.MODEL, *([runs.LAST] if resume else [])]
    if snapshots:
        names += sorted(f"{runs.SNAPSHOTS}/{file.name}" for file in (run.path / runs.SNAPSHOTS).glob("*.safetensors"))
    try:
        with zipfile.ZipFile(target, "w") as archive:
            for name in names:
                if name in texts:
                    archive.writestr(f"{run.name}/{name}", texts[name])
                elif name not in _CHECKED and (run.path / name).is_file():
                    # Compression does not make weights smaller.
                    kind = zipfile.ZIP_DEFLATED if name in _TEXTS else zipfile.ZIP_STORED
                    archive.write(run.path / name, f"{run.name}/{name}", compress_type=kind)
    except OSError as error:
        raise RunError(f"The run {run.name!r} cannot be packed: {error.strerror or error}.") from error


def unpack(
    file: Path | BinaryIO,
    name: str | None = None,
    *,
    title: str = "",
    adapt: Callable[[Path, RunConfig], RunConfig] | None = None,
    bytes_max: int | None = None,
) -> Run:
    """Create a run from a zip that :func:`pack` wrote. A failure leaves nothing behind.

    Args:
        file: a path, or a seekable binary stream.
        name: the run's name; None uses the name in the zip, or the next free name like it.
        title: name of the zip in messages; otherwise the ``name`` of the file is used.
        adapt: called with the unpacked folder and its settings (without owner); returns the settings to keep, or
            raises a UserError.
        bytes_max: limit of the expanded size, if lower than the usual one.

    Returns:
        The new run.

    Raises:
        RunError: the file is not a zip of a run, a file in it is invalid, it is too large, or the name is taken.
    """
    title_ = Path((title or str(getattr(file, "name", "The zip"))).replace("\\", "/")).name[:80] or "The zip"
    if name is not None and (checkpoints_dir() / runs.check_name(name)).exists():
        raise RunError(f"There is a run {name!r} already: choose another name, such as {runs.free_name(name)!r}.")
    try:
        with zips.temporary_folder(checkpoints_dir()) as beside:
            with zips.open_zip(file, title_, _ENTRIES_MAX) as archive:
                found, folder = _members(archive, title_)
                _unpack(archive, found, beside, title_, min(bytes_max or BYTES_MAX, BYTES_MAX), adapt)
            target = checkpoints_dir() / (name or runs.free_name(_called(folder or title_)))
            sync_folder(beside)
            beside.rename(target)
    except DataError as error:  # its advice is about images, so it is replaced
        raise RunError(f"{str(error).rpartition(':')[0]}: {_DOWNLOAD_AGAIN}") from error
    except OSError as error:
        raise RunError(f"{title_} cannot be unpacked: {error.strerror or error}.") from error
    return Run(target)


def _called(text: str) -> str:
    """Return a text as a valid run name."""
    name = re.sub(r"[^a-z0-9._-]+", "-", re.sub(r"\.zip$", "", text.lower()))[:64].strip("._-")
    return name if runs.is_valid_name(name) else "run"


def _members(archive: zipfile.ZipFile, title_: str) -> tuple[dict[str, zipfile.ZipInfo], str]:
    """Return the run's files by their names within the run, and the name of their folder in the zip ("" if none)."""
    members = [
        member
        for member in zips.members(archive, title_)
        if not member.is_dir and member.parts[-1] not in (runs.LOG, LIVE) and not {*_LEFT_OUT} & {*member.parts[:-1]}
    ]
    config = next((member.parts for member in members if member.parts[-1] == runs.CONFIG), None)
    if config is None or len(config) > 2:
        raise RunError(f"{title_} holds no run, because it contains no {runs.CONFIG}: {_DOWNLOAD_AGAIN}")
    folder = config[:-1]
    found: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        name = "/".join(member.parts[len(folder) :])
        known = name in (*_TEXTS, *PICTURES, runs.MODEL, runs.LAST) or _SNAPSHOT.fullmatch(name)
        if member.parts[: len(folder)] != folder or not known:
            raise RunError(
                f"{title_} holds {'/'.join(member.parts)[:80]!r}, which is not a file of a run: {_DOWNLOAD_AGAIN}"
            )
        found[name] = member.info
    return found, "".join(folder)


def _unpack(
    archive: zipfile.ZipFile,
    found: Mapping[str, zipfile.ZipInfo],
    folder: Path,
    title_: str,
    bytes_max: int,
    adapt: Callable[[Path, RunConfig], RunConfig] | None,
) -> None:
    """Expand and check each file. The settings come first, because they determine the sizes of the weights.

    Raises:
        RunError: a file is invalid; the sentence names it.
    """
    limit = min(bytes_max, shutil.disk_usage(folder).free // 2)
    packed = sum(info.compress_size for info in archive.infolist())
    done = 0

    def expand(name: str, most: int) -> Path:
        nonlocal done
        start, path = done, folder / name
        path.parent.mkdir(exist_ok=True)
        with path.open("xb") as target:
            for chunk in zips.chunks(archive, found[name], name=f"{title_}: {name!r}"):
                done += len(chunk)
                if done > limit:
                    raise RunError(f"{title_} expands to more than {limit / 2**30:.2g} GB: leave its snapshots out.")
                if done > RATIO_FREE_BYTES and done > RATIO_MAX * packed:
                    raise RunError(
                        f"{title_} expands to over {RATIO_MAX} times its size, which no run does: {_DOWNLOAD_AGAIN}"
                    )
                if done - start > most:
                    raise RunError(f"its {path.name} is too long.")
                target.write(chunk)
            target.flush()
            os.fsync(target.fileno())
        return path

    try:
        config = _settings(expand(runs.CONFIG, _TEXT_BYTES_MAX[runs.CONFIG]).read_bytes())
        shapes = _shapes(config)
        weights_max = _HEADER_BYTES_MAX + _BYTES_PER_WEIGHT * sum(math.prod(shape) for shape in shapes.values())
        for name in found.keys() - {runs.CONFIG}:
            most = FILE_BYTES_MAX if name in PICTURES else weights_max
            path = expand(name, _TEXT_BYTES_MAX.get(name, most))
            if name == runs.STATUS:
                status = Status.from_json(path.read_bytes())
                runs.write_status(folder, _ended(status, has_weights=runs.MODEL in found))
            elif name == runs.METRICS:
                _rewrite_metrics(path)
            elif name == runs.DEPENDENCE:
                dependence.write_dependence(folder, _measured(path.read_bytes(), config))
            elif name == runs.NOTES:
                write_notes(Run(folder), Notes.from_json(path.read_bytes()))
            elif name in PICTURES:
                open_image(path).save(path, "PNG")  # drops everything but the pixels
            else:
                _check_weights(path, shapes)
        runs.write_config(folder, adapt(folder, config) if adapt else config)
    except UserError as error:
        if str(error).startswith(title_):  # an error of the zip itself
            raise
        raise RunError(f"{title_} holds no run that can be used: {error}") from error


def _measured(text: bytes, config: RunConfig) -> dependence.Dependence:
    """Return the attention dependence in ``dependence.json``.

    Raises:
        RunError: it is not one of the run's network.
    """
    found = dependence.Dependence.from_json(text)
    if not dependence.fits(found, config.model):
        raise RunError(f"its {runs.DEPENDENCE} does not fit the network of its {runs.CONFIG}.")
    return found


def _settings(text: bytes) -> RunConfig:
    """Return the settings in ``config.json`` without the owner."""
    config = RunConfig.from_json(text)
    _check_source(config.data.source)
    try:
        created = config.created if 2000 <= datetime.fromisoformat(config.created).year < 2200 else ""
    except ValueError:
        created = ""
    # Its curves would otherwise be sent somewhere from here.
    training = config.training.model_copy(update={"track": "none"})
    return config.model_copy(update={"owner": "", "created": created, "training": training})


def _check_source(source: str) -> None:
    """Check that the data set has a possible name. The data itself may be missing on this machine."""
    try:
        title(source)
        possible = source.isprintable() and len(source) <= _SOURCE_MAX
    except (RuntimeError, ValueError, OSError):  # such as the home folder of an unknown user
        possible = False
    if not possible:
        raise RunError("its data set has a name that no data set can have.")


def _ended(status: Status, *, has_weights: bool) -> Status:
    """Return the status of a run that no process works on."""
    validated = status.validated and status.best is not None and has_weights
    if status.best is not None and not _numbers(status.best, _epoch_fields()):
        raise RunError(f"the best epoch in its {runs.STATUS} is invalid.")
    counts = (status.epoch, status.step, status.steps_total)
    times = [time for time in (status.started, status.ended) if time is not None]
    if not all(0 <= count <= _COUNT_MAX for count in counts) or not all(0 <= time <= _LATEST for time in times):
        raise RunError(f"its {runs.STATUS} contains impossible steps or times.")
    best = status.best and {key: value for key, value in status.best.items() if _is_number(value)}
    message, device = status.message[:_MESSAGE_MAX], status.device[:_MESSAGE_MAX]
    changes = {"pid": None, "ticket": 0, "validated": validated, "best": best, "message": message, "device": device}
    changes |= {"warning": status.warning[:_MESSAGE_MAX]}
    if status.state in runs.ACTIVE:
        changes |= {"state": "stopped", "message": f"Packed after {status.epoch} complete epochs."}
    return status.model_copy(update=changes)


def _rewrite_metrics(path: Path) -> None:
    """Keep only the event and the numbers of each line.

    Raises:
        RunError: a line is neither a step nor an epoch.
    """
    from vit.trainer import Step

    numbers = [field.name for field in fields(Step) if field.name != "accuracy"]  # older runs do not have it
    required = {"step": numbers, "epoch": _epoch_fields()}
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
    """Return the names of the numbers of an epoch, which the status also holds for the best epoch."""
    from vit.trainer import Epoch

    optional = ("kept", "train_accuracy")  # a training without labels has no train_accuracy
    return [field.name for field in fields(Epoch) if field.repr and field.name not in optional]


def _numbers(values: Mapping[str, Any], required: list[str]) -> bool:
    counts = (values.get(name, 0) for name in ("step", "epoch"))
    return all(isinstance(count, int) and 0 <= count <= _COUNT_MAX for count in counts) and all(
        _is_number(values.get(name)) for name in required
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e300 and math.isfinite(value)


def _shapes(config: RunConfig) -> dict[str, list[int]]:
    """Return the shapes of the network that the settings describe, built on the meta device."""
    import torch

    from vit.networks import build_model

    with torch.device("meta"):
        return {name: list(value.shape) for name, value in build_model(config.model).state_dict().items()}


def _check_weights(path: Path, shapes: Mapping[str, list[int]]) -> None:
    """Check that a file of weights has the names and shapes of the network, and finite numbers.

    Raises:
        RunError: the file does not.
    """
    with path.open("rb") as file:
        if int.from_bytes(file.read(8), "little") > _HEADER_BYTES_MAX:
            raise RunError(f"its {path.name} is damaged.")
    try:
        with safe_open(path, framework="pt") as content:
            parts = {name: content.get_slice(name) for name in content.keys()}  # noqa: SIM118
            found = {name: part.get_shape() for name, part in parts.items()}
            kinds = {part.get_dtype() for part in parts.values()}
            values = {key: json.loads(value) for key, value in (content.metadata() or {}).items()}
            if path.name == runs.LAST:
                found = _resumed(found, values, shapes)
            elif not all(value is None or _is_number(value) for value in values.values()):
                raise RunError(f"the metadata of its {path.name} are not numbers.")
            if found != shapes or not kinds <= {*_FLOATS, *_COUNTS}:
                raise RunError(f"its {path.name} does not fit the network of its {runs.CONFIG}.")
            if path.name != runs.LAST and not all(content.get_tensor(name).isfinite().all() for name in found):
                raise RunError(f"its {path.name} holds weights that are not finite.")
    except (SafetensorError, ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise RunError(f"its {path.name} is damaged.") from error


def _resumed(found: dict[str, list[int]], position: Mapping, shapes: Mapping[str, list[int]]) -> dict[str, list[int]]:
    """Check the tensors and the position of ``last.safetensors``, and return the shapes of its weights."""
    from vit import trainer
    from vit.trainer import checkpoint

    trained = [*shapes.values(), *(shape for name, shape in found.items() if name.startswith("objective."))]

    def fits(name: str) -> bool:
        kind, _, rest = name.partition(".")
        if kind == "kept":
            return found[name] == shapes.get(rest)
        if name == checkpoint.WINDOW:
            return len(found[name]) == 1 and found[name][0] < trainer.WINDOW
        if kind == "objective":  # what it holds is checked when the training is resumed
            return bool(re.fullmatch(r"[\w.]{1,200}", rest))
        return bool(re.fullmatch(r"optimizer\.\d{1,5}\.\w{1,30}", name)) and found[name] in ([], *trained)

    state = {name for name in found if not name.startswith("model.")}
    if not all(map(fits, state)) or not checkpoint.is_position(position):
        raise RunError(f"its {runs.LAST} does not hold what a resume needs.")
    return {name.removeprefix("model."): shape for name, shape in found.items() if name not in state}
