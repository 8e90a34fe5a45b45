"""List, create, rename and delete runs.

A run is a folder::

    checkpoints/<run>/  config.json  metrics.jsonl  status.json  model.safetensors  last.safetensors
                        snapshots/  log.txt  .lock

Every file is written under a temporary name, flushed to disk with its folder, and renamed once; only ``metrics.jsonl``
grows line by line. :mod:`vit.runs.folder` writes the files and describes the lock.
"""

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import Timeout

from vit.config import RunConfig
from vit.errors import RunError, SettingsError
from vit.paths import RUN_NAME, checkpoints_dir, is_installed, project_root
from vit.runs import failures
from vit.runs.folder import (
    CONFIG,
    LOG,
    Status,
    clear,
    reason,
    run_lock,
    update_status,
    write_config,
    write_final_status,
    write_status,
)
from vit.runs.run import SHIPPED_RUNS, Run
from vit.support.files import sync_folder
from vit.support.hardware import resolve
from vit.support.untrusted_text import is_reserved

_NAME_MAX = 64
_PART_MAX = 29
"""Characters for the data set and for the other run in the suggested name of a fine-tuning run."""
_PROVIDED = ".included-runs"
"""Marks a folder of runs that has received the included runs."""
_STALE_SECONDS = 24 * 3600
"""Age after which a temporary run folder counts as abandoned."""


def list_runs() -> list[Run]:
    """Return all readable runs, newest first."""
    return _survey()[0]


def broken_runs() -> list[tuple[str, str]]:
    """Return (name, reason) of the folders that look like runs but cannot be read or have an invalid name."""
    return _survey()[1]


def _survey() -> tuple[list[Run], list[tuple[str, str]]]:
    provide_included_runs()
    readable, broken = [], []
    for config_file in checkpoints_dir().glob(f"*/{CONFIG}"):
        run = Run(config_file.parent)
        if run.name.startswith("."):
            continue
        try:
            readable.append((run.config.created, check_name(run.name), run))
        except RunError as error:
            broken.append((run.name, str(error)))
    return [run for *_, run in sorted(readable, key=lambda item: item[:2], reverse=True)], sorted(broken)


def find_run(name: str) -> Run:
    """Return the run with this name. It never leaves the folder of runs, so the name may come from a link.

    Raises:
        RunError: there is no such run, or it cannot be read.
    """
    provide_included_runs()
    return _open(checkpoints_dir() / check_name(name))


def provide_included_runs() -> None:
    """Copy the included runs of an installed package into the folder of runs, once; a deleted one does not return."""
    folder = checkpoints_dir()
    if not is_installed() or (folder / _PROVIDED).exists():
        return
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in SHIPPED_RUNS:
            temporary = folder / f".{secrets.token_hex(8)}.part"
            shutil.copytree(project_root() / "checkpoints" / name, temporary)
            try:
                temporary.rename(folder / name)
            except OSError:  # it is there already
                shutil.rmtree(temporary, ignore_errors=True)
        (folder / _PROVIDED).touch()


def get_run(name_or_path: str | Path) -> Run:
    """Return the run with this name, or the run in the folder with this path.

    Raises:
        RunError: there is no such run, or it cannot be read.
    """
    text = os.fspath(name_or_path)
    if isinstance(name_or_path, str) and not re.search(r"[/\\]|^~|^\.+$", text):
        return find_run(text)
    return _open(Path(os.path.abspath(os.path.expanduser(text))))


def _open(path: Path) -> Run:
    if not (path / CONFIG).is_file():
        others = ", ".join(run.name for run in list_runs()[:5])
        advice = f"choose one of {others}." if others else "train one first."
        raise RunError(f"There is no run {path.name!r} in {path.parent}: {advice}")
    run = Run(path)
    _ = run.config  # raises when it cannot be read
    return run


def create(name: str | None, config: RunConfig) -> Run:
    """Create the folder of a new run, queued for its device.

    Raises:
        RunError: the name is taken or invalid, or the folder cannot be written.
        SettingsError: this machine does not have the device, or not enough of it for the processes.
    """
    device = resolve(config.training.device, config.training.processes)
    config = config.model_copy(update={"created": datetime.now(UTC).isoformat(timespec="microseconds")})
    path = checkpoints_dir() / (suggest_name(config) if name is None else check_name(name))
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")  # the run gets its name when it is complete
    with _writing(path):
        temporary.mkdir(parents=True)
        remove_abandoned()
        try:
            write_config(temporary, config)
            write_status(temporary, Status(ticket=time.time_ns(), device=device, message="Starting."))
            temporary.rename(path)  # replaces an empty folder, but nothing else
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            if not path.exists() and not path.is_symlink():
                raise
            if name is None:  # another process took the suggested name meanwhile
                return create(None, config)
            what = "a run" if (path / CONFIG).exists() else "another file or folder in the folder of runs called"
            raise RunError(f"There is already {what} {name!r}: choose another name.") from error
        sync_folder(path.parent)
    return Run(path)


def requeue(run: Run) -> None:
    """Queue a run that has ended again, to be resumed."""
    changes = {"ticket": time.time_ns(), "pid": None, "started": None, "ended": None, "message": "Starting."}
    device = device_of(run)
    with exclusive_access(run), _writing(run.path):
        update_status(run.path, state="queued", device=device, placed="", **changes)


def extend(run: Run, epochs: int) -> None:
    """Give a run that has ended more epochs, to be resumed.

    The learning rate follows the schedule of the new number of epochs from the next step on. Where the schedule falls
    to zero it rises again there, so the run is not the same as one that had so many epochs from its first step.

    Raises:
        RunError: it is active, part of a sweep, or its folder cannot be written.
        SettingsError: it has as many epochs already, or the number is out of bounds.
    """
    config = run.config
    had = config.training.epochs
    if epochs <= had:
        raise SettingsError(f"The run {run.name!r} has {had} epochs already: give a larger number than {had}.")
    if config.sweep:
        raise RunError(f"The run {run.name!r} belongs to the sweep {config.sweep!r}, whose runs have the same epochs.")
    training = type(config.training)(**config.training.model_dump() | {"epochs": epochs})
    with exclusive_access(run), _writing(run.path):
        changes = {"training": training, "extended": (*config.extended, had)}
        write_config(run.path, config.model_copy(update=changes))
        _log(run, f"Extended from {had} to {epochs} epochs, whose schedule the learning rate follows from here on.")


def _log(run: Run, line: str) -> None:
    with suppress(OSError), (run.path / LOG).open("a", encoding="utf-8") as log:
        log.write(f"{time.strftime('%H:%M:%S')}  {line}\n")


def start_over(run: Run) -> None:
    """Delete the results of a run that is not active, and queue it again from the beginning.

    Raises:
        RunError: it is active, its settings cannot be read, or its folder cannot be written.
        SettingsError: this machine does not have the device; then nothing is deleted.
    """
    device = device_of(run)
    with exclusive_access(run), _writing(run.path):
        # If this crashes halfway, the run can still be started over.
        write_final_status(
            run.path, Status(state="stopped", device=device, message="Stopped while it was about to start over.")
        )
        clear(run.path)
        write_status(run.path, Status(ticket=time.time_ns(), device=device, message="Starting over."))
        if run.config.extended:  # now it has all its epochs from the first step
            write_config(run.path, run.config.model_copy(update={"extended": ()}))
        _log(run, "Started over: the lines above belong to deleted weights.")


def device_of(run: Run) -> str:
    """Return the device that a run would be trained on now.

    Raises:
        SettingsError: this machine does not have it.
    """
    return resolve(run.config.training.device)


def suggest_name(config: RunConfig) -> str:
    """Return a free name from the data and the network (``scenes-d4-h4-2``), or from the run that it starts from."""
    from vit.data import title  # imports numpy and Pillow, which a waiting job does not need

    source = Path(title(config.data.source)).stem.lower()
    slug = re.sub(r"[^a-z0-9]+", "-", source).strip("-")[:40].strip("-") or "images"
    model = config.model
    if config.start:
        return free_name(f"{slug[:_PART_MAX]}-from-{config.start.run[:_PART_MAX]}".rstrip("._-"))
    kind = f"d{model.depth}-h{model.num_heads}" if model.architecture == "vit" else model.name
    return free_name(f"{slug}-{kind}")


def free_name(base: str) -> str:
    """Return ``base`` if the name is free, or else ``base-2`` and so on."""
    taken = {path.name for path in checkpoints_dir().glob("*")}
    name, number = base, 2
    while name in taken:
        name, number = f"{base[: _NAME_MAX - 5]}-{number}", number + 1
    return name


def check_name(name: str) -> str:
    """Return the name if it is valid for a run.

    Raises:
        RunError: it is not; the message says what a valid name is.
    """
    if not is_valid_name(name):
        raise RunError(
            f"A run cannot be called {name[:60]!r}: use up to 64 lowercase letters, digits, dots, hyphens and "
            "underscores, with a letter or digit at both ends, and no name that Windows reserves."
        )
    return name


def is_valid_name(name: str) -> bool:
    return RUN_NAME.fullmatch(name) is not None and not is_reserved(name)


def rename(run: Run, name: str) -> Run:
    """Rename a run that is not active.

    Raises:
        RunError: it is active, or the name is taken or invalid.
    """
    target = _own_folder(run).with_name(check_name(name))
    with exclusive_access(run), _writing(run.path):
        if target.exists() or target.is_symlink():
            raise RunError(f"There is already a run {name!r}: choose another name, such as {free_name(name)!r}.")
        run.path.rename(target)
        sync_folder(target.parent)
    return Run(target)


def delete(run: Run) -> None:
    """Delete a run that is not active, with all its files. Symbolic links are removed, their targets are not.

    Raises:
        RunError: it is active or not in the folder of runs, or another file system is mounted in it.
    """
    path = _own_folder(run)
    mounts = [folder for folder, *_ in os.walk(path) if os.path.ismount(folder)]
    if mounts:
        raise RunError(f"Another disk is mounted at {mounts[0]}: unmount it first, so that nothing on it is deleted.")
    with exclusive_access(run), _writing(path):
        deleted = path.with_name(f".deleted-{path.name}-{time.time_ns()}")
        path.rename(deleted)  # one atomic step, so that no reader sees half a run
        sync_folder(path.parent)
    shutil.rmtree(deleted, ignore_errors=True)
    remove_abandoned()
    if deleted.exists():
        raise RunError(f"The run {run.name!r} is deleted, but some of its files are left: delete {deleted} by hand.")


def remove_abandoned() -> None:
    """Delete what killed processes left in the folder of runs: half-deleted runs and old half-created ones."""
    for deleted in checkpoints_dir().glob(".deleted-*"):
        shutil.rmtree(deleted, ignore_errors=True)
    for temporary in checkpoints_dir().glob(".*.part"):
        with suppress(OSError):
            if time.time() - temporary.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(temporary, ignore_errors=True)


def _own_folder(run: Run) -> Path:
    """Return the run's folder; raise a RunError if it is not directly in the folder of runs, or is a link."""
    own = checkpoints_dir().resolve() / run.name
    if run.path.parent.resolve() != own.parent or run.path.resolve() != own or run.name.startswith("."):
        raise RunError(f"The run {run.name!r} is not in {checkpoints_dir()}: rename or delete its folder by hand.")
    return run.path


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Raise errors of the file system as a RunError."""
    try:
        yield
    except OSError as error:
        sentence = f"The run's folder {path} cannot be written: {reason(error)}{failures.disk_advice(error)}."
        raise RunError(sentence) from error


@contextmanager
def exclusive_access(run: Run) -> Iterator[None]:
    """Hold the lock of a run that is not active.

    Raises:
        RunError: the run is active, or its folder cannot be written.
    """
    busy = RunError(f"The run {run.name!r} is {run.state}: stop it first.")
    end = time.monotonic() + 0.3
    while run.active:  # a run whose process has just died also counts as active until its final status is written
        if time.monotonic() > end:
            raise busy
        time.sleep(0.02)
    try:
        lock = run_lock(run.path).acquire(timeout=1)
    except Timeout:
        raise busy from None
    except OSError as error:
        raise RunError(f"The run {run.name!r} cannot be changed: {reason(error)}.") from error
    with lock:
        yield
